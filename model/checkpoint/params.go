package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// ErrMissing is wrapped by Load's error for a parameter that no file holds.
var ErrMissing = errors.New("no such tensor")

// chunkElements is how many elements travel between file and device at a time.
const chunkElements = 1 << 18

// maxFaults limits how many faults one error of Load spells out.
const maxFaults = 8

// Load overwrites the values of params by the tensors that have their names in
// the file or directory at path (see [Open]), and returns the names of tensors
// that no parameter claimed, sorted. Parameters may be packed: each tensor is read,
// converted and packed a piece at a time, so that beside the parameters in their
// final form only a few megabytes are needed.
//
// F64, F32, BF16 and F16 are converted to the parameter's dtype; F64 to F32 and
// F32 to BF16 round to nearest even. Every name, shape and dtype is checked
// before the first value is overwritten: the error wraps a [FormatError] with
// [ErrMissing], [ErrShape] or [ErrDType] for each fault. Only a file or device
// that fails while it is read leaves some of the parameters changed.
func Load(path string, params []*tensor.Param) (unclaimed []string, err error) {
	r, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var list []part
	for _, p := range params {
		list = append(list, parts(p)...)
	}
	claimed := map[string]bool{}
	var faults []error
	for _, p := range list {
		if claimed[p.name] {
			return nil, fmt.Errorf("checkpoint: load %s: two parameters named %s", path, p.name)
		}
		claimed[p.name] = true
		if err := r.fits(p); err != nil {
			faults = append(faults, &FormatError{File: path, Tensor: p.name, Err: err})
		}
	}
	if n := len(faults); n > 0 {
		if n > maxFaults {
			faults = append(faults[:maxFaults], fmt.Errorf("checkpoint: %s: and %d tensors more", path, n-maxFaults))
		}
		return nil, errors.Join(faults...)
	}
	var l loader
	defer l.rows.Close()
	for _, p := range list {
		if err := l.load(r, p); err != nil {
			return nil, fmt.Errorf("checkpoint: %s: tensor %q: %w", path, p.name, err)
		}
	}
	for _, t := range r.Tensors() {
		if !claimed[t.Name] {
			unclaimed = append(unclaimed, t.Name)
		}
	}
	return unclaimed, nil
}

// fits says what speaks against loading p.
func (r *Reader) fits(p part) error {
	t, ok := r.Lookup(p.name)
	if !ok {
		return ErrMissing
	}
	if !slices.Equal(t.Shape, p.shape) {
		return fmt.Errorf("%w %v: the parameter has %v", ErrShape, t.Shape, p.shape)
	}
	switch t.DType {
	case F64, F32, BF16, F16:
		return nil
	}
	return fmt.Errorf("%w: %s cannot become %s", ErrDType, t.DType, p.p.DType())
}

// loader copies tensors to parameters through memory that it keeps.
type loader struct {
	rows     tensor.RowWriter
	src, dst []byte
}

// load copies a tensor that fits to the device.
func (l *loader) load(r *Reader, p part) error {
	t, _ := r.Lookup(p.name)
	section, err := r.Section(p.name)
	if err != nil {
		return err
	}
	dt, width := p.p.DType(), p.width()
	step := max(1, chunkElements/width)
	if p.p.Packed() { // which it is by so many rows at a time
		step = max(backend.PackColumns, step/backend.PackColumns*backend.PackColumns)
	}
	from, to := width*t.DType.Size(), width*dt.Size() // bytes of a row
	for at := 0; at < p.rows(); at += step {
		n := min(step, p.rows()-at)
		l.src, l.dst = slices.Grow(l.src[:0], n*from)[:n*from], slices.Grow(l.dst[:0], n*to)[:n*to]
		if _, err := io.ReadFull(section, l.src); err != nil {
			return err
		}
		if err := l.rows.Set(p.p, p.first+at, convert(l.dst, dt, l.src, t.DType)); err != nil {
			return err
		}
	}
	return nil
}

// convert returns src as elements of dt, in dst unless they are that already.
func convert(dst []byte, dt backend.DType, src []byte, from DType) []byte {
	if fileDType(dt) == from {
		return src
	}
	for i := range len(dst) / dt.Size() {
		var x float64
		switch from {
		case F64:
			x = backend.F64.Get(src, i)
		case F32:
			x = backend.F32.Get(src, i)
		case BF16:
			x = backend.BF16.Get(src, i)
		case F16:
			x = halfToFloat(uint16(src[2*i]) | uint16(src[2*i+1])<<8)
		}
		dt.Put(dst, i, x)
	}
	return dst
}

// halfToFloat is the value of an IEEE 754 binary16.
func halfToFloat(bits uint16) float64 {
	sign, exponent, fraction := 1-2*float64(bits>>15), int(bits>>10&31), float64(bits&1023)
	switch exponent {
	case 0: // subnormal
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}

// fileDType is how a file spells a device dtype.
func fileDType(dt backend.DType) DType { return DType(dt.String()) }

// Tensors describes the values of params for [Write], each under the name it
// has in files and in its own dtype. The values are fetched from the device as
// they are written.
func Tensors(params []*tensor.Param) []Tensor {
	var list []Tensor
	for _, p := range params {
		for _, part := range parts(p) {
			list = append(list, Tensor{
				Name: part.name, DType: fileDType(p.DType()), Shape: part.shape, Stream: part.stream,
			})
		}
	}
	return list
}

func (p part) stream(w io.Writer) error {
	v := p.p.Value()
	n, size := p.len(), v.DType.Size()
	start := v.Offset + p.first*p.width()
	buf := make([]byte, min(n, chunkElements)*size)
	for at := 0; at < n; at += chunkElements {
		data := buf[:min(chunkElements, n-at)*size]
		if err := p.p.Backend().Download(data, v.Buf, (start+at)*size); err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// Keep describes the named tensors for [Write], unchanged: what [Load] left
// unclaimed need not be lost when a model is saved. r must stay open until they
// are written.
func (r *Reader) Keep(names []string) ([]Tensor, error) {
	var list []Tensor
	for _, name := range names {
		section, err := r.Section(name)
		if err != nil {
			return nil, err
		}
		t, _ := r.Lookup(name)
		list = append(list, Tensor{Name: name, DType: t.DType, Shape: t.Shape, Stream: func(w io.Writer) error {
			_, err := io.Copy(w, io.NewSectionReader(section, 0, section.Size()))
			return err
		}})
	}
	return list, nil
}
