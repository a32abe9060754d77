// Package reward scores completions by rules: verifiers for mathematics,
// multiple choice, countdown, digit completion and output formats, rewards of
// language, repetition and length, and the [Suite] that runs several of them
// with weights. Subpackages run programs, ask judges and know physics.
//
// A verifier never answers with a bare number. It answers with a [Verdict],
// whose [Status] keeps apart what a number would mix up: a wrong answer, an
// answer that cannot be read, a verifier that hung, one that crashed, and one
// that has nothing to say about this sample. A crash or a hang is therefore
// never a silent reward of 0.
//
// The package needs the standard library only.
package reward
