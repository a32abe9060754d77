package cpu

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// Each product has units enough for all threads, or units that cannot be halved
// or are not worth another thread.
func TestUnitsAreEnoughForAllThreads(t *testing.T) {
	parts := [][]int{{}, {1}, {32}, {33}, {100}, {168}, {200}, {256}, {823}, {2048}, {1, 0, 300, 5}, {64, 64},
		slices.Repeat([]int{190, 0, 5, 300}, 16), append(slices.Repeat([]int{8}, 63), 8192)}
	for _, format := range []backend.Format{backend.BFloat16, backend.FP8, backend.Q8} {
		for _, rows := range parts {
			for _, n := range []int{1, 16, 65, 256, 688, 1408, 4096} {
				for _, k := range []int{0, 32, 2048} {
					for _, workers := range []int{1, 2, 3, 16} {
						checkUnits(t, format, rows, n, k, workers)
						checkOwnUnits(t, format, rows, n, k, workers)
					}
				}
			}
		}
	}
}

// productsOf returns products of the given rows with matrices of n columns.
func productsOf(format backend.Format, rows []int, n, k int) *formatted {
	f := new(formatted)
	f.open(encodingOf(format), n, false)
	for _, m := range rows {
		f.add(m, k, operand[float32]{}, operand[float32]{}, right{}, 0)
	}
	return f
}

// checkOwnUnits checks the units that pack their own columns, if there are any.
func checkOwnUnits(t *testing.T, format backend.Format, rows []int, n, k, workers int) {
	t.Helper()
	f := productsOf(format, rows, n, k)
	if units, work := f.cut(workers, true); f.own {
		what := fmt.Sprintf("%s, rows %v, n=%d k=%d, %d threads: %d units of %d columns", format, rows, n, k, workers, units,
			f.columns)
		if want := len(f.parts) * ceil(n, f.columns); units != want {
			t.Errorf("%s, want %d", what, want)
		}
		if most := slices.Max(rows) * min(n, f.columns) * k; most*leastUnits*workers > work {
			t.Errorf("%s: one has %d of %d multiply-adds", what, most, work)
		}
		step := max(f.encoding.columns, narrowColumns)
		if f.columns%step != 0 || f.columns > f.cols || f.columns > max(leastWidth, step) &&
			f.packedBytes(k, f.columns-step) > ownBytes {
			t.Errorf("%s: %d bytes of panels, want about %d or %d columns", what, f.packedBytes(k, f.columns), ownBytes,
				leastWidth)
		}
		for i, p := range f.parts {
			if p.unit != i*ceil(n, f.columns) || p.height > f.rows {
				t.Errorf("%s: part %d begins with unit %d and has %d rows at a time", what, i, p.unit, p.height)
			}
		}
	}
}

func checkUnits(t *testing.T, format backend.Format, rows []int, n, k, workers int) {
	t.Helper()
	f := productsOf(format, rows, n, k)
	units, work := f.cut(workers, false)
	what := fmt.Sprintf("%s, rows %v, n=%d k=%d, %d threads: %d units of %d columns", format, rows, n, k, workers, units,
		f.columns)
	next, divisible := 0, f.columns > leastWidth && slices.Max(append(rows, 0)) > fewRows
	for _, p := range f.parts {
		if p.unit != next {
			t.Errorf("%s: a part begins with unit %d, want %d", what, p.unit, next)
		}
		next += ceil(p.m, p.height) * ceil(n, f.columns)
		divisible = divisible || min(p.m, p.height) >= 2*leastHeight
		if p.height > f.rows {
			t.Errorf("%s: %d rows, want at most %d", what, p.height, f.rows)
		}
	}
	if units != next {
		t.Errorf("%s, the parts have %d", what, next)
	}
	if len(f.parts) > 0 && f.columns < n && f.columns%asm.PanelWidth != 0 || f.columns > f.cols {
		t.Errorf("%s, want whole panels and at most %d", what, f.cols)
	}
	if workers > 1 && units < leastUnits*workers && work > units*pieceWork && divisible {
		t.Errorf("%s, want %d", what, leastUnits*workers)
	}
}

