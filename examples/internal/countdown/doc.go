// Package countdown is the task of the examples r1zero and distill: reach a target
// from three numbers with + and −, in a vocabulary of 32 tokens.
//
// It has the problems and their split, a corpus of imperfect search traces for base
// training, and functions that parse completions. A trace looks like this (⏎ is the
// newline token):
//
//	<bos>19 29 16:32<think>29-19=10,16-10=6?32no⏎19-16=3,3+29=32?32yes</think><answer>19-16+29</answer><eos>
//
// Traces follow five rules, which were chosen so that a model of less than a million
// parameters can learn them:
//
//   - A try is two operations. The second one combines the result of the first with the
//     third number. The target follows (?32), and then the verdict, yes or no.
//   - A difference is always the larger number minus the smaller one.
//   - The numbers of a first addition are in random order. In a second addition the
//     result of the first operation comes first.
//   - The answer is the second operation, with the result of the first replaced by the
//     first operation as written: 3+29 becomes 19-16+29. It needs parentheses only if
//     that result is subtracted: 29-3 becomes 29-(19-16). So the numbers and signs of
//     the answer are copies of those in the try.
//   - Arithmetic is exact, except for errors at a fixed rate.
package countdown
