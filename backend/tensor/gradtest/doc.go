// Package gradtest compares gradients with central finite differences in float64, for
// tests of code that is built on package tensor.
//
// If the loss has kinks (expert selection, min, max, clamp), a difference quotient across
// one is not the derivative. Choose parameters that are farther from every kink than
// Options.Step moves them, for example random ones with standard deviation 1, a step of
// 1e-5 and few tokens. Or use the expert ids that a first run selected as constants.
package gradtest
