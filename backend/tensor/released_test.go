package tensor_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// operands makes the tensors of a call one by one. Instead of operand number dead it
// returns stale, a tensor whose memory was freed.
type operands struct {
	t     testing.TB
	s     *tensor.Scope
	p     *tensor.Param // one element; it puts floats on the tape
	dead  int           // −1 if all are live
	stale tensor.Tensor // returned as operand number dead
	made  []shaped
}

// shaped is the kind and shape of one operand of a call.
type shaped struct {
	ints  bool
	shape []int
}

// f returns a float tensor on the tape: ones times p.
func (o *operands) f(shape ...int) tensor.Tensor { return o.next(shaped{false, shape}) }

// i returns an I32 tensor of zeros.
func (o *operands) i(shape ...int) tensor.Tensor { return o.next(shaped{true, shape}) }

func (o *operands) next(want shaped) tensor.Tensor {
	o.made = append(o.made, want)
	if len(o.made)-1 == o.dead {
		return o.stale
	}
	return want.in(o.s, o.p)
}

func (w shaped) in(s *tensor.Scope, p *tensor.Param) tensor.Tensor {
	if w.ints {
		return s.Full(backend.I32, 0, w.shape...)
	}
	return tensor.Mul(s.Full(backend.F32, 1, w.shape...), p.In(s))
}

// param returns a new parameter.
func (o *operands) param(shape ...int) *tensor.Param {
	p, err := tensor.NewParam(o.p.Backend(), fmt.Sprintf("w%v", shape), backend.F32, shape...)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(p.Free)
	return p
}

func (o *operands) angles() tensor.Angles {
	return tensor.Angles{Cos: o.param(3, 2), Sin: o.param(3, 2)}
}

// passes is a Func that returns its first input.
var passes = tensor.Func{
	Forward:  func(_ *tensor.Scope, in []tensor.Tensor) tensor.Tensor { return tensor.Scale(in[0], 1) },
	Backward: func(_ *tensor.Scope, _ []tensor.Tensor, _, d tensor.Tensor) []tensor.Tensor { return one(d) },
}

