package tensor_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// torchCase has the values and gradient of a function that PyTorch computed, see
// testdata/functions.py.
type torchCase struct {
	Name       string
	Shape      []int
	X          []float64
	Index      []int32
	IndexShape []int `json:"index_shape"`
	Smoothing  float64
	ZLoss      float64 `json:"z_loss"`
	Result     []int
	Y, DY, DX  []float64
}

func (c *torchCase) String() string {
	return fmt.Sprintf("%s%v%v smoothing %v z-loss %v", c.Name, c.Shape, c.IndexShape, c.Smoothing, c.ZLoss)
}

// torchFunctions maps the names of cases to functions of package tensor.
var torchFunctions = map[string]func(c *torchCase, x, index tensor.Tensor) tensor.Tensor{
	"Tanh":       func(_ *torchCase, x, _ tensor.Tensor) tensor.Tensor { return tensor.Tanh(x) },
	"ReLU":       func(_ *torchCase, x, _ tensor.Tensor) tensor.Tensor { return tensor.ReLU(x) },
	"Abs":        func(_ *torchCase, x, _ tensor.Tensor) tensor.Tensor { return tensor.Abs(x) },
	"LogSigmoid": func(_ *torchCase, x, _ tensor.Tensor) tensor.Tensor { return tensor.LogSigmoid(x) },
	"GELU":       func(_ *torchCase, x, _ tensor.Tensor) tensor.Tensor { return tensor.GELU(x) },
	"GELUTanh":   func(_ *torchCase, x, _ tensor.Tensor) tensor.Tensor { return tensor.GELUTanh(x) },
	"Sqrt":       func(_ *torchCase, x, _ tensor.Tensor) tensor.Tensor { return tensor.Sqrt(x) },
	"Softmax":    func(_ *torchCase, x, _ tensor.Tensor) tensor.Tensor { return tensor.Softmax(x) },
	"LogSoftmax": func(_ *torchCase, x, _ tensor.Tensor) tensor.Tensor { return tensor.LogSoftmax(x) },
	"LogSumExp":  func(_ *torchCase, x, _ tensor.Tensor) tensor.Tensor { return tensor.LogSumExp(x) },
	"MaxLast":    func(_ *torchCase, x, _ tensor.Tensor) tensor.Tensor { return tensor.MaxLast(x) },
	"GatherLast": func(_ *torchCase, x, index tensor.Tensor) tensor.Tensor { return tensor.GatherLast(x, index) },
	"CrossEntropy": func(c *torchCase, x, index tensor.Tensor) tensor.Tensor {
		return tensor.CrossEntropy(x, index, tensor.CrossEntropyOptions{LabelSmoothing: c.Smoothing, ZLoss: c.ZLoss})
	},
	"SegmentSum":  func(_ *torchCase, x, index tensor.Tensor) tensor.Tensor { return tensor.SegmentSum(x, index) },
	"SegmentMean": func(_ *torchCase, x, index tensor.Tensor) tensor.Tensor { return tensor.SegmentMean(x, index) },
}

// keepsDType lists the functions whose result for BF16 is BF16. For the others it is F32.
var keepsDType = []string{"Tanh", "ReLU", "Abs", "LogSigmoid", "GELU", "GELUTanh", "Sqrt", "Softmax", "MaxLast"}

// relative lists the functions whose relative error is small even for small values.
var relative = []string{"Tanh", "ReLU", "Abs", "LogSigmoid", "Sqrt", "MaxLast", "GatherLast"}

func torchCases(t *testing.T) []torchCase {
	text, err := os.ReadFile("testdata/functions.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []torchCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for name := range torchFunctions {
		if !slices.ContainsFunc(cases, func(c torchCase) bool { return c.Name == name }) {
			t.Errorf("no case of %s", name)
		}
	}
	return cases
}

// run computes the case for x of dtype dt and returns its result and the gradient of x.
func (c *torchCase) run(
	t *testing.T, b backend.Backend, dt backend.DType, xs []float64,
) (y tensor.Tensor, v, dx []float64) {
	t.Helper()
	p, err := tensor.NewParam(b, "x", dt.Compute(), c.Shape...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Free)
	if err := p.SetFloats(xs); err != nil {
		t.Fatal(err)
	}
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	var index tensor.Tensor
	if c.Index != nil {
		index = s.Ints(c.Index, c.IndexShape...)
	}
	y = torchFunctions[c.Name](c, p.In(s).Cast(dt), index).Keep()
	if v, err = y.Values(); err != nil {
		t.Fatal(err)
	}
	weight := s.Floats(dt.Compute(), c.DY, c.Result...)
	if err := s.Backward(tensor.Sum(tensor.Mul(y.Cast(dt.Compute()), weight))); err != nil {
		t.Fatal(err)
	}
	return y, v, grad(t, p)
}

