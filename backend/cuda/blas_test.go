package cuda_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/backendtest"
)

const byCuBLASLt = "cuda:0?products=cublaslt"

// onBoth opens the emulated device twice with the same seed: own uses the
// kernels of this package, blas uses cuBLASLt.
func onBoth(t *testing.T) (own, blas *device) {
	t.Helper()
	emulated(t)
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	return on(t, "cuda:0", seed), on(t, byCuBLASLt, seed)
}

func TestProductsOfCuBLASLtConform(t *testing.T) {
	emulated(t)
	conforms(t, func(c backendtest.Case) bool {
		return c.Op == "MatMul" || strings.HasPrefix(c.Op, "LinearLogProb")
	})
}

// Check mode detects wrong accesses in all products, including those that the
// emulator computes for cuBLASLt.
func TestProductsOfCuBLASLtAccessTheirOperandsAlone(t *testing.T) {
	emulated(t)
	t.Setenv("AHA_EMU_CHECK", "1")
	if !inChild(t) { // check mode cannot change while a device is open
		return
	}
	conforms(t, func(c backendtest.Case) bool { return c.Op == "MatMul" })
}

// conforms checks, with cuBLASLt, the F32 and BF16 cases for which wanted is
// true.
func conforms(t *testing.T, wanted func(backendtest.Case) bool) {
	b := backendtest.Open(t, byCuBLASLt)
	cases := backendtest.Cases()
	for seed := range uint64(100) {
		cases = append(cases, backendtest.RandomCase(seed))
	}
	n := 0
	for _, c := range cases {
		if c.DType == backend.F64 || !wanted(c) {
			continue
		}
		n++
		if r := backendtest.Check(b, c); !r.OK() || r.Unsupported {
			t.Error(r)
		}
	}
	if n < 100 {
		t.Errorf("%d cases of products", n)
	}
}

// product is C = A·B or C += A·B on one device. taken says whether cuBLASLt
// computes it.
type product struct {
	name       string
	taken      bool
	accumulate bool
	operands   func(d *device) (c, a, b backend.View)
}

// products cover all memory layouts of operands that are treated differently.
var products = []product{
	{"row-major", true, false, func(d *device) (c, a, b backend.View) {
		return d.normal(backend.F32, 5, 7), d.normal(backend.F32, 5, 30), d.normal(backend.F32, 30, 7)
	}},
	{"accumulated", true, true, func(d *device) (c, a, b backend.View) {
		return d.normal(backend.F32, 5, 7), d.normal(backend.F32, 5, 30), d.normal(backend.F32, 30, 7)
	}},
	{"BF16", true, false, func(d *device) (c, a, b backend.View) {
		return d.normal(backend.BF16, 5, 7), d.normal(backend.BF16, 5, 30), d.normal(backend.BF16, 30, 7)
	}},
	{"BF16 into F32", true, true, func(d *device) (c, a, b backend.View) {
		return d.normal(backend.F32, 5, 7), d.normal(backend.BF16, 5, 30), d.normal(backend.BF16, 30, 7)
	}},
	{"transposed", true, false, func(d *device) (c, a, b backend.View) {
		return d.normal(backend.F32, 5, 7), d.normal(backend.F32, 30, 5).T(), d.normal(backend.F32, 7, 30).T()
	}},
	{"slices at odd addresses", true, true, func(d *device) (c, a, b backend.View) {
		return d.normal(backend.F32, 6, 9).Slice(1, 1, 8).Slice(0, 1, 6),
			d.normal(backend.F32, 5, 33).Slice(1, 3, 33), d.normal(backend.F32, 9, 31).T().Slice(1, 2, 9).Slice(0, 1, 31)
	}},
	{"a row and a column", true, false, func(d *device) (c, a, b backend.View) {
		return d.normal(backend.F32, 2, 1).Slice(0, 1, 2),
			d.normal(backend.F32, 30, 3).Slice(1, 1, 2).T(), d.normal(backend.F32, 30, 4).Slice(1, 2, 3)
	}},
	{"stacks", true, false, func(d *device) (c, a, b backend.View) {
		return d.normal(backend.F32, 2, 3, 5, 7), d.normal(backend.F32, 2, 3, 5, 30), d.normal(backend.F32, 2, 3, 7, 30).T()
	}},
	{"heads beside each other", true, false, func(d *device) (c, a, b backend.View) {
		return d.normal(backend.F32, 5, 3, 7).Permute(1, 0, 2), d.normal(backend.F32, 5, 3, 30).Permute(1, 0, 2),
			d.normal(backend.F32, 1, 30, 7).BroadcastTo(3, 30, 7)
	}},
	{"a stack of stacks with a gap", false, false, func(d *device) (c, a, b backend.View) {
		return d.normal(backend.F32, 2, 3, 5, 7), d.normal(backend.F32, 2, 4, 5, 30).Slice(1, 0, 3),
			d.normal(backend.F32, 2, 3, 30, 7)
	}},
	{"neither rows nor columns contiguous", false, false, func(d *device) (c, a, b backend.View) {
		return d.normal(backend.F32, 5, 7), d.normal(backend.F32, 5, 30, 2).Permute(2, 0, 1).Index(1),
			d.normal(backend.F32, 30, 7)
	}},
	{"one row for all", false, false, func(d *device) (c, a, b backend.View) {
		return d.normal(backend.F32, 5, 7), d.normal(backend.F32, 1, 30).BroadcastTo(5, 30), d.normal(backend.F32, 30, 7)
	}},
	{"a column-major result", false, false, func(d *device) (c, a, b backend.View) {
		return d.normal(backend.F32, 7, 5).T(), d.normal(backend.F32, 5, 30), d.normal(backend.F32, 30, 7)
	}},
	{"BF16 by F32", false, false, func(d *device) (c, a, b backend.View) {
		return d.normal(backend.F32, 5, 7), d.normal(backend.BF16, 5, 30), d.normal(backend.F32, 30, 7)
	}},
	{"F32 into BF16", false, false, func(d *device) (c, a, b backend.View) {
		return d.normal(backend.BF16, 5, 7), d.normal(backend.F32, 5, 30), d.normal(backend.F32, 30, 7)
	}},
	{"F64", false, false, func(d *device) (c, a, b backend.View) {
		return d.normal(backend.F64, 5, 7), d.normal(backend.F64, 5, 30), d.normal(backend.F64, 30, 7)
	}},
	{"without terms", false, false, func(d *device) (c, a, b backend.View) {
		return d.normal(backend.F32, 5, 7), d.normal(backend.F32, 5, 0), d.normal(backend.F32, 0, 7)
	}},
}