// readers call all exported functions and methods that take tensors and need their
// memory, once each.
var readers = map[string]func(o *operands){
	"Abs":    func(o *operands) { tensor.Abs(o.f(2)) },
	"Add":    func(o *operands) { tensor.Add(o.f(2, 3), o.f(3)) },
	"Affine": func(o *operands) { tensor.Affine(o.f(2), 2, 1) },
	"Attention": func(o *operands) {
		tensor.Attention(o.f(2, 1, 4), o.f(2, 1, 4), o.f(2, 1, 4), o.i(2), o.i(2), 1)
	},
	"CacheMLAKeys": func(o *operands) {
		k, v := o.param(4, 1, 7).Value(), o.param(4, 1, 2).Value()
		tensor.CacheMLAKeys(k, v, o.f(2, 1, 5), o.f(2, 4), o.i(2), o.i(2), o.angles(), true)
	},
	"CrossEntropy": func(o *operands) { tensor.CrossEntropy(o.f(2, 3), o.i(2), tensor.CrossEntropyOptions{ZLoss: 1}) },
	"GELU":         func(o *operands) { tensor.GELU(o.f(2)) },
	"GELUTanh":     func(o *operands) { tensor.GELUTanh(o.f(2)) },
	"GatherLast":   func(o *operands) { tensor.GatherLast(o.f(2, 3), o.i(2)) },
	"LogSigmoid":   func(o *operands) { tensor.LogSigmoid(o.f(2)) },
	"LogSoftmax":   func(o *operands) { tensor.LogSoftmax(o.f(2, 3)) },
	"LogSumExp":    func(o *operands) { tensor.LogSumExp(o.f(2, 3)) },
	"MaxLast":      func(o *operands) { tensor.MaxLast(o.f(2, 3)) },
	"Param.Assign": func(o *operands) { o.param(2).Assign(o.f(2)) },
	"ReLU":         func(o *operands) { tensor.ReLU(o.f(2)) },
	"Routing.Count": func(o *operands) {
		ps := tensor.NewParams(o.p.Backend(), tensor.Init{})
		o.t.Cleanup(ps.Free)
		tensor.Routing{Offsets: o.i(5)}.Count(ps.Counter("load", 4))
	},
	"Sample": func(o *operands) {
		tensor.Sample(o.f(2, 3), tensor.Draw{Token: o.i(2), LogProb: o.f(2), Seed: o.i(2, 2), Pos: o.i(2), TopK: o.i(2),
			Temperature: o.f(2), TopP: o.f(2)})
	},
	"SegmentMean": func(o *operands) { tensor.SegmentMean(o.f(2, 3), o.i(4)) },
	"SegmentSum":  func(o *operands) { tensor.SegmentSum(o.f(2, 3), o.i(4)) },
	"Softmax":     func(o *operands) { tensor.Softmax(o.f(2, 3)) },
	"Sqrt":        func(o *operands) { tensor.Sqrt(o.f(2)) },
	"Tanh":        func(o *operands) { tensor.Tanh(o.f(2)) },
	"TopK":        func(o *operands) { tensor.TopK(o.f(2, 3), 2) },
	"Clamp":       func(o *operands) { tensor.Clamp(o.f(2), 0, 1) },
	"Combine":     func(o *operands) { tensor.Combine(o.f(4, 3), o.f(2, 2), tensor.Routing{Inverse: o.i(2, 2)}) },
	"Concat":      func(o *operands) { tensor.Concat(0, o.f(2), o.f(3), o.f(1)) },
	"Detach":      func(o *operands) { tensor.Detach(o.f(2)) },
	"Dispatch":    func(o *operands) { tensor.Dispatch(o.f(2, 3), tensor.Routing{Perm: o.i(4), Inverse: o.i(2, 2)}) },
	"Div":         func(o *operands) { tensor.Div(o.f(2), o.f(2)) },
	"Download":    func(o *operands) { tensor.Download(make([]float32, 2), o.f(2)) },
	"Embedding":   func(o *operands) { tensor.Embedding(o.param(3, 2), o.i(2), backend.F32) },
	"Exp":         func(o *operands) { tensor.Exp(o.f(2)) },
	"Func.Apply":  func(o *operands) { passes.Apply(o.f(2), o.f(3)) },
	"Gate":        func(o *operands) { tensor.Gate(o.f(2, 4), nil, 2, backend.MoEGate{Groups: 1, TopGroups: 1}) },
	"GateAt": func(o *operands) {
		tensor.GateAt(o.f(2, 4), o.i(2, 1), nil, backend.MoEGate{Groups: 1, TopGroups: 1})
	},
	"GatherRows":     func(o *operands) { tensor.GatherRows(o.f(3, 2), o.i(2)) },
	"GroupedLinear":  func(o *operands) { tensor.GroupedLinear(o.f(0, 3), o.param(2, 4, 3), o.i(3)) },
	"Linear.Forward": func(o *operands) { (&tensor.Linear{W: o.param(4, 3)}).Forward(o.f(2, 3)) },
	"Linear.ForwardAs": func(o *operands) {
		(&tensor.Linear{W: o.param(4, 3)}).ForwardAs(o.f(2, 3), backend.F32)
	},
	"Tensor.Cast":  func(o *operands) { o.f(2).Cast(backend.BF16) },
	"Log":          func(o *operands) { tensor.Log(o.f(2)) },
	"LogProbs":     func(o *operands) { tensor.LogProbs(o.f(2, 3), o.param(5, 3), o.i(2), 1) },
	"LogSoftmaxAt": func(o *operands) { tensor.LogSoftmaxAt(o.f(2, 3), o.i(2, 1)) },
	"Logits":       func(o *operands) { tensor.Logits(o.f(2, 3), o.param(5, 3)) },
	"MLAKeys":      func(o *operands) { tensor.MLAKeys(o.f(2, 1, 5), o.f(2, 4), o.i(2), 3, o.angles(), true) },
	"MatMul":       func(o *operands) { tensor.MatMul(o.f(2, 3), o.f(3, 2)) },
	"Maximum":      func(o *operands) { tensor.Maximum(o.f(2), o.f(2)) },
	"Mean":         func(o *operands) { tensor.Mean(o.f(2)) },
	"Minimum":      func(o *operands) { tensor.Minimum(o.f(2), o.f(2)) },
	"Mul":          func(o *operands) { tensor.Mul(o.f(2), o.f(2)) },
	"Neg":          func(o *operands) { tensor.Neg(o.f(2)) },
	"RMSNorm":      func(o *operands) { tensor.RMSNorm(o.f(2, 3), o.param(3), 1e-6) },
	"Recompute": func(o *operands) {
		tensor.Recompute(func(_ *tensor.Scope, in []tensor.Tensor) []tensor.Tensor { return one(tensor.Exp(in[0])) },
			o.f(2), o.i(2))
	},
	"RoPE":            func(o *operands) { tensor.RoPE(o.f(2, 1, 4), o.i(2), o.angles(), false) },
	"Route":           func(o *operands) { tensor.Route(o.i(2, 1), 3) },
	"Scale":           func(o *operands) { tensor.Scale(o.f(2), 2) },
	"Scope.Backward":  func(o *operands) { o.s.Backward(o.f(1)) },
	"Scope.Local":     func(o *operands) { o.s.Local(func() tensor.Tensor { return o.f(2) }) },
	"Scope.Scatter":   func(o *operands) { o.s.Scatter(o.param(4, 3).Value(), o.f(2, 3), o.i(2)) },
	"SequenceBalance": func(o *operands) { tensor.SequenceBalance(o.f(2, 4), o.i(3), 2, 1) },
	"Sigmoid":         func(o *operands) { tensor.Sigmoid(o.f(2)) },
	"Sub":             func(o *operands) { tensor.Sub(o.f(2), o.f(2)) },
	"Sum":             func(o *operands) { tensor.Sum(o.f(2)) },
	"SumLast":         func(o *operands) { tensor.SumLast(o.f(2, 3)) },
	"SwiGLU":          func(o *operands) { tensor.SwiGLU(o.f(2, 3), o.f(2, 3)) },
	"Upload":          func(o *operands) { tensor.Upload(o.f(2), make([]float32, 2)) },

	"Tensor.Contiguous": func(o *operands) { o.f(2).Contiguous() },
	"Tensor.Expand":     func(o *operands) { o.f(2).Expand(3, 2) },
	"Tensor.Item":       func(o *operands) { o.f(1).Item() },
	"Tensor.Keep":       func(o *operands) { o.f(2).Keep() },
	"Tensor.Permute":    func(o *operands) { o.f(2, 3).Permute(1, 0) },
	"Tensor.Reshape":    func(o *operands) { o.f(2, 3).Reshape(6) },
	"Tensor.Slice":      func(o *operands) { o.f(2).Slice(0, 1, 2) },
	"Tensor.Split":      func(o *operands) { o.f(2).Split(0, 1, 1) },
	"Tensor.T":          func(o *operands) { o.f(2, 3).T() },
	"Tensor.Values":     func(o *operands) { o.f(2).Values() },
	"Tensor.View":       func(o *operands) { o.f(2).View() },
}

