package backendtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
)

// Queues checks that events order the queues of b's device, and that memory freed on one
// queue is not used again before the work of other queues on it has ended. It runs 20
// random programs on three queues and compares their results with those of one queue. It
// uses Affine and Binary in F32, and is part of Run.
func Queues(t *testing.T, b backend.Backend) {
	t.Helper()
	for seed := range uint64(20) {
		if err := checkQueues(b, seed); errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		} else if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// cell is a buffer in use, its expected content, and the events of the ops that used it.
type cell struct {
	view  backend.View
	want  []float32
	write use
	reads []use // since the last write
}

// use is an event after an op, and the op's queue.
type use struct {
	event backend.Event
	queue int
}

// schedule is the state of a random program.
type schedule struct {
	rng    *rand.Rand
	queues []backend.Backend
	cells  []*cell
	events []backend.Event
}

func checkQueues(b backend.Backend, seed uint64) (err error) {
	s := &schedule{rng: rand.New(rand.NewPCG(seed, 5)), queues: []backend.Backend{b}}
	defer func() {
		for _, e := range s.events {
			e.Free()
		}
		for _, x := range s.cells {
			b.Free(x.view.Buf)
		}
		for _, q := range s.queues[1:] {
			err = errors.Join(err, q.Close())
		}
	}()
	for range 2 {
		q, err := backend.NewQueue(b)
		if err != nil {
			return fmt.Errorf("NewQueue: %w", err)
		}
		s.queues = append(s.queues, q)
	}
	for range 60 {
		if err := s.step(); err != nil {
			return err
		}
	}
	for len(s.cells) > 0 {
		if err := s.finish(s.rng.IntN(len(s.cells))); err != nil {
			return err
		}
	}
	return nil
}

// step makes a cell, computes one from others, or removes one.
func (s *schedule) step() error {
	n := len(s.cells)
	switch k := s.rng.IntN(10); {
	case n < 3 || k < 3 && n < 8:
		return s.upload()
	case k < 4:
		return s.finish(s.rng.IntN(n))
	case k < 6: // free a cell while work on it is queued
		i := s.rng.IntN(n)
		s.queue().Free(s.cells[i].view.Buf)
		s.cells = slices.Delete(s.cells, i, i+1)
		return nil
	}
	y, x, z := s.cells[s.rng.IntN(n)], s.cells[s.rng.IntN(n)], s.cells[s.rng.IntN(n)]
	for i := range y.want {
		y.want[i] = max(x.want[i], -z.want[i])
	}
	return s.on(s.rng.IntN(len(s.queues)), []*cell{x, z}, y, func(q backend.Backend) error {
		negative, err := q.Alloc(4 * cellLen)
		if err != nil {
			return err
		}
		defer q.Free(negative)
		v := backend.NewView(negative, backend.F32, cellLen)
		return errors.Join(
			q.Do(&backend.Unary{Y: v, X: z.view, Fn: backend.Affine, A: -1}),
			q.Do(&backend.Binary{Y: y.view, A: x.view, B: v, Fn: backend.Max}))
	})
}

// cellLen is the number of elements of a cell.
const cellLen = 300

func (s *schedule) queue() backend.Backend { return s.queues[s.rng.IntN(len(s.queues))] }

// on queues an op that reads and writes cells on queue i, after the ops on which it
// depends.
func (s *schedule) on(i int, reads []*cell, write *cell, op func(backend.Backend) error) error {
	q := s.queues[i]
	wait := func(uses ...use) error {
		for _, u := range uses {
			if u.event != nil && u.queue != i {
				if err := backend.Wait(q, u.event); err != nil {
					return fmt.Errorf("Wait: %w", err)
				}
			}
		}
		return nil
	}
	for _, x := range reads {
		if err := wait(x.write); err != nil {
			return err
		}
	}
	if write != nil {
		if err := wait(append(write.reads, write.write)...); err != nil {
			return err
		}
	}
	if err := op(q); err != nil {
		return err
	}
	e, err := backend.NewEvent(q)
	if err != nil {
		return fmt.Errorf("NewEvent: %w", err)
	}
	s.events = append(s.events, e)
	for _, x := range reads {
		x.reads = append(x.reads, use{e, i})
	}
	if write != nil {
		write.write, write.reads = use{e, i}, nil
	}
	return nil
}

// upload makes a cell of random integers.
func (s *schedule) upload() error {
	x := &cell{want: make([]float32, cellLen)}
	mem := make([]byte, 4*cellLen)
	for i := range x.want {
		x.want[i] = float32(s.rng.IntN(2001) - 1000)
		backend.F32.Put(mem, i, float64(x.want[i]))
	}
	return s.on(s.rng.IntN(len(s.queues)), nil, x, func(q backend.Backend) error {
		buf, err := q.Alloc(len(mem))
		if err != nil {
			return err
		}
		x.view = backend.NewView(buf, backend.F32, cellLen)
		s.cells = append(s.cells, x)
		return q.Upload(buf, 0, mem)
	})
}

// finish compares a cell with its expected content, by way of any queue, and frees it.
func (s *schedule) finish(i int) error {
	x := s.cells[i]
	err := s.on(s.rng.IntN(len(s.queues)), []*cell{x}, nil, func(q backend.Backend) error {
		if s.rng.IntN(2) == 0 { // the host waits instead of the queue
			if err := x.write.event.Sync(); err != nil {
				return fmt.Errorf("Event.Sync: %w", err)
			}
			if done, err := x.write.event.Done(); err != nil || !done {
				return fmt.Errorf("after Event.Sync: done %t, error %v", done, err)
			}
		}
		got, err := backend.Values(q, x.view)
		if err != nil {
			return err
		}
		for k, v := range got {
			if v != float64(x.want[k]) {
				return fmt.Errorf("element %d is %v, want %v", k, v, x.want[k])
			}
		}
		return nil
	})
	s.queue().Free(x.view.Buf)
	s.cells = slices.Delete(s.cells, i, i+1)
	return err
}
