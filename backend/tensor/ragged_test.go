package tensor_test

import (
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/backend/tensor/gradtest"
)

// held counts the bytes that are allocated.
type held struct {
	backend.Decorator
	now int
}

func (h *held) Alloc(bytes int) (backend.Buffer, error) { return h.AllocFor(backend.Other, bytes) }

func (h *held) AllocFor(holder backend.Holder, bytes int) (backend.Buffer, error) {
	buf, err := h.Decorator.AllocFor(holder, bytes)
	if err == nil {
		h.now += buf.Bytes()
	}
	return buf, err
}

func (h *held) Free(buf backend.Buffer) {
	h.now -= buf.Bytes()
	h.Backend.Free(buf)
}

// Micro-batches of many numbers of rows, as rollouts have them, hold at most a third more than
// the largest of them alone.
func TestRaggedBatchesShareMemory(t *testing.T) {
	takes := func(rows ...int) int {
		h := &held{Decorator: backend.Decorator{Backend: open(t)}}
		up, down := gradtest.Normal(t, h, seed, 1, "up", 48, 64), gradtest.Normal(t, h, seed+1, 1, "down", 64, 48)
		s := tensor.NewScope(h, tensor.Options{Grad: true})
		defer s.Close()
		for _, n := range rows {
			x := s.Floats(backend.F64, make([]float64, n*64), n, 64)
			for range 8 {
				y := (&tensor.Linear{W: up}).Forward(tensor.Sigmoid(x))
				x = tensor.Add(x, (&tensor.Linear{W: down}).Forward(tensor.Sigmoid(y)))
			}
			if err := s.Backward(tensor.Sum(x)); err != nil {
				t.Fatal(err)
			}
			s.Reset()
		}
		return h.now
	}
	alone := takes(250)
	for _, rows := range [][]int{
		{250, 210, 175, 147, 125, 105}, {75, 105, 125, 147, 175, 210, 250}, {125, 250, 152, 87, 249, 194, 105, 222},
	} {
		if got := takes(rows...); got < alone || got > alone+alone/3 {
			t.Errorf("%d rows: %d bytes, the largest alone %d", rows, got, alone)
		}
	}
}

// What a program works in is neither given up nor lent to tensors of other sizes.
func TestProgramsKeepTheirMemoryAmongOtherSizes(t *testing.T) {
	b := open(t)
	m := newSmall(t, b, backend.F32)
	s := tensor.NewScope(b, tensor.Options{})
	defer s.Close()
	in := batch(s)
	var lp tensor.Tensor
	program, err := s.Record(func() { lp, _ = m.scores(s, in) })
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Run(); err != nil {
		t.Fatal(err)
	}
	want := values(t, lp)
	s.Reset() // the program stays, as that of a Generator does
	for size := 1; size < 1<<14; size += 1 + size/3 {
		s.Full(backend.F32, 5, size)
	}
	if err := program.Run(); err != nil {
		t.Fatal(err)
	}
	if len(want) == 0 {
		t.Error("the program computes nothing")
	}
}
