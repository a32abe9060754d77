package gradtest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/backend/tensor/gradtest"
)

// recorder records the failures of a check instead of failing the test.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper()             {}
func (r *recorder) Logf(string, ...any) {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}
func (r *recorder) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// scaled returns exp as a Func whose gradient is wrong by the given factor.
func scaled(factor float64) tensor.Func {
	return tensor.Func{
		Forward: func(_ *tensor.Scope, in []tensor.Tensor) tensor.Tensor { return tensor.Exp(in[0]) },
		Backward: func(_ *tensor.Scope, _ []tensor.Tensor, out, dOut tensor.Tensor) []tensor.Tensor {
			return []tensor.Tensor{tensor.Scale(tensor.Mul(out, dOut), factor)}
		},
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p, q := gradtest.Normal(t, b, 1, 1, "p", 3), gradtest.Normal(t, b, 2, 1, "q", 3)
	before, err := p.Floats()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		params     []*tensor.Param
		o          gradtest.Options
		loss       func(s *tensor.Scope) tensor.Tensor
	}{
		{"a right gradient", "", []*tensor.Param{p}, gradtest.Options{},
			func(s *tensor.Scope) tensor.Tensor { return gradtest.Project(scaled(1).Apply(p.In(s)), 3) }},
		{"a right gradient of samples", "", []*tensor.Param{p}, gradtest.Options{Samples: 2},
			func(s *tensor.Scope) tensor.Tensor { return gradtest.Project(scaled(1).Apply(p.In(s)), 3) }},
		{"a wrong gradient", "p: relative error 1.00e-05 > 1e-06", []*tensor.Param{p}, gradtest.Options{},
			func(s *tensor.Scope) tensor.Tensor { return gradtest.Project(scaled(1+1e-5).Apply(p.In(s)), 3) }},
		{"a tolerated gradient", "", []*tensor.Param{p}, gradtest.Options{Tolerance: 1e-4},
			func(s *tensor.Scope) tensor.Tensor { return gradtest.Project(scaled(1+1e-5).Apply(p.In(s)), 3) }},
		{"a gradient that stops", "q: no gradient", []*tensor.Param{p, q}, gradtest.Options{},
			func(s *tensor.Scope) tensor.Tensor { return tensor.Sum(tensor.Mul(p.In(s), tensor.Detach(q.In(s)))) }},
		{"a parameter without influence", "p has no influence", []*tensor.Param{p}, gradtest.Options{},
			func(s *tensor.Scope) tensor.Tensor { return tensor.Sum(tensor.Scale(p.In(s), 0)) }},
		{"a gradient that must vanish", "p: gradient [1 1 1], want none", []*tensor.Param{q},
			gradtest.Options{NoGrad: []*tensor.Param{p}},
			func(s *tensor.Scope) tensor.Tensor { return tensor.Sum(tensor.Add(p.In(s), q.In(s))) }},
		{"a loss that depends on the scope", "in a scope with gradients", []*tensor.Param{p}, gradtest.Options{},
			func(s *tensor.Scope) tensor.Tensor {
				l := tensor.Sum(p.In(s))
				if s.Recording() {
					l = tensor.Affine(l, 1, 1)
				}
				return l
			}},
	} {
		r := &recorder{TB: t}
		gradtest.Check(r, c.params, c.loss, c.o)
		if got := strings.Join(r.failures, "; "); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: failures %q, want %q", c.name, got, c.want)
		}
		after, err := p.Floats()
		if err != nil {
			t.Fatal(err)
		}
		for i := range after {
			if after[i] != before[i] {
				t.Fatalf("%s: the check changed p[%d]", c.name, i)
			}
		}
		if err := p.ZeroGrad(); err != nil {
			t.Fatal(err)
		}
	}
}