// all returns the elements of a view in row-major order, copied by the device.
func (d *device) all(v backend.View) []float64 {
	d.Helper()
	dense := d.normal(v.DType, v.Dims()...)
	d.do(&backend.Copy{Dst: dense, Src: v})
	return d.values(dense)
}

// cuBLASLt computes the products that it can express, and the kernels of this
// package the others: if cublasLtMatmul fails, exactly the former fail. In
// either case the results are close.
func TestCuBLASLtTakesWhatItCanExpress(t *testing.T) {
	for _, p := range products {
		t.Run(p.name, func(t *testing.T) {
			own, blas := onBoth(t)
			var results [2][]float64
			for i, d := range []*device{own, blas} {
				c, a, b := p.operands(d)
				d.do(&backend.MatMul{C: c, A: a, B: backend.MatrixOf(b), Accumulate: p.accumulate})
				results[i] = d.all(c)
			}
			for i, want := range results[0] {
				tolerance := 1e-4
				if strings.HasSuffix(p.name, "BF16") {
					tolerance = 0.02
				}
				if got := results[1][i]; !(math.Abs(got-want) <= tolerance*max(1, math.Abs(want))) {
					t.Errorf("element %d is %v, by this package's kernels %v", i, got, want)
				}
			}
			t.Setenv("AHA_EMU_FAIL", "cublasLtMatmul:1")
			d := on(t, byCuBLASLt, 1)
			c, a, b := p.operands(d)
			err := d.Do(&backend.MatMul{C: c, A: a, B: backend.MatrixOf(b), Accumulate: p.accumulate})
			if taken := err != nil; taken != p.taken {
				t.Errorf("computed by cuBLASLt: %v, want %v (error %v)", taken, p.taken, err)
			}
		})
	}
}

