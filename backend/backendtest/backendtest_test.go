package backendtest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
)

func newCPU(t testing.TB) backend.Backend {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// packing is a backend that packs every matrix. Only its PackedLen may be called.
type packing struct{ backend.Backend }

func (packing) PackedLen(_ backend.Format, dt backend.DType, k, n int) (backend.DType, int) {
	return dt, k * n
}

// opCases returns a few F32 cases of each op that write something.
func opCases(t *testing.T) map[string][]Case {
	list := map[string][]Case{}
	for _, c := range Cases() {
		if c.DType != backend.F32 || len(list[c.Op]) >= 4 {
			continue
		}
		written := 0
		c.setup(packing{}).op.Operands(func(v *backend.View, a backend.Access) {
			if a != backend.Read {
				written += v.Len()
			}
		})
		if written > 3 || c.Op == "SequenceBalance" {
			list[c.Op] = append(list[c.Op], c)
		}
	}
	return list
}

func TestEveryOpHasCases(t *testing.T) {
	covered := map[string]bool{"Pack": true} // its result depends on the backend; cases of MatMul test it
	for _, c := range Cases() {
		covered[strings.TrimPrefix(fmt.Sprintf("%T", c.setup(nil).op), "*backend.")] = true
	}
	names, err := filepath.Glob("../*.go")
	if err != nil {
		t.Fatal(err)
	}
	ops := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv == nil || f.Name.Name != "Operands" {
				continue
			}
			ops++
			name := f.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name
			if !covered[name] {
				t.Errorf("op %s has no cases", name)
			}
		}
	}
	if ops < 30 {
		t.Errorf("found %d ops in package backend: the search is broken", ops)
	}
}

func TestCasesAreDistinctAndRepeatable(t *testing.T) {
	seen := map[string]bool{}
	again := Cases()
	for i, c := range Cases() {
		if seen[c.Name()] {
			t.Errorf("two cases %s", c.Name())
		}
		seen[c.Name()] = true
		if c.String() != again[i].String() {
			t.Errorf("case %d is %s, then %s", i, c, again[i])
		}
	}
	for seed := range uint64(50) {
		if a, b := RandomCase(seed), RandomCase(seed); a.String() != b.String() {
			t.Errorf("seed %d gives %s, then %s", seed, a, b)
		}
	}
}

func TestOpsRejectImpossibleOperands(t *testing.T) {
	for name, cases := range opCases(t) {
		op := cases[len(cases)-1].setup(nil).op
		var views []*backend.View
		var access []backend.Access
		op.Operands(func(v *backend.View, a backend.Access) { views, access = append(views, v), append(access, a) })
		for i, v := range views {
			reject := func(what string, change func(v *backend.View)) {
				old := *v
				change(v)
				if err := op.Check(); err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("%s with operand %d %s: error %v, want one that names the op", name, i, what, err)
				}
				*v = old
			}
			if v.Len() == 0 {
				continue
			}
			reject("past its buffer's end", func(v *backend.View) { v.Offset += 1 << 20 })
			reject("before its buffer's start", func(v *backend.View) { v.Offset = -1 })
			if access[i] != backend.Read && v.Rank > 0 && v.Dim(0) > 1 {
				reject("repeating elements of a result", func(v *backend.View) { v.Strides[0] = 0 })
			}
			old, present := v.Buf, 0
			v.Buf = nil
			op.Operands(func(*backend.View, backend.Access) { present++ })
			v.Buf = old
			if present == len(views) { // v is not optional
				reject("absent", func(v *backend.View) { v.Buf = nil })
			}
		}
	}
}

func TestCheckCatchesOneWrongElementOfAnyOp(t *testing.T) {
	b := newCPU(t)
	for op, cases := range opCases(t) {
		for _, c := range cases {
			if r := Check(b, c); !r.OK() {
				t.Errorf("without fault: %s", r)
			}
			if r := Check(&broken{b, op, perturb}, c); r.OK() {
				t.Errorf("not caught: %s", r)
			}
		}
	}
}

