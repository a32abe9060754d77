// Package backendtest is the conformance suite of backends. Every case builds one op on
// concrete operands and compares the results of a backend with a float64 computation
// written here from the op's definition, not with another backend.
//
// One case drives four runs: correctness (Check), a check of gradient definitions against
// finite differences (CheckGradient), benchmarks (Bench), and fuzzing over shapes,
// strides and offsets (Fuzz, RandomCase). Run wraps them for a backend's own test:
//
//	func TestConformance(t *testing.T) {
//		backendtest.Run(t, backendtest.Open(t, "cpu"), supported)
//	}
//
// Compare finds errors that no case covers: it runs two backends side by side inside a
// real model and names the first op on which they differ.
package backendtest