// The algorithm for each size is chosen once: choosing it again would fail
// here. So the bits for a size stay the same.
func TestTheAlgorithmOfASizeIsFixed(t *testing.T) {
	emulated(t)
	t.Setenv("AHA_EMU_FAIL", "cublasLtMatmulAlgoGetHeuristic:2")
	d := emulatedBlas(t)
	a, w := d.normal(backend.F32, 9, 300), d.normal(backend.F32, 300, 8)
	c := d.normal(backend.F32, 3, 9, 8)
	for i := range 3 {
		d.do(&backend.MatMul{C: c.Index(i), A: a, B: backend.MatrixOf(w)})
	}
	for i := range 2 {
		if !bytes.Equal(d.bits(c.Index(0)), d.bits(c.Index(i+1))) {
			t.Errorf("product %d differs from the first", i+2)
		}
	}
	err := d.Do(&backend.MatMul{C: c.Index(0).Slice(0, 0, 4), A: a.Slice(0, 0, 4), B: backend.MatrixOf(w)})
	want := "F32 [1 4 8] = F32 [1 4 300]·[1 300 8]: cublasLtMatmulAlgoGetHeuristic:"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("another size: error %v", err)
	}
}

// With cuBLASLt, a row computed alone may differ from the same row among
// others.
func TestBitsOfCuBLASLtDependOnTheBatchAndThoseOfTheKernelsDoNot(t *testing.T) {
	own, blas := onBoth(t)
	for _, d := range []*device{own, blas} {
		a, w := d.normal(backend.F32, 20, 300), d.normal(backend.F32, 300, 40)
		alone, among := d.normal(backend.F32, 1, 40), d.normal(backend.F32, 20, 40)
		d.do(&backend.MatMul{C: alone, A: a.Slice(0, 11, 12), B: backend.MatrixOf(w)},
			&backend.MatMul{C: among, A: a, B: backend.MatrixOf(w)})
		equal := bytes.Equal(d.bits(alone), d.bits(among.Slice(0, 11, 12)))
		if equal != (d == own) {
			t.Errorf("%s: a row alone has the bits of a row among others: %v", backend.Path(d.Backend), equal)
		}
	}
}

func TestThePathNamesWhatComputesProducts(t *testing.T) {
	own, blas := onBoth(t)
	if got := backend.Path(own.Backend); !regexp.MustCompile(`^kernels sm_80 nvrtc 13\.\d+$`).MatchString(got) {
		t.Errorf("path %q", got)
	}
	if got := backend.Path(blas.Backend); !regexp.MustCompile(`^cublaslt 13\.0\.0 sm_80 nvrtc 13\.\d+$`).MatchString(got) {
		t.Errorf("path %q", got)
	}
	if own.Backend.Name() != blas.Backend.Name() {
		t.Errorf("names %s and %s", own.Backend.Name(), blas.Backend.Name())
	}
}

func TestTheWorkspaceIsMemoryOfTheDevice(t *testing.T) {
	emulated(t)
	t.Setenv("AHA_EMU_MEMORY", "60000")
	d := emulatedBlas(t)
	c, a, w := d.normal(backend.F32, 2, 8), d.normal(backend.F32, 2, 30), d.normal(backend.F32, 30, 8)
	if _, err := backend.AllocFor(d.Backend, backend.KVCache, 56000); err != nil {
		t.Fatal(err)
	}
	err := d.Do(&backend.MatMul{C: c, A: a, B: backend.MatrixOf(w)})
	if err == nil || !strings.Contains(err.Error(), "1000 bytes for other; in use are [KV cache ") {
		t.Errorf("error %v", err)
	}
	row := backend.MatMul{C: c.Slice(0, 0, 1), A: a.Slice(0, 0, 1), B: backend.MatrixOf(w)} // one that needs no workspace
	d.do(&row)
	d.must(d.Sync())
}

func emulatedBlas(t *testing.T) *device { emulated(t); return on(t, byCuBLASLt, 1) }

// cublasLtCalls returns the entry points whose failure must give an error.
func cublasLtCalls(t *testing.T) []string {
	return slices.DeleteFunc(entryPoints(t, "internal/cublaslt/cublaslt.go"), func(call string) bool {
		return call == "cublasLtGetVersion" || call == "cublasLtGetStatusName" || call == "cublasLtGetStatusString"
	})
}

// multiply opens the device and computes [1 1 1]·[2 2 2]ᵀ twice, in two sizes.
func multiply() (sum float64, err error) {
	b, err := backend.Open(byCuBLASLt)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	var views [3]backend.View
	for i := range views {
		buf, err := b.Alloc(64)
		if err != nil {
			return 0, err
		}
		defer b.Free(buf)
		views[i] = backend.NewView(buf, backend.F32, 4, 4)
		if err := b.Do(&backend.Fill{Dst: views[i], Value: float64(i)}); err != nil {
			return 0, err
		}
	}
	for _, n := range []int{1, 3} {
		op := &backend.MatMul{C: views[0].Slice(1, 0, n), A: views[1].Slice(1, 0, 3),
			B: backend.MatrixOf(views[2].Slice(0, 0, 3).Slice(1, 0, n)), Accumulate: true}
		if err := b.Do(op); err != nil {
			return 0, err
		}
	}
	values, err := backend.Values(b, views[0])
	if err != nil {
		return 0, err
	}
	return values[0], nil
}

