package backend

import (
	"errors"
	"fmt"
)

// Program is a recorded list of ops that can be run many times. Its buffers must stay
// allocated and its ops unchanged; what changes from run to run is read from buffers.
type Program struct {
	b        Backend
	ops      []Op
	temps    []Buffer // temporaries of decomposed ops
	captured Captured // nil if b does not capture
	freed    bool
}

// Capturer is a backend that can run a fixed list of ops faster as a whole, such as a
// CUDA graph. Programs are captured if their backend itself is a Capturer; one that it
// wraps is not asked.
type Capturer interface {
	// Capture prepares ops to be run in order, without running them. They and their
	// buffers must not change until the result is freed. An error that wraps
	// errors.ErrUnsupported means that these ops cannot be captured; the program then
	// runs them one by one.
	Capture(ops []Op) (Captured, error)
}

// Captured is a list of ops in a form of the device.
type Captured interface {
	// Run queues all ops.
	Run() error
	// Free releases what the device keeps for it. Runs already queued still complete.
	Free()
}

// Record collects the ops that fn queues, without running them. If b reports that it
// lacks an op (see Supports), the op is decomposed, and the temporaries stay allocated
// until the program's Free.
//
// The backend passed to fn refuses what a program cannot repeat: Upload, Download, Sync,
// queues and events.
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

// Run queues the recorded ops in order. Like Do it panics if their operands have become
// inconsistent, for example if a packed matrix is outdated. It also panics after Free.
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

// Len returns the number of ops, including those of decompositions.
func (p *Program) Len() int { return len(p.ops) }

// Free releases the temporaries of decompositions and what the backend keeps for a
// captured program. The program must not be run again.
func (p *Program) Free() {
	if p.captured != nil {
		p.captured.Free()
	}
	for _, t := range p.temps {
		p.b.Free(t)
	}
	p.ops, p.temps, p.captured, p.freed = nil, nil, nil, true
}

// recorder is the backend that Record passes to fn.
type recorder struct {
	Decorator
	p    *Program
	idle map[int][]Buffer // temporaries of finished decompositions, by size
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

// expanding is the backend on which a recorder decomposes ops. Later decompositions reuse
// the temporaries that earlier ones freed, since the program runs them in the same order.
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
