package checkpoint

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// Rows is a tensor of floating-point values that are read or computed piece by piece, so
// that tensors larger than memory can be converted.
type Rows struct {
	Name  string
	Kind  tensor.Kind // kind of the parameter; for a tensor of a file see KindOf
	Shape []int       // outermost first
	// Read sets dst to whole rows, starting at row first. Rows are counted over all
	// dimensions but the last; a scalar is one row of one element.
	Read func(first int, dst []float32) error
}

// ParamRows returns the values of params, by the names that they have in files. For packed
// parameters these are the values that matrix products use.
func ParamRows(params []*tensor.Param) []Rows {
	var list []Rows
	for _, p := range params {
		for _, part := range parts(p) {
			list = append(list, Rows{part.name, p.Kind, part.shape, func(first int, dst []float32) error {
				return part.p.ReadRows(part.first+first, dst)
			}})
		}
	}
	return list
}

// Rows returns the named tensor. If there is a tensor NAME_scale_inv, elements of F8_E4M3
// and F8_E5M2 are multiplied by its scales, one per block, see [LoadOptions]. The error
// wraps a [FormatError] with [ErrMissing], [ErrDType], [ErrShape] or [ErrScaled].
func (r *Reader) Rows(name string, block [2]int) (Rows, error) {
	t, ok := r.Lookup(name)
	if !ok {
		return Rows{}, fmt.Errorf("checkpoint: %q: %w", name, ErrMissing)
	}
	fail := func(err error) (Rows, error) {
		return Rows{}, &FormatError{File: t.File, Tensor: name, Err: err}
	}
	dt, ok := deviceDTypes[t.DType]
	if !ok || !dt.IsFloat() {
		return fail(fmt.Errorf("%w: %s is not floating-point", ErrDType, t.DType))
	}
	f := &fileRows{info: t, dtype: dt, width: (&part{shape: t.Shape}).width()}
	f.values, _ = r.Section(name)
	p := planner{Reader: r, LoadOptions: LoadOptions{Block: block}}
	f.block = p.block()
	scale, ok, err := p.scaleOf(t, 1)
	if err == nil && ok && len(t.Shape) != 2 {
		err = fmt.Errorf("%w: %s %v for a tensor of shape %v", ErrScaled, scale.Name, scale.Shape, t.Shape)
	}
	if err != nil {
		return fail(err)
	}
	if ok {
		f.scale = scale
		f.scales, _ = r.Section(scale.Name)
	}
	return Rows{name, KindOf(name, len(t.Shape)), t.Shape, func(first int, dst []float32) error {
		if err := f.read(first, dst); err != nil {
			return fmt.Errorf("checkpoint: %s: tensor %q: %w", t.File, name, err)
		}
		return nil
	}}, nil
}

// IsScale reports whether a tensor holds the scales of another tensor and is read together
// with it.
func (r *Reader) IsScale(name string) bool {
	base, ok := strings.CutSuffix(name, scaleSuffix)
	if !ok {
		return false
	}
	t, ok := r.Lookup(base)
	return ok && (t.DType == F8E4M3 || t.DType == F8E5M2)
}

// fileRows reads a tensor of a file.
type fileRows struct {
	info, scale TensorInfo
	dtype       backend.DType
	width       int
	block       [2]int // rows and columns that share a scale
	values      *io.SectionReader
	scales      *io.SectionReader // nil if there are no scales
	raw, wide   []byte
}

func (f *fileRows) read(first int, dst []float32) error {
	size := len(dst) * f.dtype.Size()
	f.raw = slices.Grow(f.raw[:0], size)[:size]
	if err := readFull(f.values, f.raw, int64(first)*int64(f.width*f.dtype.Size())); err != nil {
		return err
	}
	if f.scales == nil {
		convert(dst, f.dtype, f.raw)
		return nil
	}
	across, n := ceil(f.width, f.block[1]), len(dst)/f.width
	from, to := first/f.block[0], ceil(first+n, f.block[0])
	row := across * f.scale.DType.Size()
	coded := make([]byte, (to-from)*row)
	if err := readFull(f.scales, coded, int64(from)*int64(row)); err != nil {
		return err
	}
	scales := appendScales(nil, f.scale.DType, coded)
	f.wide = slices.Grow(f.wide[:0], 4*len(dst))[:4*len(dst)]
	parallel(n, func(lo, hi int) {
		b := (first+lo)/f.block[0] - from
		dequantize(f.wide[4*lo*f.width:4*hi*f.width], f.raw[lo*f.width:hi*f.width], fp8Values[f.info.DType],
			scales[b*across:], f.width, (first+lo)%f.block[0], f.block)
	})
	convert(dst, backend.F32, f.wide)
	return nil
}

// convert sets dst to the elements of data, which have dtype dt.
func convert(dst []float32, dt backend.DType, data []byte) {
	parallel(len(dst), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			dst[i] = float32(dt.Get(data, i))
		}
	})
}

// readFull fills b, starting at offset at.
func readFull(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// As returns r for [Write] in a floating-point dtype, rounded to nearest. As F8_E4M3, a
// matrix is two tensors: elements, and NAME_scale_inv with one F32 scale per block of
// 128×128. The scale is max|x|/448, unless another one represents all values of the block
// exactly. F8_E4M3 of a tensor that is not a matrix panics.
func (r Rows) As(dt DType) []Tensor {
	if dt == F8E4M3 {
		return fp8Tensors(r)
	}
	to, ok := deviceDTypes[dt]
	if !ok || !to.IsFloat() {
		panic(fmt.Sprintf("checkpoint: %s as %s, want a floating-point dtype", r.Name, dt))
	}
	return []Tensor{{Name: r.Name, DType: dt, Shape: r.Shape, Stream: func(w io.Writer) error {
		mem := bytesPool.Get().(*[]byte)
		defer bytesPool.Put(mem)
		return r.Each(1, func(_ int, x []float32) error {
			*mem = slices.Grow((*mem)[:0], len(x)*to.Size())
			out := (*mem)[:len(x)*to.Size()]
			parallel(len(x), func(lo, hi int) {
				for i := lo; i < hi; i++ {
					to.Put(out, i, float64(x[i]))
				}
			})
			_, err := w.Write(out)
			return err
		})
	}}}
}

// Each reads all rows in order and calls visit with step rows at a time, or fewer at the
// end. The next call overwrites x.
func (r Rows) Each(step int, visit func(first int, x []float32) error) error {
	p := part{shape: r.Shape}
	if p.len() == 0 {
		return nil
	}
	step *= max(1, chunkElements/p.width()/step)
	mem := floatsPool.Get().(*[]float32)
	defer floatsPool.Put(mem)
	*mem = slices.Grow((*mem)[:0], min(step, p.rows())*p.width())
	for first := 0; first < p.rows(); first += step {
		x := (*mem)[:min(step, p.rows()-first)*p.width()]
		if err := r.Read(first, x); err != nil {
			return err
		}
		if err := visit(first, x); err != nil {
			return err
		}
	}
	return nil
}

// Tensors are read through shared memory. Garbage would be collected late: the heap of a
// run is large.
var (
	bytesPool  = sync.Pool{New: func() any { return new([]byte) }}
	floatsPool = sync.Pool{New: func() any { return new([]float32) }}
)

// parallel divides n items among the processors.
func parallel(n int, do func(lo, hi int)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() { do(n*i/workers, n*(i+1)/workers) })
	}
	wg.Wait()
}