func TestEveryCallOfCuBLASLtThatFailsIsAnError(t *testing.T) {
	emulated(t)
	if !inChild(t) {
		return
	}
	for _, call := range cublasLtCalls(t) {
		for n := 1; n <= 2; n++ {
			t.Setenv("AHA_EMU_FAIL", fmt.Sprintf("%s:%d", call, n))
			sum, err := multiply()
			if n == 2 && (call == "cublasLtCreate" || call == "cublasLtDestroy") { // these are called only once
				if err != nil || sum != 12 {
					t.Errorf("call %d of %s fails: sum %v, error %v", n, call, sum, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), call+" ") && !strings.Contains(err.Error(), call+":") {
				t.Errorf("call %d of %s fails: error %v", n, call, err)
			}
			t.Setenv("AHA_EMU_FAIL", "")
			if sum, err := multiply(); err != nil || sum != 12 {
				t.Fatalf("after %s: sum %v, error %v", call, sum, err)
			}
		}
	}
}

// The error of an asynchronous failure names the products queued before it.
func TestAFailedDeviceNamesTheProductsBefore(t *testing.T) {
	emulated(t)
	if !inChild(t) {
		return
	}
	t.Setenv("AHA_EMU_FAIL", "cuStreamSynchronize:1:700")
	b, err := backend.Open(byCuBLASLt)
	if err != nil {
		t.Fatal(err)
	}
	buf, err := b.Alloc(64)
	if err != nil {
		t.Fatal(err)
	}
	v := backend.NewView(buf, backend.F32, 4, 4)
	for _, op := range []backend.Op{&backend.Fill{Dst: v}, &backend.MatMul{C: v, A: v, B: backend.MatrixOf(v)}} {
		if err := b.Do(op); err != nil {
			t.Fatal(err)
		}
	}
	want := "cublasLtMatmul F32 [1 4 4] = F32 [1 4 4]·[1 4 4] on stream"
	if err := b.Sync(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q in it", err, want)
	}
}

func TestOpenWithoutCuBLASLtNamesEveryPlace(t *testing.T) {
	emulated(t)
	missing := filepath.Join(t.TempDir(), "libcublasLt.so")
	t.Setenv("AHA_CUBLASLT", missing)
	_, err := backend.Open(byCuBLASLt)
	for _, want := range []string{"libcublasLt, NVIDIA's library of matrix products", missing, "nvidia-cublas"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s in it", err, want)
		}
	}
	b, err := backend.Open("cuda:0") // which does not load cuBLASLt
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	os.Unsetenv("AHA_CUBLASLT")
	t.Setenv("CUDA_HOME", "/no/such/toolkit")
	t.Setenv("VIRTUAL_ENV", "/no/such/environment")
	_, err = backend.Open(byCuBLASLt)
	if err == nil {
		t.Skip("SKIP: this machine has cuBLASLt, and the rest of the test needs a machine without it")
	}
	for _, want := range []string{
		"$AHA_CUBLASLT: not set", "libcublasLt.so.13", "libcublasLt.so.12", "/no/such/toolkit/lib64",
		"/no/such/environment/lib/python3*/site-packages/nvidia/cu13/lib",
		"/no/such/environment/lib/python3*/site-packages/nvidia/cublas/lib", "/usr/local/cuda",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s in it", err, want)
		}
	}
}

func TestOptionsOfADeviceThatAreUnknownAreRefused(t *testing.T) {
	for device, want := range map[string]string{
		"cuda:0?products=mkl":              "products=kernels or products=cublaslt",
		"cuda:0?product=cublaslt":          "products=kernels or products=cublaslt",
		"cuda:0?products=cublaslt&fast=1":  "products=kernels or products=cublaslt",
		"cuda:0?products=%zz":              "invalid URL escape",
		"cuda:x?products=cublaslt":         `device "x?products=cublaslt"`,
		"cuda:0?products=kernels&products": "products=kernels or products=cublaslt",
	} {
		if _, err := backend.Open(device); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", device, err)
		}
	}
}
