// Package gradtest compares gradients with central finite differences in
// float64, for tests of everything that is built on package tensor.
//
// Where the loss has a kink (expert selection, min, max, clamp) a difference
// quotient across it is no derivative. Choose parameters whose margins at every
// kink exceed what Options.Step moves, for example random ones of spread 1 with
// a step of 1e-5 and few tokens, or close over the ids that a first run
// selected.
package gradtest
