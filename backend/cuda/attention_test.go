package cuda_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

// The trainer processes a sequence between others, the rollout in chunks from a
// cache, and the engine in unordered pages.
func TestAttentionHasTheSameBitsPackedChunkedDecodedAndPaged(t *testing.T) {
	const first, n, after, place, heads, groups, dk, dv = 29, 141, 7, 13, 4, 2, 20, 9
	for _, dt := range []backend.DType{backend.F32, backend.BF16} {
		t.Run(dt.String(), func(t *testing.T) {
			d := emulatedDevice(t)
			var start, length []int
			for _, s := range [][2]int{{0, first}, {first, n}, {first + n, after}} {
				for i := range s[1] {
					start, length = append(start, s[0]), append(length, i+1)
				}
			}
			q, k := d.normal(dt, len(start), heads, dk), d.normal(dt, len(start), groups, dk)
			v := d.normal(dt, len(start), groups, dv)
			attend := func(q, k, v, start, length, pages backend.View) (o, lse backend.View) {
				o, lse = d.normal(dt, q.Shape[0], heads, dv), d.normal(backend.F32, q.Shape[0], heads)
				d.do(&backend.Attention{
					O: o, LSE: lse, Q: q, K: k, V: v, Start: start, Len: length, Pages: pages, Scale: 0.2,
				})
				return o, lse
			}
			o, lse := attend(q, k, v, d.ints(start...), d.ints(length...), backend.View{})
			wantO, wantLSE := d.bits(o.Slice(0, first, first+n)), d.bits(lse.Slice(0, first, first+n))

			// The same keys and values in a cache and in pages, both with wider
			// rows.
			cache, pages := d.normal(dt, place+n, groups, dk+dv), d.normal(dt, 4*backend.PageRows, groups, dk+dv)
			table := []int{-1, 3, 1}
			for i := range n {
				row := table[1+i/backend.PageRows]*backend.PageRows + i%backend.PageRows
				for _, to := range []backend.View{cache.Index(place + i), pages.Index(row)} {
					d.do(&backend.Copy{Dst: to.Slice(1, 0, dk), Src: k.Index(first + i)})
					d.do(&backend.Copy{Dst: to.Slice(1, dk, dk+dv), Src: v.Index(first + i)})
				}
			}
			for _, chunks := range [][]int{{n}, {1, 127, 13}, {139, 1, 1}} {
				done := 0
				for _, c := range chunks {
					var start, page, length []int
					for i := range c {
						start, page = append(start, place), append(page, backend.PageRows)
						length = append(length, done+i+1)
					}
					part := q.Slice(0, first+done, first+done+c)
					for name, at := range map[string]struct{ rows, start, pages backend.View }{
						"cached": {cache, d.ints(start...), backend.View{}},
						"paged":  {pages, d.ints(page...), d.ints(table...)},
					} {
						keys, values := at.rows.Slice(2, 0, dk), at.rows.Slice(2, dk, dk+dv)
						o, lse := attend(part, keys, values, at.start, d.ints(length...), at.pages)
						what := fmt.Sprintf("%s, chunk of %d from %d", name, c, done)
						size := heads * dv * dt.Size()
						if !bytes.Equal(d.bits(o), wantO[done*size:][:c*size]) {
							t.Errorf("O differs: %s", what)
						}
						if !bytes.Equal(d.bits(lse), wantLSE[done*heads*4:][:c*heads*4]) {
							t.Errorf("LSE differs: %s", what)
						}
					}
					done += c
				}
			}
		})
	}
}

func TestSyncReportsWindowsAndPositionsOutOfRange(t *testing.T) {
	d := emulatedDevice(t)
	x := d.normal(backend.F32, 1, 1, 4)
	attend := func(start, length int, pages backend.View) backend.Op {
		return &backend.Attention{
			O: d.normal(backend.F32, 1, 1, 4), LSE: d.normal(backend.F32, 1, 1), Q: x,
			K: d.normal(backend.F32, 300, 1, 4), V: d.normal(backend.F32, 300, 1, 4),
			Start: d.ints(start), Len: d.ints(length), Pages: pages, Scale: 1,
		}
	}
	turn := func(position int) backend.Op {
		angles := d.normal(backend.F32, 5, 2)
		return &backend.RoPE{Y: x, X: x, Pos: d.ints(position), Cos: angles, Sin: angles}
	}
	for _, c := range []struct {
		name string
		op   backend.Op
		bad  string // the index reported, or empty
	}{
		{"all keys", attend(0, 300, backend.View{}), ""},
		{"a key too many", attend(1, 300, backend.View{}), "index 300"},
		{"a negative start", attend(-1, 3, backend.View{}), "index -1"},
		{"pages in range", attend(128, 128+44, d.ints(-7, 0, 2)), ""},
		{"a page that ends early", attend(128, 128+45, d.ints(-7, 0, 2)), "index 300"},
		{"a negative page", attend(128, 3, d.ints(0, -2)), "index -2"},
		{"a page too many", attend(128, 129, d.ints(0, 1)), "index 256"},
		{"a start within a page", attend(5, 1, d.ints(0, 1)), "index 5"},
		{"the last position", turn(4), ""},
		{"a position too many", turn(5), "index 5"},
		{"a negative position", turn(-1), "index -1"},
	} {
		d.do(c.op)
		err := d.Sync()
		if c.bad == "" && err != nil || c.bad != "" && (err == nil || !strings.Contains(err.Error(), c.bad+",")) {
			t.Errorf("%s: error %v, want one about %q", c.name, err, c.bad)
		}
		if err := d.Sync(); err != nil {
			t.Errorf("%s: the second Sync reports it again: %v", c.name, err)
		}
	}
}
