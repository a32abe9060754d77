package backend

import (
	"fmt"
	"io"
	"strings"
)

// Trace returns a decorator of b that writes a line to w for every op that is queued: its
// name, its operands with their access, and the error if it failed.
//
//	RMSNorm write F32[2 8] write F32[2] read F32[2 8]/strides[16 1] read F32[8]
func Trace(b Backend, w io.Writer) Backend { return &tracer{Decorator{b}, w} }

type tracer struct {
	Decorator
	w io.Writer
}

func (t *tracer) Do(op Op) error {
	err := t.Backend.Do(op)
	var line strings.Builder
	line.WriteString(op.Name())
	op.Operands(func(v *View, a Access) { fmt.Fprintf(&line, " %s %s", a, *v) })
	if err != nil {
		fmt.Fprintf(&line, ": %v", err)
	}
	if _, werr := fmt.Fprintln(t.w, line.String()); werr != nil && err == nil {
		err = fmt.Errorf("backend: Trace: %w", werr)
	}
	return err
}
