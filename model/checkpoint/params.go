package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

var (
	// ErrMissing is wrapped by Load's error for a parameter that no file holds.
	ErrMissing = errors.New("no such tensor")
	// ErrScaled is wrapped by Load's error for a tensor whose numbers are to be
	// multiplied by those of another, which Load does not do.
	ErrScaled = errors.New("tensor has scales")
)

// chunkElements is how many elements travel from file to device, or back, at a time.
const chunkElements = 1 << 18

// maxFaults limits how many faults one error of Load spells out.
const maxFaults = 8

// Load overwrites the values of params by the tensors that have their names in
// the file or directory at path (see [Open]), and returns the names of tensors
// that no parameter claimed, sorted. Parameters may be packed: each tensor is read,
// converted and packed a piece at a time, so that beside the parameters in their
// final form only a few megabytes are needed.
//
// F64, F32, BF16, F16, F8_E4M3 and F8_E5M2 are converted to the parameter's dtype
// by [backend.Copy] on its device. FP8 beside scales, a tensor NAME_scale_inv or
// NAME_scale, is refused. Every name, shape and dtype is checked before the first
// value is overwritten: the error wraps a [FormatError] with [ErrMissing],
// [ErrShape], [ErrDType] or [ErrScaled] for each fault. Only a file or device that
// fails while it is read leaves some of the parameters changed.
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
	if dt, ok := deviceDTypes[t.DType]; !ok || !dt.IsFloat() {
		return fmt.Errorf("%w: %s cannot become %s", ErrDType, t.DType, p.p.DType())
	}
	if t.DType != F8E4M3 && t.DType != F8E5M2 {
		return nil
	}
	for _, suffix := range []string{"_scale_inv", "_scale"} {
		if scale, ok := r.Lookup(p.name + suffix); ok {
			return fmt.Errorf("%w: %s %v beside %s is not read; convert the file to BF16 first",
				ErrScaled, scale.Name, scale.Shape, t.DType)
		}
	}
	return nil
}

// loader copies tensors to parameters through memory that it keeps.
type loader struct {
	rows tensor.RowWriter
	host []byte
}

// load copies a tensor that fits to the device and converts it there.
func (l *loader) load(r *Reader, p part) error {
	t, _ := r.Lookup(p.name)
	section, err := r.Section(p.name)
	if err != nil {
		return err
	}
	dt, width := deviceDTypes[t.DType], p.width()
	step := max(1, chunkElements/width)
	if p.p.Packed() { // which it is by so many rows at a time
		step = max(backend.PackColumns, step/backend.PackColumns*backend.PackColumns)
	}
	for at := 0; at < p.rows(); at += step {
		n := min(step, p.rows()-at)
		size := n * width * dt.Size()
		l.host = slices.Grow(l.host[:0], size)[:size]
		if _, err := io.ReadFull(section, l.host); err != nil {
			return err
		}
		if err := l.rows.Set(p.p, p.first+at, dt, l.host); err != nil {
			return err
		}
	}
	return nil
}

// deviceDTypes is how devices call the dtypes that they share with files.
var deviceDTypes = map[DType]backend.DType{
	F64: backend.F64, F32: backend.F32, BF16: backend.BF16, F16: backend.F16,
	F8E4M3: backend.E4M3, F8E5M2: backend.E5M2, I32: backend.I32, I8: backend.I8,
}

// fileDType is how a file calls a device's dtype.
func fileDType(dt backend.DType) DType {
	for file, device := range deviceDTypes {
		if device == dt {
			return file
		}
	}
	panic(fmt.Sprintf("checkpoint: files have no dtype %s", dt))
}

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
