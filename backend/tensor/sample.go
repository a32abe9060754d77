package tensor

import "github.com/aha-go/aha/backend"

// Draw has the parameters with which Sample draws the next token of each of N rows, and
// the results, Token and LogProb. See backend.Sample.
type Draw struct {
	Token, LogProb    Tensor // [N] I32, [N]
	Seed              Tensor // [N, 2] I32: low and high half of a 64-bit key
	Pos               Tensor // [N] I32: position of the drawn token in its sequence
	TopK              Tensor // [N] I32; if 0, all tokens are kept
	Temperature, TopP Tensor // [N]; temperature 0 picks the most likely token, TopP 1 keeps all
}

// Sample draws one token per row of logits [N, V] with the parameters in d. Nothing is
// put on the tape.
func Sample(logits Tensor, d Draw) {
	s := scopeOf("Sample", logits, d.Token, d.LogProb, d.Seed, d.Pos, d.TopK, d.Temperature, d.TopP)
	s.do(&backend.Sample{
		Token: d.Token.View(), LogProb: d.LogProb.View(), X: logits.View(), Seed: d.Seed.View(), Pos: d.Pos.View(),
		TopK: d.TopK.View(), Temperature: d.Temperature.View(), TopP: d.TopP.View(),
	})
}
