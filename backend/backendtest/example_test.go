package backendtest_test

import (
	"fmt"
	"log"
	"math"
	"regexp"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/backendtest"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// mine is a backend with a custom kernel: RMSNorm in F32.
type mine struct {
	backend.Decorator
	kernel func(y, x, w []float64, eps float64) (rstd float64) // computes one row
}

func (m mine) Do(op backend.Op) error {
	o, ok := op.(*backend.RMSNorm)
	if !ok || o.X.DType != backend.F32 {
		return m.Backend.Do(op)
	}
	x, err := backend.Values(m, o.X)
	if err != nil {
		return err
	}
	w, err := backend.Values(m, o.W)
	if err != nil {
		return err
	}
	n, d := o.X.Shape[0], o.X.Shape[1]
	y, rstd := make([]float64, n*d), make([]float64, n)
	for i := range n {
		rstd[i] = m.kernel(y[i*d:][:d], x[i*d:][:d], w, o.Eps)
	}
	if err := m.store(o.Y, y); err != nil || !o.Rstd.Present() {
		return err
	}
	return m.store(o.Rstd, rstd)
}

// store uploads the elements of v one by one, since other elements may lie between them.
func (m mine) store(v backend.View, vals []float64) (err error) {
	size := v.DType.Size()
	mem := make([]byte, size)
	v.Each(func(i, at int) {
		v.DType.Put(mem, 0, vals[i])
		if err == nil {
			err = m.Upload(v.Buf, at*size, mem)
		}
	})
	return err
}

func rmsNorm(y, x, w []float64, eps float64) (rstd float64) {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	rstd = 1 / math.Sqrt(sum/float64(len(x))+eps)
	for i, v := range x {
		y[i] = v * rstd * w[i]
	}
	return rstd
}

// noTail is a wrong kernel: it clears the elements that are left after blocks of 16. A
// model does not show this if its widths are multiples of 16.
func noTail(y, x, w []float64, eps float64) float64 {
	rstd := rmsNorm(y, x, w, eps)
	clear(y[len(y)/16*16:])
	return rstd
}

// noEps is a wrong kernel: it ignores eps, which matters if a whole row is small.
func noEps(y, x, w []float64, _ float64) float64 { return rmsNorm(y, x, w, 0) }

// A custom kernel decorates a backend that has the other ops. Check finds the cases that
// fail, and Compare finds the first op inside a model that differs.
func Example() {
	for _, x := range []struct {
		name   string
		kernel func(y, x, w []float64, eps float64) float64
	}{{"right", rmsNorm}, {"no tail", noTail}, {"no eps", noEps}} {
		b := mine{backend.Decorator{Backend: open()}, x.kernel}
		fmt.Println(x.name+":", check(b))
		err := forward(backendtest.Compare(open(), b))
		fmt.Println("  in a model:", regexp.MustCompile(`RMSNorm|<nil>`).FindString(fmt.Sprint(err)))
	}
	// Output:
	// right: all cases pass
	//   in a model: <nil>
	// no tail: Y of RMSNorm/F32/dense/{N:1,D:1,Scale:1}
	//   in a model: <nil>
	// no eps: Rstd of RMSNorm/F32/strided/{N:1,D:1,Scale:1}
	//   in a model: RMSNorm
}

// check returns the first case that fails on b, and the operand.
func check(b backend.Backend) string {
	for _, c := range backendtest.Cases() {
		if c.Op != "RMSNorm" {
			continue
		}
		if r := backendtest.Check(b, c); !r.OK() {
			return r.Operand + " of " + c.Name()
		}
	}
	return "all cases pass"
}

// open returns the reference backend.
func open() backend.Backend {
	b, err := backend.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	return b
}

// forward runs a small model on b and closes b.
func forward(b backend.Backend) error {
	defer b.Close()
	m, err := model.New(b, model.Tiny(32), 1)
	if err != nil {
		return err
	}
	defer m.Free()
	s := tensor.NewScope(b, tensor.Options{})
	defer s.Close()
	seqs := []model.Sequence{{IDs: []int32{1, 2, 3, 4}}}
	m.Forward(s, m.NewBatch(s, seqs, model.Totals(seqs)))
	return s.Err()
}

// The conformance test of the backend with the custom kernel runs every op, also by
// decomposition, and random cases.
func TestACustomKernelConforms(t *testing.T) {
	b := mine{backend.Decorator{Backend: backendtest.Open(t, "cpu")}, rmsNorm}
	backendtest.Run(t, b, backendtest.Ops())
}
