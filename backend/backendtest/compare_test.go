package backendtest

import (
	"errors"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

// block runs a few ops of a model: a norm, a packed product, a gate.
func block(t *testing.T, b backend.Backend) error {
	t.Helper()
	n, d := 5, 8
	view := func(dt backend.DType, shape ...int) backend.View {
		v := backend.NewView(nil, dt, shape...)
		buf, err := b.Alloc(v.Len() * dt.Size())
		if err != nil {
			t.Fatal(err)
		}
		v.Buf = buf
		t.Cleanup(func() { b.Free(buf) })
		return v
	}
	x, y, rstd, w, h := view(backend.F32, n, d), view(backend.F32, n, d), view(backend.F32, n), view(backend.F32, d),
		view(backend.F32, n, d)
	weight, index := view(backend.F32, d, d), view(backend.I32, n, 2)
	right := backend.MatrixOf(weight)
	ops := []backend.Op{
		&backend.Random{Dst: x, Seed: 1, Distribution: backend.Normal},
		&backend.Random{Dst: weight, Seed: 2, Distribution: backend.Normal},
		&backend.Fill{Dst: w, Value: 1},
		&backend.RMSNorm{Y: y, Rstd: rstd, X: x, W: w, Eps: 1e-6},
	}
	if p, ok := b.(backend.Packer); ok {
		dt, n := p.PackedLen(backend.Native, backend.F32, d, d)
		packed := view(dt, n)
		right = backend.Matrix{Data: packed, Layout: backend.Packed, K: d, N: d}
		ops = append(ops, &backend.Pack{Dst: right, Src: backend.MatrixOf(weight)})
	}
	ops = append(ops,
		&backend.MatMul{C: h, A: y, B: right},
		&backend.SwiGLU{Y: h.Slice(1, 0, 4), Gate: h.Slice(1, 4, 8), Up: h.Slice(1, 0, 4)},
		&backend.TopK{Index: index, X: h})
	for _, op := range ops {
		if err := backend.Do(b, op); err != nil {
			return err
		}
	}
	return b.Sync()
}

func TestComparePassesAgreeingBackends(t *testing.T) {
	if err := block(t, Compare(newCPU(t), newCPU(t))); err != nil {
		t.Error(err)
	}
}

func TestCompareNamesTheFirstOpThatDiffers(t *testing.T) {
	for _, op := range []string{"RMSNorm", "MatMul", "SwiGLU", "TopK"} {
		err := block(t, Compare(newCPU(t), &broken{newCPU(t), op, perturb}))
		if err == nil || !strings.Contains(err.Error(), ", "+op+": operand 0") || !strings.Contains(err.Error(),
			"on broken") {
			t.Errorf("fault in %s: error %v", op, err)
		}
	}
}

func TestCompareComparesDecompositions(t *testing.T) {
	lacks := &broken{newCPU(t), "RMSNorm", refuse}
	if err := block(t, Compare(newCPU(t), lacks)); err != nil {
		t.Errorf("decomposed where b lacks the op: %v", err)
	}
	if err := block(t, Compare(&broken{newCPU(t), "RMSNorm", refuse}, newCPU(t))); err != nil {
		t.Errorf("decomposed where ref lacks the op: %v", err)
	}
	err := block(t, Compare(newCPU(t), &broken{lacks, "Sqrt", perturb}))
	if err == nil || !strings.Contains(err.Error(), "Sqrt: operand 0") {
		t.Errorf("fault in a decomposition: error %v", err)
	}
}

func TestCompareGoesOnFromTheSameValues(t *testing.T) {
	// Each of 100 ops has a tenth of the allowed difference, which must not add up.
	drift := func(b backend.Backend, op backend.Op) error {
		if err := b.Do(op); err != nil {
			return err
		}
		return poke(b, op.(*backend.Unary).Y, 0, func(x float64) float64 { return x * (1 + 400*0x1p-24) })
	}
	b := Compare(newCPU(t), &broken{newCPU(t), "Affine", drift})
	buf, err := b.Alloc(4)
	if err != nil {
		t.Fatal(err)
	}
	v := backend.NewView(buf, backend.F32, 1)
	if err := b.Do(&backend.Fill{Dst: v, Value: 1}); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := b.Do(&backend.Unary{Y: v, X: v, Fn: backend.Affine, A: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if x, err := backend.Values(b, v); err != nil || x[0] < 1.002 {
		t.Errorf("result %v, error %v: want the drifting backend's", x, err)
	}
}

func TestCompareReportsWhatNeitherHas(t *testing.T) {
	ref := &broken{newCPU(t), "Fill", refuse}
	b := Compare(ref, newCPU(t))
	buf, err := b.Alloc(4)
	if err != nil {
		t.Fatal(err)
	}
	err = b.Do(&backend.Fill{Dst: backend.NewView(buf, backend.F32, 1)})
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "reference") {
		t.Errorf("error %v, want ErrUnsupported on the reference", err)
	}
}
