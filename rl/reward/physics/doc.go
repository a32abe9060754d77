// Package physics scores answers to physics problems. A [QuantityProblem] compares numbers
// with units, which may have different units, and a [TrajectoryProblem] checks whether a
// motion obeys physical laws.
//
// Units are those of the SI with prefixes, and other common units; see [ParseUnit]. To add a
// law, use [Motion] or [Conserved], or implement [Law].
package physics
