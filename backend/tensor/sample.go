package tensor

import "github.com/aha-go/aha/backend"

// Draw says how the next token of each of N rows is drawn, see backend.Sample, and where
// it goes: Token and LogProb are written.
type Draw struct {
	Token, LogProb    Tensor // [N] I32, [N]
	Seed              Tensor // [N, 2] I32: low and high half of a 64-bit key
	Pos               Tensor // [N] I32: position of the drawn token in its sequence
	TopK              Tensor // [N] I32; 0 means all
	Temperature, TopP Tensor // [N]; 0 means the most likely token, 1 means all
}

// Sample draws a token a row of logits [N, V] as d says. Nothing is put on the tape.
func Sample(logits Tensor, d Draw) {
	s := scopeOf("Sample", logits, d.Token, d.LogProb, d.Seed, d.Pos, d.TopK, d.Temperature, d.TopP)
	s.do(&backend.Sample{
		Token: d.Token.View(), LogProb: d.LogProb.View(), X: logits.View(), Seed: d.Seed.View(), Pos: d.Pos.View(),
		TopK: d.TopK.View(), Temperature: d.Temperature.View(), TopP: d.TopP.View(),
	})
}
