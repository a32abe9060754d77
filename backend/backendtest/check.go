package backendtest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"

	"github.com/aha-go/aha/backend"
)

// Result is the outcome of a case on a backend.
type Result struct {
	Case        Case
	Unsupported bool   // the backend lacks the op, its dtype or its layout
	Skipped     string // why the case does not apply to the backend; "" if it does
	Err         error  // the op failed, or it wrote memory outside its results

	// MaxError is the largest error of all written elements, each as a multiple of its
	// allowed error; above 1 the case fails. The following fields describe that element.
	MaxError  float64
	Operand   string
	Index     []int
	Got, Want float64
	Tolerance float64
	operands  string // description of all operands
}

// OK reports whether the case passed, was unsupported or did not apply.
func (r Result) OK() bool { return r.Err == nil && r.MaxError <= 1 }

func (r Result) String() string {
	switch {
	case r.Err != nil:
		return fmt.Sprintf("%s: %v; operands %s", r.Case, r.Err, r.operands)
	case r.Skipped != "":
		return fmt.Sprintf("%s: skipped: %s", r.Case, r.Skipped)
	case r.Unsupported:
		return fmt.Sprintf("%s: unsupported", r.Case)
	}
	return fmt.Sprintf("%s: largest error %s%v = %v, want %v ± %.3g (%.3g of the tolerance); operands %s",
		r.Case, r.Operand, r.Index, r.Got, r.Want, r.Tolerance, r.MaxError, r.operands)
}

// Check runs c on b and compares the results with the definition.
func Check(b backend.Backend, c Case) Result {
	r, _ := run(b, c, b.Do)
	return r
}

// CheckDecomposed runs the decomposition of c's op on b and compares the results with the
// definition. Ops that have no decomposition are skipped.
func CheckDecomposed(b backend.Backend, c Case) Result {
	decomposed := true
	r, _ := run(b, c, func(op backend.Op) error {
		d, ok := op.(backend.Decomposer)
		if !ok {
			decomposed = false
			return errors.ErrUnsupported
		}
		if err := backend.Expand(b, d); err != nil {
			return fmt.Errorf("decomposed: %v", err)
		}
		return nil
	})
	if !decomposed {
		r.Unsupported, r.Skipped = false, "a core op"
	}
	return r
}

// setup builds the case for b.
func (c Case) setup(b backend.Backend) *setup {
	s := &setup{rng: rand.New(rand.NewPCG(c.Seed, 2)), dt: c.DType, strided: c.Strided}
	s.packer, _ = b.(backend.Packer)
	c.spec.build(s)
	return s
}

// run calls do with c's op on b and compares the results with the definition. The setup
// has the results of b; it is nil if building the case panicked.
func run(b backend.Backend, c Case, do func(backend.Op) error) (r Result, s *setup) {
	r.Case = c
	defer func() {
		if p := recover(); p != nil {
			r.Err = fmt.Errorf("panic: %v at %s", p, panicSite())
		}
	}()
	s = c.setup(b)
	if s.skip != "" {
		r.Skipped = s.skip
		return r, s
	}
	r.operands = s.describe()
	if err := s.op.Check(); err != nil {
		r.Err = fmt.Errorf("the case is wrong: %w", err)
		return r, s
	}
	m, err := s.bind(b)
	defer m.free()
	if err != nil {
		r.Err = err
		return r, s
	}
	for _, op := range s.prelude {
		err := b.Do(op)
		if errors.Is(err, errors.ErrUnsupported) {
			r.Unsupported = true
			return r, s
		}
		if err != nil {
			r.Err = fmt.Errorf("before the op: %w", err)
			return r, s
		}
	}
	err = do(s.op)
	if err != nil && errors.Is(err, errors.ErrUnsupported) {
		r.Unsupported, err = true, nil
	}
	if err == nil {
		err = b.Sync()
	}
	if err != nil {
		r.Err = err
		return r, s
	}
	if !r.Unsupported {
		s.want()
	}
	for _, o := range s.operands {
		mem := make([]byte, o.view.Buf.Bytes())
		if err := b.Download(mem, m.device[o.view.Buf.(*hostBuffer)], 0); err != nil {
			r.Err = err
			return r, s
		}
		r.compare(o, mem)
	}
	return r, s
}

