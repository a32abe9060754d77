package backend

import "fmt"

// Program is a kept list of ops that runs again without being built again. Its
// buffers must stay allocated and its ops unchanged; what differs from run to
// run is read from buffers.
type Program struct {
	b   Backend
	ops []Op
}

// Record collects the ops that fn queues, without running them.
//
// The backend handed to fn refuses Upload, Download and Sync, whose effect a
// program could not repeat.
func Record(b Backend, fn func(Backend) error) (*Program, error) {
	r := &recorder{Decorator: Decorator{b}, p: &Program{b: b}}
	if err := fn(r); err != nil {
		return nil, err
	}
	return r.p, nil
}

// Run queues the recorded ops in order.
func (p *Program) Run() error {
	for _, op := range p.ops {
		if err := Do(p.b, op); err != nil {
			return err
		}
	}
	return nil
}

// Len is the number of recorded ops.
func (p *Program) Len() int { return len(p.ops) }

type recorder struct {
	Decorator
	p *Program
}

func (r *recorder) Do(op Op) error {
	if err := op.Check(); err != nil {
		return err
	}
	r.p.ops = append(r.p.ops, op)
	return nil
}

func (r *recorder) refuse(call string) error {
	return fmt.Errorf("backend: %s while recording: a program replays ops only", call)
}

func (r *recorder) Upload(Buffer, int, []byte) error   { return r.refuse("Upload") }
func (r *recorder) Download([]byte, Buffer, int) error { return r.refuse("Download") }
func (r *recorder) Sync() error                        { return r.refuse("Sync") }
