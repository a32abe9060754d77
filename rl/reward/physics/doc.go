// Package physics scores answers that are physical: a [QuantityProblem] compares a number
// with a unit with another, whatever units they are in, and a [TrajectoryProblem] asks
// whether a stated motion obeys laws.
//
// Units are those of the SI with their prefixes, and common ones besides; see [ParseUnit].
// New laws are values of [Motion] and [Conserved], or types with the methods of [Law].
package physics