// describers call the exported methods that describe a tensor without reading its memory.
var describers = map[string]func(x tensor.Tensor){
	"Tensor.DType":   func(x tensor.Tensor) { x.DType() },
	"Tensor.Dim":     func(x tensor.Tensor) { x.Dim(0) },
	"Tensor.Len":     func(x tensor.Tensor) { x.Len() },
	"Tensor.Present": func(x tensor.Tensor) { x.Present() },
	"Tensor.Rank":    func(x tensor.Tensor) { x.Rank() },
	"Tensor.Scope":   func(x tensor.Tensor) { x.Scope() },
	"Tensor.Shape":   func(x tensor.Tensor) { x.Shape() },
	"Tensor.String":  func(x tensor.Tensor) { _ = x.String() },
}

// endings are the ways in which the memory of a tensor of s is freed.
var endings = map[string]func(s *tensor.Scope, p *tensor.Param) error{
	"Reset":    func(s *tensor.Scope, _ *tensor.Param) error { s.Reset(); return nil },
	"Close":    func(s *tensor.Scope, _ *tensor.Param) error { s.Close(); return nil },
	"Backward": func(s *tensor.Scope, p *tensor.Param) error { return s.Backward(tensor.Sum(p.In(s))) },
}

func TestEveryFunctionRefusesATensorWhoseMemoryWasFreed(t *testing.T) {
	b := open(t)
	p := scalar(t, b)
	for name, call := range readers {
		alive := operands{t: t, s: tensor.NewScope(b, tensor.Options{Grad: true}), p: p, dead: -1}
		call(&alive)
		if err := alive.s.Err(); err != nil || len(alive.made) == 0 {
			t.Errorf("%s with live operands: %d of them, error %v", name, len(alive.made), err)
		}
		alive.s.Close()
		for dead, want := range alive.made {
			for ending, end := range endings {
				s := tensor.NewScope(b, tensor.Options{Grad: true})
				stale := want.in(s, p)
				if err := end(s, p); err != nil {
					t.Fatal(err)
				}
				o := operands{t: t, s: s, p: p, dead: dead, stale: stale}
				if ending == "Close" {
					o.s = tensor.NewScope(b, tensor.Options{Grad: true})
				}
				t.Run(fmt.Sprintf("%s/operand %d/after %s", name, dead, ending), func(t *testing.T) {
					mustPanic(t, "after its memory was given back", func() { call(&o) })
				})
				o.s.Close()
			}
		}
	}
	s := tensor.NewScope(b, tensor.Options{})
	stale := s.Full(backend.F32, 1, 2)
	s.Close()
	for _, describe := range describers {
		describe(stale)
	}
}