// Products of many groups with strided matrices, whose units pack their own
// columns, have the bits of products with packed ones, whatever the layout of C
// and the number of threads.
func TestUnitsThatPackTheirColumnsGiveTheBitsOfPackedMatrices(t *testing.T) {
	const e = 24
	rows := []int32{
		0, 1, 270, 133, 170, 0, 164, 120, 102, 150, 140, 201, 1, 190, 116, 17, 130, 0, 131, 132, 130, 106, 8, 157,
	}
	groups, m := []int32{0}, 0
	for _, n := range rows {
		m += int(n)
		groups = append(groups, int32(m))
	}
	for _, s := range [][2]int{{1, 140}, {70, 140}, {1030, 33}} {
		k, n := s[0], s[1]
		for _, f := range formats {
			rng := newRand(t)
			a, w := normals[float32](rng, m*k), normals[float32](rng, e*k*n)
			packer := withWorkers(t, 1)
			want := filled(packer, make([]float32, m*n), m, n)
			do(t, packer, &backend.GroupedMatMul{C: want, A: filled(packer, a, m, k), Offsets: filled(packer, groups, e+1),
				B: packedAs(t, packer, f, filled(packer, w, e, k, n))})
			for _, workers := range []int{1, 2} {
				b := withWorkers(t, workers)
				offsets, x := filled(b, groups, e+1), strew(b, a, m, k, "wide rows")
				across := filled(b, make([]float32, e*n*k), e, n, k).T()
				do(t, b, &backend.Copy{Dst: across, Src: filled(b, w, e, k, n)})
				for name, matrix := range map[string]backend.View{"rows": filled(b, w, e, k, n), "columns": across} {
					what := fmt.Sprintf("%s, K %d, N %d, matrices by %s, %d threads", f, k, n, name, workers)
					for _, layout := range layouts[:2] {
						c := strew(b, make([]float32, m*n), m, n, layout)
						do(t, b, &backend.GroupedMatMul{C: c, A: x, B: backend.Matrix{Data: matrix, Format: f}, Offsets: offsets})
						sameBits(t, fmt.Sprintf("%s, C by %s", what, layout), content[float32](c), content[float32](want))
					}
					if !b.formatted.own {
						t.Errorf("%s: units do not pack their columns", what)
					}
					c := filled(b, make([]uint16, m*n), m, n)
					do(t, b, &backend.GroupedMatMul{C: c, A: x, B: backend.Matrix{Data: matrix, Format: f}, Offsets: offsets})
					if !slices.Equal(content[uint16](c), rounded16(content[float32](want))) {
						t.Errorf("%s: C in BF16 is not that in F32, rounded", what)
					}
				}
			}
		}
	}
}

// The same for the gradient of the matrices, which is added to C.
func TestUnitsThatPackTheirColumnsAddTheBitsOfSingleProducts(t *testing.T) {
	const e, m, k, n = 20, 300, 700, 90
	groups := []int32{0}
	for i := range int32(e) {
		groups = append(groups, min(i*i+3, m))
	}
	rng := newRand(t)
	a, y, start := normals[float32](rng, m*k), normals[float32](rng, m*n), normals[float32](rng, e*k*n)
	for _, workers := range []int{1, 2} {
		b := withWorkers(t, workers)
		x, dy, got, want := filled(b, a, m, k), filled(b, y, m, n), filled(b, start, e, k, n), filled(b, start, e, k, n)
		do(t, b, &backend.GroupedOuter{C: got, A: x, B: dy, Offsets: filled(b, groups, e+1), Format: backend.BFloat16})
		if !b.formatted.own {
			t.Errorf("%d threads: units do not pack their columns", workers)
		}
		for i := range e {
			lo, hi := int(groups[i]), int(groups[i+1])
			if lo < hi {
				do(t, b, &backend.MatMul{C: want.Index(i), A: x.Slice(0, lo, hi).T(), B: backend.Matrix{Data: dy.Slice(0, lo, hi),
					Format: backend.BFloat16}, Accumulate: true})
			}
		}
		sameBits(t, fmt.Sprintf("%d threads", workers), content[float32](got), content[float32](want))
	}
}