func TestCheckNamesTheElement(t *testing.T) {
	c := Case{Op: "RMSNorm", DType: backend.F32, Strided: true, Seed: 7, spec: rmsNormSpec{3, 5, 1}}
	r := Check(&broken{newCPU(t), "RMSNorm", perturb}, c)
	if r.OK() || r.Operand != "Y" || fmt.Sprint(r.Index) != "[2 4]" || r.Got == r.Want {
		t.Errorf("result %+v, want Y[2 4]", r)
	}
	for _, part := range []string{"RMSNorm/F32/strided/{N:3,D:5,Scale:1}", "seed 0x7", "Y[2 4]", "X F32[3 5]"} {
		if !strings.Contains(r.String(), part) {
			t.Errorf("%q lacks %q", r, part)
		}
	}
}

func TestCheckCatchesWritesOutsideTheResult(t *testing.T) {
	b := newCPU(t)
	for op, cases := range opCases(t) {
		if r := Check(&broken{b, op, spill}, cases[0]); r.OK() || !strings.Contains(r.String(), "outside") {
			t.Errorf("not caught: %s", r)
		}
	}
}

func TestCheckCatchesEffectsOfUnsupportedOps(t *testing.T) {
	c := opCases(t)["Exp"][0]
	if r := Check(&broken{newCPU(t), "Exp", late}, c); r.OK() || !r.Unsupported {
		t.Errorf("not caught: %s", r)
	}
	if r := Check(&broken{newCPU(t), "Exp", refuse}, c); !r.OK() || !r.Unsupported {
		t.Errorf("plainly unsupported: %s", r)
	}
}

func TestCheckReportsErrorsAndPanics(t *testing.T) {
	c := opCases(t)["Exp"][0]
	if r := Check(&broken{newCPU(t), "Exp", func(backend.Backend,
		backend.Op) error {
		return errors.New("device lost")
	}}, c); r.OK() || !strings.Contains(r.String(), "device lost") {
		t.Errorf("an error became %s", r)
	}
	if r := Check(&broken{newCPU(t), "Exp", func(backend.Backend, backend.Op) error { panic("wild") }}, c); r.OK() ||
		!strings.Contains(r.String(), "broken_test.go") && !strings.Contains(r.String(), "backendtest_test.go") {
		t.Errorf("a panic became %s", r)
	}
}

func TestCheckDecomposedCatchesFaultsInCoreOps(t *testing.T) {
	c := Case{Op: "RMSNorm", DType: backend.F32, Seed: 7, spec: rmsNormSpec{3, 5, 1}}
	if r := CheckDecomposed(newCPU(t), c); !r.OK() || r.Skipped != "" {
		t.Errorf("without fault: %s", r)
	}
	if r := CheckDecomposed(&broken{newCPU(t), "Sqrt", perturb}, c); r.OK() {
		t.Errorf("not caught: %s", r)
	}
	if r := CheckDecomposed(&broken{newCPU(t), "Sqrt", refuse}, c); r.OK() {
		t.Errorf("a missing core op passed: %s", r)
	}
}

func TestRunReports(t *testing.T) {
	cases := opCases(t)["Exp"]
	for _, c := range []struct {
		name      string
		fault     func(backend.Backend, backend.Op) error
		supported []string
		want      string
	}{
		{"wrong results", perturb, []string{"Exp"}, "largest error"},
		{"a listed op that is lost", refuse, []string{"Add", "Exp"}, "listed as supported, but broken lacks it"},
		{"a lost dtype", refuse, []string{"Exp/F32"}, "listed as supported"},
		{"a working op that is not listed", backend.Backend.Do, []string{"Expo", "Add"}, "not listed"},
		{"nothing: the op neither works nor is listed", refuse, []string{"Add", "Exp/F64"}, ""},
		{"nothing: the op works and is listed", backend.Backend.Do, []string{"Exp/F32/dense", "Exp"}, ""},
	} {
		problems := strings.Join(checkOp(&broken{newCPU(t), "Exp", c.fault}, "Exp", cases, c.supported), "\n")
		if c.want == "" && problems != "" || !strings.Contains(problems, c.want) {
			t.Errorf("%s: reported %q, want %q", c.name, problems, c.want)
		}
	}
}

func TestGradientDefinitionsMatchFiniteDifferences(t *testing.T) {
	ops := map[string]bool{}
	for _, c := range GradientCases() {
		ops[c.Op] = true
		if err := CheckGradient(c); err != nil {
			t.Error(err)
		}
	}
	for _, c := range Cases() {
		if strings.HasSuffix(c.Op, "Grad") && !ops[c.Op] {
			t.Errorf("the definition of %s is not checked", c.Op)
			ops[c.Op] = true
		}
	}
}

