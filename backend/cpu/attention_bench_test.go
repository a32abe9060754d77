package cpu

import (
	"runtime"
	"testing"

	"github.com/aha-go/aha/backend"
)

// attentionLoad is a batch of sequences with rows queries each; the last row of
// each sees keys keys.
type attentionLoad struct {
	name             string
	form             form
	seqs, rows, keys int
	caches           int // used in turn, like the layers of a model, so that none stays in the processor's caches
}

// The attention heads of known models.
var (
	benchLatent = form{heads: 16, groups: 1, dk: 512 + 64, dv: 512, latent: true} // DeepSeek-V2-Lite, absorbed
	benchNaive  = form{heads: 16, groups: 16, dk: 128 + 64, dv: 128}              // DeepSeek-V2-Lite, naive
	benchGQA    = form{heads: 12, groups: 2, dk: 128, dv: 128}                    // R1-Distill-Qwen-1.5B
	bench64     = form{heads: 4, groups: 4, dk: 64, dv: 64}                       // 4 layers of 256 in PERFORMANCE.md
	benchTiny   = form{heads: 8, groups: 8, dk: 24 + 8, dv: 24}
)

func (l attentionLoad) build(b *testing.B) (ops []*backend.Attention, s *bench) {
	s = newBench(b, backend.F32, runtime.GOMAXPROCS(0), 1)
	var start, length []int32
	for q := range l.seqs {
		for i := range l.rows {
			start, length = append(start, int32(q*l.keys)), append(length, int32(l.keys-l.rows+i+1))
		}
	}
	for range l.caches {
		op := l.form.random(s, len(start), l.seqs*l.keys)
		op.Start, op.Len = s.ints(start, len(start)), s.ints(length, len(start))
		ops = append(ops, op)
	}
	return ops, s
}

// report reports the rate in GFLOP/s, counting flops operations for each query,
// head and visible key.
func (l attentionLoad) report(b *testing.B, flops int) {
	pairs := l.seqs * l.rows * (2*l.keys - l.rows + 1) / 2 * l.form.heads
	ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
	b.ReportMetric(float64(flops*pairs)/ns, "GFLOP/s")
	if l.rows == 1 {
		b.ReportMetric(ns/float64(l.seqs*l.keys), "ns/key")
	}
}

func BenchmarkAttention(b *testing.B) {
	for _, l := range []attentionLoad{
		{"decode/absorbed/1024", benchLatent, 1, 1, 1024, 32},
		{"decode/absorbed/2048", benchLatent, 1, 1, 2048, 16},
		{"decode/absorbed/4096", benchLatent, 1, 1, 4096, 8},
		{"decode/absorbed/8192", benchLatent, 1, 1, 8192, 4},
		{"decode/absorbed/4x2048", benchLatent, 4, 1, 2048, 4},
		{"decode/GQA/4096", benchGQA, 1, 1, 4096, 8},
		{"decode/naive/1024", benchNaive, 1, 1, 1024, 4},
		{"decode/tiny/64x128", benchTiny, 64, 1, 128, 2},
		{"prefill/GQA/1024", benchGQA, 1, 1024, 1024, 1},
		{"prefill/naive/1024", benchNaive, 1, 1024, 1024, 1},
		{"prefill/naive/128", benchNaive, 1, 128, 128, 1},
		{"prefill/absorbed/256", benchLatent, 1, 256, 256, 1},
		{"prefill/128 wide/2048", form{heads: 4, groups: 4, dk: 128, dv: 128}, 1, 2048, 2048, 1},
		{"train/16x128", bench64, 16, 128, 128, 4},
		{"train/tiny/16x60", benchTiny, 16, 60, 60, 1},
	} {
		for _, cache := range []string{"f32", "bf16"} {
			b.Run(l.name+"/"+cache, func(b *testing.B) {
				l := l
				l.form.cache = cache == "bf16"
				ops, s := l.build(b)
				for i := 0; b.Loop(); i++ {
					s.do(ops[i%len(ops)])
				}
				l.report(b, 2*(l.form.dk+l.form.dv))
			})
		}
	}
}

func BenchmarkAttentionGrad(b *testing.B) {
	for _, l := range []attentionLoad{
		{"GQA/1024", benchGQA, 1, 1024, 1024, 1},
		{"train/16x128", bench64, 16, 128, 128, 4},
		{"naive/1024", benchNaive, 1, 1024, 1024, 1},
		{"naive/128", benchNaive, 1, 128, 128, 1},
		{"absorbed/256", benchLatent, 1, 256, 256, 1},
		{"tiny/16x60", benchTiny, 16, 60, 60, 1},
	} {
		b.Run(l.name, func(b *testing.B) {
			ops, s := l.build(b)
			var grads []*backend.AttentionGrad
			for _, o := range ops {
				s.do(o)
				grads = append(grads, s.gradOf(o, s.normal(o.O.Dims()...)))
			}
			for i := 0; b.Loop(); i++ {
				s.do(grads[i%len(grads)])
			}
			l.report(b, 2*(3*l.form.dk+2*l.form.dv))
		})
	}
}