// panicSite returns the position in the code that panicked. It must be called by the
// deferred function that recovers.
func panicSite() string {
	pc := make([]uintptr, 64)
	frames := runtime.CallersFrames(pc[:runtime.Callers(0, pc)])
	for panicked := false; ; {
		f, more := frames.Next()
		if f.Function == "runtime.gopanic" {
			panicked = true
		} else if panicked && !strings.HasPrefix(f.Function, "runtime.") || !more {
			return fmt.Sprintf("%s:%d", f.File, f.Line)
		}
	}
}

// describe lists the operands' views by name.
func (s *setup) describe() string {
	var list []string
	for _, o := range s.operands {
		list = append(list, fmt.Sprintf("%s %s", o.name, o.view))
	}
	return strings.Join(list, ", ")
}

// memory is the copies of a setup's buffers on a backend.
type memory struct {
	b      backend.Backend
	order  []backend.Buffer
	device map[*hostBuffer]backend.Buffer
}

// bind uploads the operands to b and points the ops at these copies.
func (s *setup) bind(b backend.Backend) (*memory, error) {
	m := &memory{b: b, device: map[*hostBuffer]backend.Buffer{}}
	for _, o := range s.operands {
		host := o.view.Buf.(*hostBuffer)
		buf, err := b.Alloc(len(host.mem))
		if err != nil {
			return m, err
		}
		m.order, m.device[host] = append(m.order, buf), buf
		if err := b.Upload(buf, 0, host.mem); err != nil {
			return m, err
		}
	}
	for _, op := range append(s.prelude, s.op) {
		op.Operands(func(v *backend.View, _ backend.Access) { v.Buf = m.device[v.Buf.(*hostBuffer)] })
	}
	return m, nil
}

func (m *memory) free() {
	for _, buf := range m.order {
		m.b.Free(buf)
	}
}

// compare compares o with mem, the content of its buffer after the op, and updates r if
// an element has the largest error so far.
func (r *Result) compare(o *operand, mem []byte) {
	host := o.view.Buf.(*hostBuffer).mem
	dt, n := o.view.DType, o.view.DType.Size()
	wild := bytes.Clone(mem) // mem with the elements of the result restored
	o.got = make([]float64, len(o.want))
	o.view.Each(func(i, at int) {
		if o.opaque {
			copy(wild[at*n:][:n], host[at*n:])
		}
		if o.want == nil || !o.set[i] {
			return
		}
		copy(wild[at*n:][:n], host[at*n:])
		got := dt.Get(mem, at)
		o.got[i] = got
		want, allowed := o.allowed(r.Case.Op, i)
		if e := excess(got, want, allowed); e > r.MaxError || r.Operand == "" {
			r.MaxError, r.Operand, r.Index, r.Got, r.Want, r.Tolerance = e, o.name, unravel(o.view, i), got, want, allowed
		}
	})
	if r.Err == nil && !bytes.Equal(wild, host) {
		at := 0
		for wild[at] == host[at] {
			at++
		}
		what := "wrote outside the result"
		if r.Unsupported {
			what = "unsupported, but changed memory"
		}
		r.Err = fmt.Errorf("%s: %s, element %d of the buffer (the view starts at %d)", what, o.name, at/n, o.view.Offset)
	}
}

// allowed returns the wanted value of element i, as its dtype represents it, and the
// allowed error.
func (o *operand) allowed(op string, i int) (want, within float64) {
	want = o.want[i]
	if o.view.DType == backend.F32 && math.Abs(want) > math.MaxFloat32 {
		want = float64(float32(want))
	}
	t, _ := ToleranceOf(op, o.view.DType)
	return want, t.Allowed(want, o.bound[i])
}

// excess returns |got − want| as a multiple of the allowed error.
func excess(got, want, allowed float64) float64 {
	switch {
	case got == want || math.IsNaN(got) && math.IsNaN(want):
		return 0
	case math.IsNaN(got) || math.IsNaN(want) || math.IsInf(got, 0) || math.IsInf(want, 0) || allowed == 0:
		return math.Inf(1)
	}
	return math.Abs(got-want) / allowed
}

func unravel(v backend.View, i int) []int {
	index := make([]int, v.Rank)
	for d := v.Rank - 1; d >= 0; d-- {
		index[d] = i % v.Shape[d]
		i /= v.Shape[d]
	}
	return index
}