// wrongGradient claims that the derivative of x² is x.
type wrongGradient struct{}

func (wrongGradient) op() string { return "Square" }

func (wrongGradient) build(s *setup) {
	s.want = func() {
		x := []float64{3}
		s.gradient("X", x, []float64{3}, func() float64 { return x[0] * x[0] })
	}
}

func TestCheckGradientCatchesAWrongDefinition(t *testing.T) {
	if err := CheckGradient(Case{Op: "Square", spec: wrongGradient{}}); err == nil {
		t.Error("not caught")
	}
	if err := CheckGradient(Case{Op: "Fill", spec: fillSpec{}}); err == nil {
		t.Error("a case without gradient passed")
	}
}

// fakeT records how a test ended.
type fakeT struct {
	testing.TB
	ended string
}

func (f *fakeT) Helper() {}
func (f *fakeT) Fatalf(s string, args ...any) {
	f.ended = "failed: " + fmt.Sprintf(s, args...)
	runtime.Goexit()
}
func (f *fakeT) Skipf(s string, args ...any) {
	f.ended = "skipped: " + fmt.Sprintf(s, args...)
	runtime.Goexit()
}

func TestOpenSkipsUnlessTheBackendIsRequired(t *testing.T) {
	backend.Register("absent", func(string) (backend.Backend, error) { return nil, errors.New("no device") })
	for _, c := range []struct{ required, want string }{{"", "skipped"}, {"cuda", "skipped"}, {"absent", "failed"},
		{"absent:0", "failed"}} {
		t.Setenv("AHA_REQUIRE_BACKEND", c.required)
		f := &fakeT{TB: t}
		done := make(chan bool)
		go func() { defer close(done); Open(f, "absent:0") }()
		<-done
		if !strings.HasPrefix(f.ended, c.want) || !strings.Contains(f.ended, "no device") {
			t.Errorf("AHA_REQUIRE_BACKEND=%q: %q, want it %s", c.required, f.ended, c.want)
		}
	}
}

func TestToleranceSeesALostTermOfALongSum(t *testing.T) {
	for _, n := range []int{1, 10, 100, 1000, 8192} {
		if lost := 1 / float64(n); slack*terms(n)*roundoff(backend.F32) > lost {
			t.Errorf("a sum of %d equal terms may lose one unnoticed", n)
		}
	}
	if excess(math.NaN(), 1, 1) <= 1 || excess(1, math.NaN(), 1) <= 1 || excess(math.Inf(1), 1e300, 1e308) <= 1 ||
		excess(1, 2, 0) <= 1 {
		t.Error("NaN, infinity or an inexact result passed")
	}
}

func TestEveryOpHasATolerance(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Cases() {
		seen[c.Op] = true
		if tol, ok := ToleranceOf(c.Op, c.DType); !ok || tol.Bound == "" {
			t.Errorf("%s has no entry in the table of bounds", c.Op)
			return
		}
	}
	for op := range bounds {
		if !seen[op] {
			t.Errorf("the table of bounds has %s, which has no cases", op)
		}
	}
	listed := map[string]int{}
	for _, tol := range Tolerances() {
		listed[tol.Op]++
	}
	for op := range seen {
		if listed[op] != 3 {
			t.Errorf("Tolerances lists %s %d times, want once for each dtype", op, listed[op])
		}
	}
}

func TestToleranceOfBF16IsOneRounding(t *testing.T) {
	tol, _ := ToleranceOf("RMSNorm", backend.BF16)
	for _, c := range []struct {
		got, want float64
		ok        bool
	}{
		{1, 1, true}, {1 + 0x1p-7, 1 + 0x1p-8, true}, {1, 1 + 0x1p-8, true}, // with the F32 error, a tie rounds either way
		{1 + 0x1p-7, 1 + 0x1p-9, false}, {1, 1 - 0x1p-8, false},
	} {
		if ok := math.Abs(c.got-c.want) <= tol.Allowed(c.want, 1); ok != c.ok {
			t.Errorf("%v for %v: %t, want %t", c.got, c.want, ok, c.ok)
		}
	}
}
