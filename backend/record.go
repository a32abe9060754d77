package backend

import (
	"errors"
	"fmt"
)

// Program is a kept list of ops that runs again without being built again. Its
// buffers must stay allocated and its ops unchanged; what differs from run to
// run is read from buffers.
type Program struct {
	b        Backend
	ops      []Op
	temps    []Buffer // of the ops that were expanded
	captured Captured // nil where b does not capture
	freed    bool
}

// Capturer is a backend that runs a fixed list of ops faster as one, such as a CUDA
// graph. Programs are captured where their backend, undecorated, is a Capturer.
type Capturer interface {
	// Capture prepares ops to be run in order, without running them. They and
	// their buffers stay as they are until the result's Free. An error that wraps
	// errors.ErrUnsupported says that a program of these ops is to loop over them.
	Capture(ops []Op) (Captured, error)
}

// Captured is a list of ops in a device's own form.
type Captured interface {
	// Run queues all ops.
	Run() error
	// Free gives up what the device keeps. Runs already queued still complete.
	Free()
}

// Record collects the ops that fn queues, without running them. Ops that b tells
// that it lacks (see Supports) are decomposed meanwhile, and the temporaries stay
// allocated until the program's Free.
//
// The backend handed to fn refuses what a program could not repeat: Upload,
// Download, Sync, queues and events.
func Record(b Backend, fn func(Backend) error) (*Program, error) {
	p := &Program{b: b}
	r := &recorder{Decorator: Decorator{b}, p: p, idle: map[int][]Buffer{}}
	err := fn(r)
	if c, ok := b.(Capturer); ok && err == nil {
		if p.captured, err = c.Capture(p.ops); errors.Is(err, errors.ErrUnsupported) {
			p.captured, err = nil, nil
		}
	}
	if err != nil {
		p.Free()
		return nil, err
	}
	return p, nil
}

// Run queues the recorded ops in order. Like Do it panics where their operands have
// become inconsistent, such as a packed matrix that is outdated, and after Free.
func (p *Program) Run() error {
	if p.freed {
		panic("backend: Run of a program that was freed")
	}
	if p.captured != nil {
		for _, op := range p.ops {
			if err := op.Check(); err != nil {
				panic(err)
			}
		}
		return p.captured.Run()
	}
	for _, op := range p.ops {
		if err := Do(p.b, op); err != nil {
			return err
		}
	}
	return nil
}

// Len is the number of ops, those of decompositions included.
func (p *Program) Len() int { return len(p.ops) }

// Free gives back the temporaries of decompositions and what the backend keeps of a
// captured program, which must not run again.
func (p *Program) Free() {
	if p.captured != nil {
		p.captured.Free()
	}
	for _, t := range p.temps {
		p.b.Free(t)
	}
	p.ops, p.temps, p.captured, p.freed = nil, nil, nil, true
}

type recorder struct {
	Decorator
	p    *Program
	idle map[int][]Buffer // temporaries of expansions that have ended, by size
}

func (r *recorder) Do(op Op) error {
	if err := op.Check(); err != nil {
		return err
	}
	if d, ok := op.(Decomposer); ok && lacks(r.Backend, op) {
		return Expand(expanding{r}, d)
	}
	r.p.ops = append(r.p.ops, op)
	return nil
}

// expanding is a recorder whose memory is the program's: what one decomposition
// frees, later ones use again, since the program runs them in the same order.
type expanding struct{ *recorder }

func (e expanding) Alloc(bytes int) (Buffer, error) { return e.AllocFor(Other, bytes) }

func (e expanding) AllocFor(h Holder, bytes int) (Buffer, error) {
	if list := e.idle[bytes]; len(list) > 0 {
		e.idle[bytes] = list[:len(list)-1]
		return list[len(list)-1], nil
	}
	buf, err := AllocFor(e.Backend, h, bytes)
	if err == nil {
		e.p.temps = append(e.p.temps, buf)
	}
	return buf, err
}

func (e expanding) Free(buf Buffer) { e.idle[buf.Bytes()] = append(e.idle[buf.Bytes()], buf) }

func (r *recorder) refuse(call string) error {
	return fmt.Errorf("backend: %s while recording: a program replays ops only", call)
}

func (r *recorder) Upload(Buffer, int, []byte) error   { return r.refuse("Upload") }
func (r *recorder) Download([]byte, Buffer, int) error { return r.refuse("Download") }
func (r *recorder) Sync() error                        { return r.refuse("Sync") }
func (r *recorder) NewQueue() (Backend, error)         { return nil, r.refuse("NewQueue") }
func (r *recorder) NewEvent() (Event, error)           { return nil, r.refuse("NewEvent") }
func (r *recorder) Wait(Event) error                   { return r.refuse("Wait") }
