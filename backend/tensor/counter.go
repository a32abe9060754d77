package tensor

import (
	"fmt"
	"unsafe"

	"github.com/aha-go/aha/backend"
)

// Counter is a vector of counts on the device, such as the load of each expert.
type Counter struct {
	name string
	b    backend.Backend
	view backend.View // [N] I32
}

// Counter creates n counts, all 0. Params.Free frees them; Params.Err reports a failure
// of the device.
func (ps *Params) Counter(name string, n int) *Counter {
	c := &Counter{name: name, b: ps.b, view: backend.NewView(nil, backend.I32, n)}
	if ps.err != nil {
		return c
	}
	buf, err := ps.b.Alloc(n * backend.I32.Size())
	if err == nil {
		ps.owned = append(ps.owned, buf)
		c.view.Buf = buf
		err = c.Reset()
	}
	if err != nil {
		ps.err = fmt.Errorf("tensor: counter %s: %w", name, err)
	}
	return c
}

// Values returns the counts so far.
func (c *Counter) Values() ([]int, error) {
	counts := make([]int32, c.view.Len())
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(counts))), 4*len(counts))
	if err := c.b.Download(b, c.view.Buf, 0); err != nil {
		return nil, fmt.Errorf("tensor: counter %s: %w", c.name, err)
	}
	values := make([]int, len(counts))
	for i, n := range counts {
		values[i] = int(n)
	}
	return values, nil
}

// Reset sets the counts to 0.
func (c *Counter) Reset() error {
	if err := c.b.Do(&backend.Fill{Dst: c.view}); err != nil {
		return fmt.Errorf("tensor: counter %s: %w", c.name, err)
	}
	return nil
}

// Count adds the number of assignments of each expert to load, on the device. It counts
// in training only, and once per forward pass under Recompute; see Scope.Counting.
func (r Routing) Count(load *Counter) {
	s := scopeOf("Routing.Count", r.Offsets)
	if !s.Counting() {
		return
	}
	e := load.view.Len()
	counts := s.alloc(backend.I32, e)
	offsets := r.Offsets.View()
	s.binary(backend.Sub, counts.view, offsets.Slice(0, 1, e+1), offsets.Slice(0, 0, e))
	s.binary(backend.Add, load.view, load.view, counts.view)
}
