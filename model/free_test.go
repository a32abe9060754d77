package model

import (
	"errors"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
)

// ledger counts the buffers in use, and fails every allocation after the first limit ones.
type ledger struct {
	backend.Backend
	live, allocated, limit int
}

var errNoMemory = errors.New("no memory")

func (l *ledger) Alloc(bytes int) (backend.Buffer, error) {
	if l.allocated == l.limit {
		return nil, errNoMemory
	}
	l.allocated++
	l.live++
	return l.Backend.Alloc(bytes)
}

func (l *ledger) Free(b backend.Buffer) {
	l.live--
	l.Backend.Free(b)
}

// newLedger returns a ledger for a new CPU backend.
func newLedger(t *testing.T, limit int) *ledger {
	t.Helper()
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &ledger{Backend: b, limit: limit}
}

func TestFreeGivesBackWhatTrainingAndGeneratingTook(t *testing.T) {
	b := newLedger(t, -1)
	defer b.Close()
	m, err := New(b, Tiny(32), 1)
	if err != nil {
		t.Fatal(err)
	}
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	seqs := []Sequence{{IDs: []int32{2, 3, 4, 5}}}
	batch := m.NewBatch(s, seqs, Totals(seqs))
	if err := s.Backward(tensor.Neg(tensor.Sum(tensor.Mul(batch.Weight, m.Forward(s,
		batch).LogProbs(batch.Targets))))); err != nil {
		t.Fatal(err)
	}
	s.Close()
	g, err := NewGenerator(m, GeneratorOptions{Slots: 2, MaxLen: 8})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Generate(t.Context(), []Request{{Prompt: []int32{2}, MaxTokens: 3}}); err != nil {
		t.Fatal(err)
	}
	g.Close()
	m.Free()
	if b.live != 0 {
		t.Errorf("%d of %d buffers are still in use", b.live, b.allocated)
	}
}

// Whichever allocation fails, all buffers are released.
func TestAModelThatDoesNotFitLeavesNothing(t *testing.T) {
	c := Tiny(32)
	c.HiddenSize, c.IntermediateSize, c.MoEIntermediateSize, c.NumHiddenLayers = 8, 8, 8, 2
	for limit := 0; ; limit++ {
		b := newLedger(t, limit)
		m, err := New(b, c, 1)
		if err == nil {
			m.Free()
		} else if !errors.Is(err, errNoMemory) || m != nil {
			t.Fatalf("after %d buffers: model %v, error %v", limit, m, err)
		}
		if b.live != 0 {
			t.Fatalf("after %d buffers: %d are still in use", limit, b.live)
		}
		b.Close()
		if err == nil {
			return
		}
	}
}
