package cuda_test

import (
	"bytes"
	"testing"

	"github.com/aha-go/aha/backend"
)

// A warp processes a short row and a block a long one, whatever the number of
// rows. So a row computed alone has the same bits as among others.
func TestRowsHaveTheSameBitsAloneAndAmongOthers(t *testing.T) {
	const n = 300
	d := emulatedDevice(t)
	for _, length := range []int{24, 1024, 1025} {
		x, dy := d.normal(backend.F32, n, length), d.normal(backend.F32, n, length)
		w, rstd := d.normal(backend.F32, length), d.normal(backend.F32, n)
		results := map[string]backend.View{}
		for _, name := range []string{"RMSNorm", "RMSNormGrad", "Softmax"} {
			results[name] = d.normal(backend.F32, n, length)
		}
		for _, name := range []string{"Rstd", "Sum", "LogSumExp"} {
			results[name] = d.normal(backend.F32, n)
		}
		compute := func(lo, hi int) map[string][]byte {
			at := func(v backend.View) backend.View { return v.Slice(0, lo, hi) }
			d.do(
				&backend.RMSNorm{Y: at(results["RMSNorm"]), Rstd: at(results["Rstd"]), X: at(x), W: w, Eps: 1e-6},
				&backend.RMSNormGrad{DX: at(results["RMSNormGrad"]), DY: at(dy), X: at(x), W: w, Rstd: at(rstd)},
				&backend.Softmax{Y: at(results["Softmax"]), X: at(x)},
				&backend.Reduce{Y: at(results["Sum"]), X: at(x), Fn: backend.Sum},
				&backend.LogSumExp{LSE: at(results["LogSumExp"]), X: at(x), InvTemp: 0.7})
			bits := map[string][]byte{}
			for name, v := range results {
				bits[name] = d.bits(at(v))
			}
			return bits
		}
		all := compute(0, n)
		for _, row := range []int{0, 7, n - 1} {
			for name, bits := range compute(row, row+1) {
				if want := all[name][row*len(bits):][:len(bits)]; !bytes.Equal(bits, want) {
					t.Errorf("%s of row %d of length %d differs alone and among %d rows", name, row, length, n)
				}
			}
		}
	}
}

// The gradients of a sequence do not depend on the sequences packed with it.
func TestAttentionGradHasTheSameBitsAloneAndPacked(t *testing.T) {
	const first, n, after, heads, groups, dk, dv = 45, 141, 30, 4, 2, 20, 9
	for _, dt := range []backend.DType{backend.F32, backend.BF16} {
		t.Run(dt.String(), func(t *testing.T) {
			d := emulatedDevice(t)
			var start, length []int
			for _, s := range [][2]int{{0, first}, {first, n}, {first + n, after}} {
				for i := range s[1] {
					start, length = append(start, s[0]), append(length, i+1)
				}
			}
			rows := len(start)
			q, k, v := d.normal(dt, rows, heads, dk), d.normal(dt, rows, groups, dk), d.normal(dt, rows, groups, dv)
			o, dout, lse := d.normal(dt, rows, heads, dv), d.normal(dt, rows, heads, dv), d.normal(backend.F32, rows, heads)
			grad := func(lo, hi int) [3][]byte {
				at := func(v backend.View) backend.View { return v.Slice(0, lo, hi) }
				starts := make([]int, hi-lo)
				for i := range starts {
					starts[i] = start[lo+i] - lo
				}
				dq := d.normal(dt, hi-lo, heads, dk)
				dk, dv := d.normal(dt, hi-lo, groups, dk), d.normal(dt, hi-lo, groups, dv)
				d.do(&backend.AttentionGrad{
					DQ: dq, DK: dk, DV: dv, DO: at(dout), O: at(o), LSE: at(lse), Q: at(q), K: at(k), V: at(v),
					Start: d.ints(starts...), Len: d.ints(length[lo:hi]...), Scale: 0.2,
				})
				return [3][]byte{d.bits(dq), d.bits(dk), d.bits(dv)}
			}
			alone, packed := grad(first, first+n), grad(0, rows)
			for i, name := range []string{"DQ", "DK", "DV"} {
				size := len(alone[i]) / n
				if !bytes.Equal(alone[i], packed[i][first*size:][:n*size]) {
					t.Errorf("%s differs alone and packed", name)
				}
			}
		})
	}
}
