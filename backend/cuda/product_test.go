package cuda_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
)

// forms returns w as the right operand of format f in all forms that the
// backend and the format have: strided, packed, and with separate scales.
func (b *device) forms(f backend.Format, w backend.View) []backend.Matrix {
	k, n := w.Dim(-2), w.Dim(-1)
	list := []backend.Matrix{{Data: w, Format: f}}
	if dt, size := b.Backend.(backend.Packer).PackedLen(f, w.DType, k, n); size > 0 {
		m := backend.Matrix{Data: b.normal(dt, size), Layout: backend.Packed, Format: f, K: k, N: n}
		b.do(&backend.Pack{Dst: m, Src: backend.MatrixOf(w)})
		list = append(list, m)
	}
	if f == backend.FP8 {
		m := backend.Matrix{Data: b.normal(f.Element, n, k).T(), Format: f}
		m.Scale = b.normal(f.Scale, (n+127)/128, (k+127)/128).T()
		b.do(&backend.Pack{Dst: m, Src: backend.MatrixOf(w)})
		list = append(list, m)
		// Pack from that form to the packed one.
		copied := list[1]
		copied.Data = b.normal(copied.Data.DType, copied.Data.Len())
		b.do(&backend.Pack{Dst: copied, Src: m})
		list = append(list, copied)
	}
	return list
}

// TestProductsHaveTheSameBitsInEveryForm of the weights. Products with FP8 also
// have the bits of the CPU, since their order is defined and products are exact
// before they are summed.
func TestProductsHaveTheSameBitsInEveryForm(t *testing.T) {
	emulated(t)
	for _, f := range backend.Formats() {
		t.Run(f.String(), func(t *testing.T) {
			seed := rand.Uint64()
			var want []byte
			devices := []string{"cuda:0"}
			if f == backend.FP8 {
				devices = []string{"cpu", "cuda:0"}
			}
			for _, name := range devices {
				b := on(t, name, seed)
				a, w := b.normal(backend.F32, 19, 301), b.normal(backend.F32, 301, 150)
				c := b.normal(backend.F32, 19, 150)
				start := b.bits(c)
				for i, m := range b.forms(f, w) {
					if err := b.Upload(c.Buf, 0, start); err != nil {
						t.Fatal(err)
					}
					b.do(&backend.MatMul{C: c, A: a, B: m, Accumulate: true})
					if got := b.bits(c); want == nil {
						want = got
					} else if !bytes.Equal(got, want) {
						t.Errorf("form %d on %s differs from the first on %s, seed %#x", i, name, devices[0], seed)
					}
				}
			}
		})
	}
}

func TestQuantisedWeightsHaveTheBitsOfTheCPU(t *testing.T) {
	emulated(t)
	for _, f := range []backend.Format{backend.FP8, backend.Q8, backend.Q4, backend.Q4_1} {
		t.Run(f.String(), func(t *testing.T) {
			seed := rand.Uint64()
			var want []byte
			for _, name := range []string{"cpu", "cuda:0"} {
				b := on(t, name, seed)
				w := b.normal(backend.F32, 300, 140)
				for i, m := range b.forms(f, w)[1:] {
					values := b.normal(backend.F32, 300, 140)
					b.do(&backend.Unpack{Dst: values, Src: m})
					if got := b.bits(values); want == nil {
						want = got
					} else if !bytes.Equal(got, want) {
						t.Errorf("form %d on %s differs from the first on cpu, seed %#x", i, name, seed)
					}
				}
			}
		})
	}
}

