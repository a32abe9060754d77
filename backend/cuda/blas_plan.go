package cuda

import (
	"errors"
	"fmt"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cuda/internal/cublaslt"
)

// String returns the product as error messages name it.
func (p problem) String() string {
	m, k := p.a.size()
	_, n := p.b.size()
	return fmt.Sprintf("%s [%d %d %d] = %s [%d %d %d]·[%d %d %d]",
		p.c.dtype, p.batch, m, n, p.a.dtype, p.batch, m, k, p.batch, k, n)
}

// size returns the view's numbers of rows and columns.
func (o operand) size() (rows, cols int) {
	if o.transposed {
		return o.cols, o.rows
	}
	return o.rows, o.cols
}

// plan returns the plan for p, which it makes only once.
func (l *blas) plan(p problem) (*plan, error) {
	if made := l.plans[p]; made != nil {
		return made, nil
	}
	made := &plan{name: "cublasLtMatmul " + p.String()}
	err := l.describe(made, p)
	if err == nil {
		err = l.choose(made, p)
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", p, errors.Join(err, l.drop(made)))
	}
	l.plans[p] = made
	return made, nil
}

// describe creates the descriptors of p's operands.
func (l *blas) describe(made *plan, p problem) (err error) {
	if made.desc, err = l.lib.MatmulDescCreate(cublaslt.Compute32F, cublaslt.F32); err != nil {
		return err
	}
	// cuBLASLt's A is the transpose of b, and its B that of a.
	transA, transB := operation(p.b), operation(p.a)
	err = errors.Join(
		l.lib.MatmulDescSetAttribute(made.desc, cublaslt.TransA, transA),
		l.lib.MatmulDescSetAttribute(made.desc, cublaslt.TransB, transB))
	if err != nil {
		return err
	}
	if made.a, err = l.layout(p.a, p.batch); err != nil {
		return err
	}
	if made.b, err = l.layout(p.b, p.batch); err != nil {
		return err
	}
	made.c, err = l.layout(p.c, p.batch)
	return err
}

// operation returns the operation that turns o into the view's transpose.
func operation(o operand) cublaslt.Operation {
	if o.transposed {
		return cublaslt.N
	}
	return cublaslt.T
}

func (l *blas) layout(o operand, batch int) (cublaslt.Layout, error) {
	dt := cublaslt.F32
	if o.dtype == backend.BF16 {
		dt = cublaslt.BF16
	}
	m, err := l.lib.MatrixLayoutCreate(dt, o.rows, o.cols, o.ld)
	if err != nil {
		return 0, err
	}
	return m, errors.Join(
		l.lib.MatrixLayoutSetAttribute(m, cublaslt.BatchCount, batch),
		l.lib.MatrixLayoutSetAttribute(m, cublaslt.BatchStride, o.stride))
}

// choose selects the first algorithm that sums each element in one sequence.
func (l *blas) choose(made *plan, p problem) error {
	pref, err := l.lib.MatmulPreferenceCreate()
	if err != nil {
		return err
	}
	list, err := l.candidates(made, p, pref)
	if err := errors.Join(err, l.lib.MatmulPreferenceDestroy(pref)); err != nil {
		return err
	}
	for _, r := range list {
		if r.State == 0 && r.WorkspaceSize <= maxWorkspace {
			made.algo, made.workspace = r.Algo, int(r.WorkspaceSize)
			return nil
		}
	}
	return errors.New("cublasLtMatmulAlgoGetHeuristic found no algorithm")
}

// candidates returns the first of the algorithms within limits, which cuBLASLt
// sorts by estimated speed.
func (l *blas) candidates(
	made *plan, p problem, pref cublaslt.Preference,
) ([]cublaslt.HeuristicResult, error) {
	set := func(a cublaslt.PreferenceAttribute, v int) error {
		return l.lib.MatmulPreferenceSetAttribute(pref, a, v)
	}
	err := errors.Join(
		set(cublaslt.MaxWorkspaceBytes, maxWorkspace), set(cublaslt.ReductionMask, cublaslt.ReductionNone),
		set(cublaslt.AlignmentA, p.b.align), set(cublaslt.AlignmentB, p.a.align),
		set(cublaslt.AlignmentC, p.c.align), set(cublaslt.AlignmentD, p.c.align))
	if err != nil {
		return nil, err
	}
	return l.lib.MatmulAlgoGetHeuristic(l.handle, made.desc, made.b, made.a, made.c, made.c, pref, 8)
}

// drop destroys the descriptors of a plan that have been created.
func (l *blas) drop(p *plan) error {
	var errs []error
	if p.desc != 0 {
		errs = append(errs, l.lib.MatmulDescDestroy(p.desc))
	}
	for _, m := range []cublaslt.Layout{p.a, p.b, p.c} {
		if m != 0 {
			errs = append(errs, l.lib.MatrixLayoutDestroy(m))
		}
	}
	return errors.Join(errs...)
}
