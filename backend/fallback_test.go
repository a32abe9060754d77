package backend_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aha-go/aha/backend"
)

func TestFallbackGivesTheSameResultsAndCounts(t *testing.T) {
	var log bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(old)

	first := without(newCPU(t), "Exp", "ScatterAdd")
	second := without(newCPU(t))
	b := backend.Fallback(first, second)

	mem := make([]float64, 200)
	for i := range mem {
		mem[i] = float64(i%7) - 3
	}
	run := func(b backend.Backend) []float64 {
		all := upload(t, b, backend.F32, mem, 200)
		x := all.Slice(0, 150, 162).Reshape(3, 4)
		y := all.Slice(0, 31, 55).Reshape(4, 6).Slice(1, 1, 4).T() // [3 4], strided, in the same buffer
		index := upload(t, b, backend.I32, []float64{2, -1, 0}, 3)
		exp := &backend.Unary{Y: y, X: x, Fn: backend.Exp}
		want := *exp
		do(t, b, exp, exp, &backend.Unary{Y: y, X: y, Fn: backend.Affine, A: 2}, &backend.Scatter{Y: y, X: x,
			Index: index, Add: true})
		if *exp != want {
			t.Errorf("the op was changed: %+v", exp)
		}
		empty := x.Slice(0, 1, 1)
		do(t, b, &backend.Unary{Y: empty, X: empty, Fn: backend.Exp})
		return values(t, b, all)
	}
	if diff := cmp.Diff(run(newCPU(t)), run(b)); diff != "" {
		t.Errorf("fallback differs (-direct +fallback):\n%s", diff)
	}
	if diff := cmp.Diff([]backend.OpCount{{"Exp", 3}, {"ScatterAdd", 1}}, b.Counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if second.buffers != 0 {
		t.Errorf("%d buffers of the second backend are left", second.buffers)
	}
	if n := strings.Count(log.String(), "op=Exp from=lacking to=lacking"); n != 1 {
		t.Errorf("%d warnings about Exp, want 1:\n%s", n, log.String())
	}
}

func TestFallbackPassesOtherErrorsOn(t *testing.T) {
	b := backend.Fallback(without(newCPU(t), "Fill"), without(newCPU(t), "Fill"))
	x := upload(t, b, backend.F32, []float64{1}, 1)
	if err := b.Do(&backend.Fill{Dst: x}); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(),
		"Fill") {
		t.Errorf("an op that neither backend has: error %v", err)
	}
}

func TestFallbackRefusesPackedMatrices(t *testing.T) {
	c := newCPU(t)
	b := backend.Fallback(without(c, "MatMul"), c)
	x := upload(t, b, backend.F32, make([]float64, 4), 2, 2)
	packed := upload(t, b, backend.F32, make([]float64, 64), 64)
	err := b.Do(&backend.MatMul{C: x, A: x, B: backend.Matrix{Data: packed, Layout: backend.Packed, K: 2, N: 2}})
	if !errors.Is(err, errors.ErrUnsupported) || len(b.Counts()) != 0 {
		t.Errorf("error %v, counts %v, want ErrUnsupported and no count", err, b.Counts())
	}
}
