// Package reward scores completions by rules. It has verifiers for mathematics, multiple
// choice, countdown, digit completion and output formats, rewards for language, repetition
// and length, and the [Suite] that runs several of them with weights. Subpackages run
// programs, ask a judge model, check steps of reasoning and check physics.
//
// A verifier does not return a bare number. It returns a [Verdict], whose [Status]
// distinguishes a wrong answer, an answer that cannot be read, a verifier that timed out, one
// that crashed, and one that does not apply to the sample. So a crash or a timeout is never a
// silent reward of 0.
//
// To add a reward, write a function of a [Sample] that returns a Verdict and name it in a
// [Func] of the Suite:
//
//	short := func(_ context.Context, s reward.Sample) reward.Verdict {
//		if len(s.IDs) > 100 {
//			return reward.Verdict{Status: reward.Wrong}
//		}
//		return reward.Verdict{Status: reward.Correct, Value: 1}
//	}
//	suite := &reward.Suite{Funcs: []reward.Func{{Name: "short", Score: short, Weight: 0.5}}}
//
// The package imports only the standard library.
package reward