func TestFunctionsAgreeWithPyTorch(t *testing.T) {
	b := open(t)
	for _, c := range torchCases(t) {
		for dt, tolerance := range map[backend.DType]float64{backend.F64: 1e-13, backend.F32: 2e-6} {
			t.Run(fmt.Sprint(&c, " ", dt), func(t *testing.T) {
				y, v, dx := c.run(t, b, dt, c.X)
				if !slices.Equal(y.Shape(), c.Result) || y.DType() != dt {
					t.Errorf("result %v, want %s%v", y, dt, c.Result)
				}
				floor := 1.
				if slices.Contains(relative, c.Name) {
					floor = 1e-30
				}
				agree(t, "value", v, c.Y, 10*tolerance, floor)
				agree(t, "gradient", dx, c.DX, 10*tolerance, 1)
			})
		}
	}
}

// The reference for BF16 is float64 with the same rounded numbers.
func TestFunctionsOfBF16(t *testing.T) {
	b := open(t)
	for _, c := range torchCases(t) {
		t.Run(c.String(), func(t *testing.T) {
			rounded := make([]float64, len(c.X))
			for i, x := range c.X {
				rounded[i] = backend.BF16.Round(x)
			}
			_, want, wantDX := c.run(t, b, backend.F64, rounded)
			y, v, dx := c.run(t, b, backend.BF16, rounded)
			dt, unit := backend.F32, 1e-5
			if slices.Contains(keepsDType, c.Name) {
				dt, unit = backend.BF16, 1./256
			}
			if y.DType() != dt {
				t.Errorf("result %v, want %s", y, dt)
			}
			agree(t, "value", v, want, unit, 1e-2)
			agree(t, "gradient", dx, wantDX, 1./64, 1)
		})
	}
}

// agree fails unless each element is within tolerance of the wanted one, relative to its
// magnitude or to floor, whichever is larger.
func agree(t *testing.T, what string, got, want []float64, tolerance, floor float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tolerance*max(math.Abs(want[i]), floor)) {
			t.Errorf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// A logit of −Inf, as from a mask, has probability 0 and no gradient. The loss of a row
// with a negative target is 0, whatever its logits are.
func TestMaskedLogitsAndIgnoredRows(t *testing.T) {
	b := open(t)
	inf, nan := math.Inf(1), math.NaN()
	x := []float64{1, -inf, 2, nan, nan, nan}
	p, err := tensor.NewParam(b, "x", backend.F64, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Free)
	if err := p.SetFloats(x); err != nil {
		t.Fatal(err)
	}
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	loss := tensor.CrossEntropy(p.In(s), s.Ints([]int32{0, -1}, 2), tensor.CrossEntropyOptions{ZLoss: 0.1}).Keep()
	v, err := loss.Values()
	if err != nil {
		t.Fatal(err)
	}
	lse := math.Log(math.Exp(1) + math.Exp(2))
	agree(t, "loss", v, []float64{lse - 1 + 0.1*lse*lse, 0}, 1e-14, 1)

	for name, fn := range map[string]func(x tensor.Tensor) tensor.Tensor{
		"LogSumExp": tensor.LogSumExp, "MaxLast": tensor.MaxLast,
		"Softmax": func(x tensor.Tensor) tensor.Tensor { return tensor.Softmax(x).Slice(1, 0, 1) },
		"CrossEntropy": func(x tensor.Tensor) tensor.Tensor {
			return tensor.CrossEntropy(x, x.Scope().Ints([]int32{0}, 1), tensor.CrossEntropyOptions{})
		},
	} {
		if err := p.ZeroGrad(); err != nil {
			t.Fatal(err)
		}
		s.Reset()
		if err := s.Backward(tensor.Sum(fn(p.In(s).Slice(0, 0, 1)))); err != nil {
			t.Fatal(err)
		}
		g := grad(t, p)
		if g[1] != 0 || g[2] == 0 || slices.ContainsFunc(g, math.IsNaN) {
			t.Errorf("%s: gradient %v, want 0 for the masked logit and one for the last", name, g[:3])
		}
	}
}