// TestARowHasTheSameBitsInEveryProduct: alone, among others and in a group.
func TestARowHasTheSameBitsInEveryProduct(t *testing.T) {
	emulated(t)
	for _, f := range backend.Formats() {
		t.Run(f.String(), func(t *testing.T) {
			seed := rand.Uint64()
			b := on(t, "cuda:0", seed)
			a, w := b.normal(backend.BF16, 50, 70), b.normal(backend.F32, 2, 70, 33)
			alone := b.normal(backend.F32, 1, 33)
			among, grouped := b.normal(backend.F32, 50, 33), b.normal(backend.F32, 50, 33)
			second := backend.Matrix{Data: w.Index(1), Format: f}
			b.do(&backend.MatMul{C: alone, A: a.Slice(0, 37, 38), B: second},
				&backend.MatMul{C: among, A: a, B: second},
				&backend.GroupedMatMul{C: grouped, A: a, B: backend.Matrix{Data: w, Format: f},
					Offsets: b.ints(0, 21, 45)})
			want := b.bits(alone)
			if !bytes.Equal(b.bits(among.Slice(0, 37, 38)), want) {
				t.Errorf("among 50 rows it differs, seed %#x", seed)
			}
			if !bytes.Equal(b.bits(grouped.Slice(0, 37, 38)), want) {
				t.Errorf("in a group it differs, seed %#x", seed)
			}
		})
	}
}

func TestLinearLogProbScoresTheLogitsOfMatMul(t *testing.T) {
	emulated(t)
	for _, f := range backend.Formats() {
		t.Run(f.String(), func(t *testing.T) {
			const rows, d, vocab = 3, 40, backend.VocabChunk + 77
			seed := rand.Uint64()
			b := on(t, "cuda:0", seed)
			x := b.normal(backend.BF16, rows, d)
			w := backend.Matrix{Data: b.normal(backend.F32, vocab, d).T(), Format: f}
			logits, logProb := b.normal(backend.F32, rows, vocab), b.normal(backend.F32, rows)
			lse, entropy := b.normal(backend.F32, 2, rows), b.normal(backend.F32, 2, rows)
			b.do(&backend.MatMul{C: logits, A: x, B: w},
				&backend.LogSumExp{LSE: lse.Index(0), Entropy: entropy.Index(0), X: logits, InvTemp: 0.7},
				&backend.LinearLogProb{LogProb: logProb, LSE: lse.Index(1), Entropy: entropy.Index(1),
					X: x, W: w, Target: b.ints(0, vocab-1, -1), InvTemp: 0.7})
			if !bytes.Equal(b.bits(lse.Index(0)), b.bits(lse.Index(1))) {
				t.Errorf("LSE differs from LogSumExp's, seed %#x", seed)
			}
			if !bytes.Equal(b.bits(entropy.Index(0)), b.bits(entropy.Index(1))) {
				t.Errorf("Entropy differs from LogSumExp's, seed %#x", seed)
			}
		})
	}
}

func TestOffsetsOutOfRangeAreReported(t *testing.T) {
	emulated(t)
	for _, offsets := range [][]int{{0, 9}, {-1, 4}, {3, 2}} {
		b := on(t, "cuda:0", 1)
		a, w := b.normal(backend.F32, 8, 5), b.normal(backend.F32, 1, 5, 6)
		c := b.normal(backend.F32, 8, 6)
		b.do(&backend.GroupedMatMul{C: c, A: a, B: backend.MatrixOf(w), Offsets: b.ints(offsets...)})
		if err := b.Sync(); err == nil || !strings.Contains(err.Error(), "out of range") {
			t.Errorf("offsets %v of 8 rows: error %v", offsets, err)
		}
	}
}

func TestRowsOfNoGroupAreLeft(t *testing.T) {
	d := emulatedDevice(t)
	c := d.operand(backend.F32, func(int) float64 { return 3 }, 5, 8)
	d.do(&backend.GroupedMatMul{C: c, A: d.normal(backend.F32, 5, 4),
		B: backend.MatrixOf(d.normal(backend.F32, 0, 4, 8)), Offsets: d.ints(0)})
	if got := d.values(c); got[0] != 3 || got[39] != 3 {
		t.Errorf("values %v, want those before", got)
	}
}
