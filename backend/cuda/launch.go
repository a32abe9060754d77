package cuda

import (
	"errors"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cuda/internal/driver"
)

// threads is the number of threads of a block, except where few warps are
// launched.
const (
	threads       = 256
	warpsPerBlock = threads / 32
)

// view is View of kernels/view.cuh.
type view struct {
	data    uint64
	shape   [4]int64
	strides [4]int64
	dtype   int64
}

// viewOf returns v extended to four dimensions.
func viewOf(v *backend.View) view {
	k := view{dtype: int64(v.DType)}
	if v.Present() {
		k.data = uint64(v.Buf.(*buffer).ptr) + uint64(v.Offset*v.DType.Size())
	}
	first := backend.MaxRank - v.Rank
	for i := range first {
		k.shape[i] = 1
	}
	for i := range v.Rank {
		k.shape[first+i], k.strides[first+i] = int64(v.Shape[i]), int64(v.Strides[i])
	}
	return k
}

// call is a launch in preparation: its parameters, in the kernel's order.
type call struct {
	b    *CUDA
	f    *driver.Function
	args *driver.Args
	err  error
}

// kernel starts a launch of the named kernel of kernels/file.cu.
func (b *CUDA) kernel(file, name string) call {
	f, err := b.kernels.function(file, name)
	if errors.Is(err, driver.OutOfMemory) && b.memory.cached > 0 {
		if err = b.trim(); err == nil {
			f, err = b.kernels.function(file, name)
		}
	}
	return call{b: b, f: f, args: b.driver.Args(), err: err}
}

// suffix returns the suffix of the names of kernels whose compute dtype is that
// of dt.
func suffix(dt backend.DType) string {
	if dt == backend.F64 {
		return "_f64"
	}
	return "_f32"
}

func (c call) views(list ...*backend.View) call {
	for _, v := range list {
		k := viewOf(v)
		driver.Struct(c.args, &k)
	}
	return c
}

func (c call) int(v int) call { c.args.I32(int32(v)); return c }

// flag adds an int parameter that is 1 if v is true and 0 otherwise.
func (c call) flag(v bool) call {
	if v {
		return c.int(1)
	}
	return c.int(0)
}

func (c call) u64(v uint64) call { c.args.U64(v); return c }

func (c call) double(v float64) call { c.args.F64(v); return c }

// index adds the address at which kernels report indices and steps out of
// range.
func (c call) index() call {
	c.args.Ptr(c.b.bad.ptr)
	c.b.indexed = true
	return c
}

// each launches a thread for each of n elements, or as many as keep the device
// busy.
func (c call) each(n int) error { return c.blocks((n + threads - 1) / threads) }

// blocks launches n blocks, or as many as keep the device busy. n may be 0.
func (c call) blocks(n int) error { return c.launch(n, threads) }

// warps launches n warps, or as many as keep the device busy. If there are few,
// they are spread over all multiprocessors.
func (c call) warps(n int) error {
	block := min(max(n/c.b.units, 1), warpsPerBlock)
	return c.launch(ceil(n, block), 32*block)
}

// shortRow is the maximum length of rows that a warp processes; a block
// processes longer ones.
const shortRow = 1024

// rows launches the threads with which eachRow of kernels/fold.cuh processes n
// rows of the given length.
func (c call) rows(n, length int) error {
	if length <= shortRow {
		return c.warps(n)
	}
	return c.blocks(n)
}

func (c call) launch(blocks, size int) error {
	if c.err != nil || blocks == 0 {
		return c.err
	}
	grid := min(blocks, 32*c.b.units)
	err := c.b.driver.Launch(c.f, driver.Dim{X: grid}, driver.Dim{X: size}, 0, c.b.stream, c.args)
	if err == nil && c.b.debug {
		err = c.b.await(c.f.Name)
	}
	return err
}
