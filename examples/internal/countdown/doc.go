// Package countdown is the task of the r1zero and distill examples: reach a
// target from three numbers with + and −, in a vocabulary of 32 tokens.
//
// It holds the problems and their split, a base corpus of faulty solutions to
// pretrain on, and the reading of completions. A trace looks like this (⏎ is the
// newline token):
//
//	<bos>19 29 16:32<think>29-19=10,16-10=6?32no⏎19-16=3,3+29=32?32yes</think><answer>19-16+29</answer><eos>
//
// The text follows five rules, chosen so that a model of under a million
// parameters can learn them:
//
//   - A try is two operations; the second combines the first's result with the
//     third number. After it the target is written again (?32), then the verdict.
//   - A difference is always the larger number minus the smaller.
//   - The two numbers of a first addition come in random order; in a second
//     addition the first's result stands first.
//   - The answer is the second operation with the first's result replaced by the
//     first operation as written: 3+29 becomes 19-16+29. It needs parentheses
//     only where the result is subtracted: 29-3 becomes 29-(19-16). So the
//     answer's numbers and signs are copies of what the try shows.
//   - Arithmetic is exact but for the corpus's rated slips.
package countdown
