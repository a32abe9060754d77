package backend_test

import (
	"bytes"
	"testing"

	"github.com/aha-go/aha/backend"
)

// late is a backend that runs ops only at Sync and Download. It has one queue and no
// events.
type late struct {
	backend.Backend
	ops []backend.Op
}

func (l *late) Do(op backend.Op) error {
	l.ops = append(l.ops, op)
	return nil
}

func (l *late) Sync() error {
	for _, op := range l.ops {
		if err := l.Backend.Do(op); err != nil {
			return err
		}
	}
	l.ops = nil
	return l.Backend.Sync()
}

func (l *late) Download(dst []byte, src backend.Buffer, off int) error {
	if err := l.Sync(); err != nil {
		return err
	}
	return l.Backend.Download(dst, src, off)
}

func TestNewQueueOfABackendWithOneQueueIsTheBackend(t *testing.T) {
	b := &late{Backend: newCPU(t)}
	q, err := backend.NewQueue(b)
	if err != nil {
		t.Fatal(err)
	}
	x, y := upload(t, q, backend.F32, []float64{1}, 1), upload(t, b, backend.F32, []float64{0}, 1)
	do(t, q, &backend.Unary{Y: x, X: x, Fn: backend.Affine, A: 3})
	for name, wait := range map[string]func(e backend.Event) error{
		"Sync": backend.Event.Sync,
		"Done": func(e backend.Event) error { _, err := e.Done(); return err },
		"Wait": func(e backend.Event) error { return backend.Wait(b, e) },
	} {
		do(t, q, &backend.Fill{Dst: y, Value: 5})
		e, err := backend.NewEvent(q)
		if err != nil {
			t.Fatal(err)
		}
		if err := wait(e); err != nil {
			t.Fatal(err)
		}
		if len(b.ops) != 0 {
			t.Errorf("%d ops have not run after %s of an event queued after them", len(b.ops), name)
		}
		e.Free()
	}
	do(t, b, &backend.Binary{Y: y, A: y, B: x, Fn: backend.Add})
	if got := values(t, b, y)[0]; got != 8 {
		t.Errorf("y = %v, want 8: the ops of the two queues ran in the order of Do", got)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if got := values(t, b, x)[0]; got != 3 {
		t.Errorf("x = %v after the second queue was closed", got)
	}
	if _, err := b.Alloc(4); err != nil {
		t.Errorf("closing the second queue closed the first: %v", err)
	}
}

// queues is a backend that hands out other queues and events and counts both.
type queues struct {
	backend.Backend
	made, events, waits int
}

func (q *queues) NewEvent() (backend.Event, error) {
	q.events++
	return backend.NewEvent(q.Backend)
}

func (q *queues) Wait(e backend.Event) error {
	q.waits++
	return e.Sync()
}

func (q *queues) NewQueue() (backend.Backend, error) {
	q.made++
	return q.Backend, nil
}

func TestQueuesOfADecoratedBackendPassThroughTheDecorator(t *testing.T) {
	b := &queues{Backend: newCPU(t)}
	if _, err := backend.NewQueue(b); err != nil || b.made != 1 {
		t.Fatalf("%d queues made, error %v", b.made, err)
	}
	var out bytes.Buffer
	counter := &counted{Decorator: backend.Decorator{Backend: backend.Trace(b, &out)}}
	q, err := backend.NewQueue(counter)
	if err != nil {
		t.Fatal(err)
	}
	x := upload(t, q, backend.F32, []float64{1}, 1)
	do(t, q, &backend.Fill{Dst: x, Value: 2})
	if counter.ops != 1 || out.String() != "Fill write F32[1]\n" || b.made != 1 {
		t.Errorf("%d ops counted, trace %q, %d queues made", counter.ops, &out, b.made)
	}
	if found, ok := backend.As[*counted](q); !ok || found != counter {
		t.Error("As does not find the decorator that the queue wraps")
	}
	e, err := backend.NewEvent(q)
	if err != nil {
		t.Fatal(err)
	}
	if err := backend.Wait(counter, e); err != nil || b.events != 1 || b.waits != 1 {
		t.Errorf("error %v; %d events and %d waits reach the wrapped backend, want 1 and 1", err, b.events, b.waits)
	}
}

func TestDryRunQueuesNoEvents(t *testing.T) {
	b := &queues{Backend: newCPU(t)}
	d := backend.DryRun(b)
	e, err := backend.NewEvent(d)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := e.Done(); !done || err != nil {
		t.Errorf("done %t, error %v", done, err)
	}
	if err := backend.Wait(d, e); err != nil || b.events != 0 || b.waits != 0 {
		t.Errorf("error %v; %d events and %d waits reach the wrapped backend", err, b.events, b.waits)
	}
}