// scalar returns a trainable parameter of one element.
func scalar(t testing.TB, b backend.Backend) *tensor.Param {
	t.Helper()
	p, err := tensor.NewParam(b, "p", backend.F32, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Free)
	if err := p.SetFloats([]float64{1}); err != nil {
		t.Fatal(err)
	}
	return p
}

// Every function that takes tensors must be in readers or describers.
func TestEveryFunctionThatTakesTensorsIsTested(t *testing.T) {
	known := slices.Sorted(maps.Keys(readers))
	known = append(known, slices.Sorted(maps.Keys(describers))...)
	slices.Sort(known)
	found := tensorFunctions(t, ".")
	for _, name := range found {
		if !slices.Contains(known, name) {
			t.Errorf("%s takes a tensor: add it to readers or describers", name)
		}
	}
	for _, name := range known {
		if !slices.Contains(found, name) {
			t.Errorf("%s is in readers or describers, but is not an exported function that takes a tensor", name)
		}
	}
}

// tensorFunctions lists the exported functions and methods of the package in dir that
// have a tensor as receiver or parameter: alone, in a slice, in a struct, or as the
// result of a function.
func tensorFunctions(t *testing.T, dir string) []string {
	t.Helper()
	var files []*ast.File
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, e.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	carriers := map[string]bool{"Tensor": true}
	for n := 0; n != len(carriers); { // until no other type is found that contains one
		n = len(carriers)
		for _, f := range files {
			ast.Inspect(f, func(node ast.Node) bool {
				if spec, ok := node.(*ast.TypeSpec); ok && mentions(spec.Type, carriers) {
					carriers[spec.Name.Name] = true
				}
				return true
			})
		}
	}
	var names []string
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !fn.Name.IsExported() {
				continue
			}
			name, takes := fn.Name.Name, mentions(fn.Type.Params, carriers)
			if fn.Recv != nil {
				recv := receiver(fn)
				if !ast.IsExported(recv) {
					continue
				}
				name, takes = recv+"."+name, takes || carriers[recv]
			}
			if takes {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// mentions reports whether node names a type in list.
func mentions(node ast.Node, list map[string]bool) bool {
	found := false
	ast.Inspect(node, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		found = found || ok && list[id.Name]
		return !found
	})
	return found
}

// receiver returns the name of the type of which fn is a method.
func receiver(fn *ast.FuncDecl) string {
	typ := fn.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	return typ.(*ast.Ident).Name
}

func TestMeanReadsNoMemoryThatWasFreed(t *testing.T) {
	b := open(t)
	s := tensor.NewScope(b, tensor.Options{})
	defer s.Close()
	old := s.Full(backend.F32, 1, 4)
	s.Reset()
	s.Full(backend.F32, 5, 4) // reuses the memory
	mustPanic(t, "tensor: Sum: use of F32[4] after its memory was given back", func() { tensor.Mean(old) })
	mustPanic(t, "tensor: Sum: use of F32[4] after its memory was given back", func() { tensor.Sum(old) })
}
