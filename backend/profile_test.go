package backend_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

func TestProfileCountsOpsAndBytes(t *testing.T) {
	p := backend.Profile(without(newCPU(t), "Exp"))
	x := upload(t, p, backend.F32, make([]float64, 12), 3, 4)
	row := upload(t, p, backend.F32, make([]float64, 4), 4)
	add := &backend.Binary{Y: x, A: x, B: row.BroadcastTo(3, 4), Fn: backend.Add}
	do(t, p, add, add, &backend.Fill{Dst: row, Value: 1})
	if err := p.Do(&backend.Unary{Y: x, X: x, Fn: backend.Exp}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("the error of the wrapped backend became %v", err)
	}
	got := map[string]backend.OpStats{}
	for _, s := range p.Stats() {
		got[s.Name] = s
	}
	// Each of the two runs has two operands of 12 elements and a row of 4.
	if s := got["Add"]; s.Count != 2 || s.Bytes != 2*(12+12+4)*4 || s.Time <= 0 {
		t.Errorf("Add: %+v, want 2 runs over 224 bytes", s)
	}
	if s := got["Fill"]; s.Count != 1 || s.Bytes != 16 {
		t.Errorf("Fill: %+v, want 1 run over 16 bytes", s)
	}
	if _, ok := got["Exp"]; ok {
		t.Error("a failed op was counted")
	}
	table := p.String()
	if lines := strings.Count(table, "\n"); lines != 3 || !strings.Contains(table, "Fill") {
		t.Errorf("table of 2 ops:\n%s", table)
	}
	p.Reset()
	if len(p.Stats()) != 0 {
		t.Error("statistics survive Reset")
	}
}

func TestProfileSortsByTime(t *testing.T) {
	p := backend.Profile(newCPU(t))
	x := upload(t, p, backend.F32, make([]float64, 1<<16), 1<<16)
	for range 3 {
		do(t, p, &backend.Fill{Dst: x}, &backend.Unary{Y: x, X: x, Fn: backend.Log}, &backend.Fill{Dst: x.Slice(0, 0, 1)})
	}
	stats := p.Stats()
	for i := 1; i < len(stats); i++ {
		if stats[i].Time > stats[i-1].Time {
			t.Errorf("%s (%v) stands after %s (%v)", stats[i].Name, stats[i].Time, stats[i-1].Name, stats[i-1].Time)
		}
	}
}
