package tensor_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/backend/tensor/gradtest"
)

func TestSmallModelHasTheRightGradients(t *testing.T) {
	for _, recompute := range []bool{false, true} {
		b := open(t)
		m := newSmall(t, b, backend.F64)
		m.recompute = recompute
		frozen := func(p *tensor.Param) bool { return !p.Trainable }
		params := slices.DeleteFunc(slices.Clone(m.params), frozen)
		// The ratio of the log-probabilities is detached from what divides it, so
		// that it is 1 in value alone: compare the rest.
		gradtest.Check(t, params, func(s *tensor.Scope) tensor.Tensor {
			tk := batch(s)
			x, scores := m.hidden(s, tk)
			lp, entropy := tensor.LogProbs(square.Apply(tensor.Sigmoid(x)), m.head, tk.targets, 1)
			return tensor.Add(tensor.Sum(tensor.Mul(lp, entropy)), tensor.SequenceBalance(scores, tk.seqs, 2, 0.1))
		}, gradtest.Options{Samples: 10, Seed: seed, NoGrad: []*tensor.Param{m.gateBias, m.cos, m.sin}})
	}
}

func TestRecomputeAndDeferredWeightsGiveTheSameBits(t *testing.T) {
	for _, dt := range []backend.DType{backend.F32, backend.F64} {
		b := open(t)
		m := newSmall(t, b, dt)
		plain := tensor.NewScope(b, tensor.Options{Grad: true})
		defer plain.Close()
		want := m.mustTrain(t, plain)
		for _, recompute := range []bool{false, true} {
			for _, deferred := range []bool{false, true} {
				m.recompute = recompute
				s := tensor.NewScope(b, tensor.Options{Grad: true, DeferWeights: deferred})
				for run := range 2 { // the second reuses the first one's memory
					if got := m.mustTrain(t, s); !got.equal(want) {
						t.Errorf("%s, recompute %v, deferred %v, run %d: other bits", dt, recompute, deferred, run)
					}
					s.Reset()
					if n := s.LiveBytes(); n != 0 {
						t.Errorf("%s, recompute %v, deferred %v: %d bytes in use after Reset", dt, recompute, deferred, n)
					}
				}
				s.Close()
			}
		}
	}
}

func TestDeferredWeightGradientsWaitForRunDeferred(t *testing.T) {
	b := open(t)
	x, w := gradtest.Normal(t, b, seed, 1, "x", 3, 4), gradtest.Normal(t, b, seed+1, 1, "w", 5, 4)
	s := tensor.NewScope(b, tensor.Options{Grad: true, DeferWeights: true})
	defer s.Close()
	if err := s.Backward(gradtest.Project((&tensor.Linear{W: w}).Forward(x.In(s)), seed)); err != nil {
		t.Fatal(err)
	}
	if !x.HasGrad() || w.HasGrad() {
		t.Fatalf("after Backward: x has a gradient: %v, w: %v; want only x", x.HasGrad(), w.HasGrad())
	}
	before := s.LiveBytes()
	if err := s.RunDeferred(); err != nil {
		t.Fatal(err)
	}
	if !w.HasGrad() || s.LiveBytes() >= before {
		t.Errorf("after RunDeferred: w has a gradient: %v; %d bytes in use, %d before", w.HasGrad(), s.LiveBytes(), before)
	}
	if err := s.Backward(gradtest.Project((&tensor.Linear{W: w}).Forward(x.In(s)), seed)); err != nil {
		t.Fatal(err)
	}
	s.Reset() // drops what was deferred
	if n := s.LiveBytes(); n != 0 {
		t.Errorf("%d bytes in use after Reset with weights deferred", n)
	}
}

// block is the memory of one [64, 64] F64 tensor.
const block = 64 * 64 * 8

func chain(x tensor.Tensor, n int) tensor.Tensor {
	for range n {
		x = tensor.Sigmoid(x)
	}
	return x
}

func TestBackwardGivesActivationsBackAfterTheirLastReader(t *testing.T) {
	b := open(t)
	p := gradtest.Normal(t, b, seed, 1, "p", 64, 64)
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	const layers = 20
	loss := tensor.Sum(chain(p.In(s), layers))
	forward := s.LiveBytes()
	if forward < layers*block {
		t.Fatalf("%d bytes after the forward, want at least %d activations of %d", forward, layers, block)
	}
	s.ResetPeak()
	if err := s.Backward(loss); err != nil {
		t.Fatal(err)
	}
	if extra := s.PeakBytes() - forward; extra > 2*block {
		t.Errorf("backward needs %d blocks beyond the activations, want at most 2: gradients must take their place",
			extra/block)
	}
	if n := s.LiveBytes(); n > 256 {
		t.Errorf("%d bytes in use after Backward, want those of the loss only", n)
	}
}

func TestProductsKeepOnlyWhatTheirGradientReads(t *testing.T) {
	b := open(t)
	p := gradtest.Normal(t, b, seed, 1, "p", 64, 64)
	frozen := gradtest.Normal(t, b, seed, 1, "frozen", 64, 64)
	frozen.Trainable = false
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	x := p.In(s)
	for range 10 { // a constant factor and a frozen matrix: nothing of x is needed again
		x = tensor.Mul(x, s.Full(backend.F64, 0.5, 1))
		x = (&tensor.Linear{W: frozen}).Forward(x)
	}
	loss := tensor.Sum(x)
	var live []int
	tap := tensor.Func{
		Forward: func(_ *tensor.Scope, in []tensor.Tensor) tensor.Tensor { return tensor.Scale(in[0], 1) },
		Backward: func(s *tensor.Scope, _ []tensor.Tensor, _, dOut tensor.Tensor) []tensor.Tensor {
			live = append(live, s.LiveBytes())
			return []tensor.Tensor{dOut}
		},
	}
	if err := s.Backward(tap.Apply(loss)); err != nil {
		t.Fatal(err)
	}
	if live[0] > 2*block {
		t.Errorf("%d bytes in use when Backward begins, want no activation of %d", live[0], block)
	}
}

func TestFuncGivesItsBackwardsTemporariesBack(t *testing.T) {
	b := open(t)
	p := gradtest.Normal(t, b, seed, 1, "p", 64, 64)
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	x := p.In(s)
	for range 10 {
		x = square.Apply(x)
	}
	loss := tensor.Sum(x)
	forward := s.LiveBytes()
	s.ResetPeak()
	if err := s.Backward(loss); err != nil {
		t.Fatal(err)
	}
	if extra := s.PeakBytes() - forward; extra > 4*block {
		t.Errorf("backward needs %d blocks beyond the activations", extra/block)
	}
}

func TestRecomputeLowersThePeak(t *testing.T) {
	b := open(t)
	p := gradtest.Normal(t, b, seed, 1, "p", 64, 64)
	peak := func(recompute bool) int {
		s := tensor.NewScope(b, tensor.Options{Grad: true})
		defer s.Close()
		x := p.In(s)
		for range 5 {
			if recompute {
				x = tensor.Recompute(func(_ *tensor.Scope, in []tensor.Tensor) []tensor.Tensor { return one(chain(in[0], 8)) },
					x)[0]
			} else {
				x = chain(x, 8)
			}
		}
		if err := s.Backward(tensor.Sum(x)); err != nil {
			t.Fatal(err)
		}
		return s.PeakBytes()
	}
	if on, off := peak(true), peak(false); on > off/2 {
		t.Errorf("peak %d with recomputation, %d without: want less than half", on, off)
	}
}

func TestOnlyTheFirstRunOfRecomputeCounts(t *testing.T) {
	b := open(t)
	p := gradtest.Normal(t, b, seed, 1, "p", 3)
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	var runs []string
	y := tensor.Recompute(func(s *tensor.Scope, in []tensor.Tensor) []tensor.Tensor {
		runs = append(runs, fmt.Sprintf("recording %v counting %v", s.Recording(), s.Counting()))
		return one(tensor.Exp(in[0]))
	}, p.In(s))[0]
	if err := s.Backward(tensor.Sum(y)); err != nil {
		t.Fatal(err)
	}
	want := []string{"recording false counting true", "recording true counting false"}
	if !slices.Equal(runs, want) {
		t.Errorf("runs %q, want %q", runs, want)
	}
}

func TestLocalFreesAllButItsResult(t *testing.T) {
	b := open(t)
	s := tensor.NewScope(b, tensor.Options{})
	defer s.Close()
	x := s.Full(backend.F64, 0, 64, 64)
	var kept, gone tensor.Tensor
	y := s.Local(func() tensor.Tensor {
		kept = tensor.Scale(x, 3).Keep()
		gone = chain(x, 5)
		return tensor.Exp(gone).T()
	})
	if n := s.LiveBytes(); n != 3*block {
		t.Errorf("%d blocks in use, want x, the kept one and the result", n/block)
	}
	for _, v := range []tensor.Tensor{x, kept, y} {
		if _, err := v.Values(); err != nil {
			t.Error(err)
		}
	}
	mustPanic(t, "after its memory was given back", func() { gone.View() })
	direct, err := tensor.Exp(chain(x, 5)).Values()
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := y.Values(); !slices.Equal(got, direct) {
		t.Error("Local's result was overwritten")
	}
}

func TestUseAfterReleasePanicsUnlessKept(t *testing.T) {
	b := open(t)
	p := gradtest.Normal(t, b, seed, 1, "p", 3)
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	released, kept := tensor.Exp(p.In(s)), tensor.Exp(p.In(s)).Keep()
	window := kept.Slice(0, 1, 2)
	loss := tensor.Sum(tensor.Add(released, kept))
	if err := s.Backward(loss); err != nil {
		t.Fatal(err)
	}
	const gone = "after its memory was given back"
	mustPanic(t, gone, func() { released.View() })
	mustPanic(t, gone, func() { released.Values() })
	mustPanic(t, gone, func() { released.Reshape(3, 1).View() })
	mustPanic(t, gone, func() { tensor.Exp(released) })
	mustPanic(t, gone, func() { tensor.Download(make([]float64, 3), released) })
	mustPanic(t, gone, func() { tensor.Upload(released, make([]float64, 3)) })
	for _, v := range []tensor.Tensor{kept, window, loss} {
		if _, err := v.Values(); err != nil {
			t.Error(err)
		}
	}
	s.Reset()
	mustPanic(t, gone, func() { kept.View() })
	mustPanic(t, gone, func() { loss.View() })
}

func TestTensorsMustEnterRecomputeAsInputs(t *testing.T) {
	b := open(t)
	p := gradtest.Normal(t, b, seed, 1, "p", 3)
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	x, y := p.In(s), tensor.Exp(p.In(s))
	mustPanic(t, "must be one of its inputs", func() {
		tensor.Recompute(func(_ *tensor.Scope, in []tensor.Tensor) []tensor.Tensor { return one(tensor.Mul(in[0], y)) }, x)
	})
	s.Reset()
	x, y = p.In(s), tensor.Exp(p.In(s))
	mustPanic(t, "must be one of its inputs", func() {
		tensor.Recompute(func(_ *tensor.Scope, in []tensor.Tensor) []tensor.Tensor { return one(tensor.Mul(y, in[0])) }, x)
	})
}

func TestScopesReuseMemory(t *testing.T) {
	b := &counting{Backend: open(t)}
	m := newSmall(t, b, backend.F32)
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	m.mustTrain(t, s)
	s.Reset()
	held := b.buffers
	for range 3 {
		m.mustTrain(t, s)
		s.Reset()
	}
	if b.buffers != held {
		t.Errorf("%d buffers after four micro-batches, %d after one", b.buffers, held)
	}
	s.Close()
	if want := countParamBuffers(m); b.buffers != want {
		t.Errorf("%d buffers after Close, want the parameters' %d", b.buffers, want)
	}
}

// Micro-batches of many sizes hold what the largest needs and 64 MiB. If freed blocks of
// each size were kept, they would add up to several times as much.
func TestBatchesOfOtherSizesShareMemory(t *testing.T) {
	const rows, width, layers = 1 << 11, 1 << 12, 20 // 32 MiB a tensor at most
	run := func(s *tensor.Scope, rows int) {
		chain(s.Full(backend.F32, 0, rows, width), layers)
		s.Reset()
	}
	largest := backend.DryRun(open(t))
	s := tensor.NewScope(largest, tensor.Options{Grad: true})
	run(s, rows)
	s.Close()

	ragged := backend.DryRun(open(t))
	s = tensor.NewScope(ragged, tensor.Options{Grad: true})
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 50 {
		run(s, 1+rng.IntN(rows))
	}
	const spare = 64 << 20
	if got, most := ragged.Memory().Peak, largest.Memory().Peak+spare; got > most {
		t.Errorf("seed %d: batches of up to %d rows held %s, want at most %s", seed, rows, backend.FormatBytes(got),
			backend.FormatBytes(most))
	}
	s.Close()
}

// Batches that alternate between two sizes allocate nothing after the first two.
func TestAlternatingSizesAllocateNothing(t *testing.T) {
	b := &counting{Backend: backend.DryRun(open(t))}
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	for i := range 10 {
		before := b.made
		chain(s.Full(backend.F32, 0, []int{1 << 11, 1300}[i%2], 1<<12), 20)
		s.Reset()
		if i >= 2 && b.made != before {
			t.Errorf("batch %d allocates %d buffers", i, b.made-before)
		}
	}
}

// A scope with a program shares memory between batches of other sizes too. The blocks of the
// program stay allocated: it runs again, though the tensors of its recording are gone.
func TestScopesOfProgramsShareMemory(t *testing.T) {
	const most, width, layers = 400, 1 << 14, 10 // 25 MiB a tensor at most
	rng := rand.New(rand.NewPCG(seed, 1))
	b := open(t)
	x := gradtest.Normal(t, b, seed, 1, "x", 64, 64)
	y := gradtest.Normal(t, b, seed, 1, "y", 64, 64)
	s := tensor.NewScope(b, tensor.Options{})
	defer s.Close()
	p, err := s.Record(func() { s.Copy(y.Value(), chain(x.In(s), layers).View()) })
	if err != nil {
		t.Fatal(err)
	}
	_, total := b.MemInfo()
	for range 8 {
		s.Reset()
		chain(s.Full(backend.F32, 0, 1+rng.IntN(most), width), layers)
	}
	_, left := b.MemInfo()
	if held, limit := total-left, layers*32<<20+64<<20; total > 0 && held > limit {
		t.Errorf("seed %d: the scope holds %s, want at most %s", seed, backend.FormatBytes(held), backend.FormatBytes(limit))
	}
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	got, err := s.Constant(y.Value()).Values()
	if err != nil {
		t.Fatal(err)
	}
	s.Reset()
	want, err := chain(x.In(s), layers).Values()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Error("the program has another result after batches of other sizes")
	}
}

// countParamBuffers is the number of values and gradients m holds.
func countParamBuffers(m *small) int {
	n := 0
	for _, p := range m.params {
		n++
		if p.HasGrad() {
			n++
		}
	}
	return n
}

// counting counts the buffers in existence. It hides that its backend packs.
type counting struct {
	backend.Backend
	buffers int
	made    int // since the beginning
}

func (c *counting) Alloc(n int) (backend.Buffer, error) {
	buf, err := c.Backend.Alloc(n)
	if err == nil {
		c.buffers++
		c.made++
	}
	return buf, err
}

func (c *counting) Free(b backend.Buffer) {
	c.buffers--
	c.Backend.Free(b)
}

// poisoned hands out memory full of NaN instead of zeros.
type poisoned struct{ backend.Backend }

func (p poisoned) Alloc(n int) (backend.Buffer, error) {
	buf, err := p.Backend.Alloc(n)
	if err != nil {
		return nil, err
	}
	return buf, p.Backend.Upload(buf, 0, bytes.Repeat([]byte{0xFF}, n))
}

func TestNothingReadsUninitialisedMemory(t *testing.T) {
	var want outcome
	for i, b := range []backend.Backend{open(t), poisoned{open(t)}} {
		m := newSmall(t, b, backend.F32)
		s := tensor.NewScope(b, tensor.Options{Grad: true})
		got := m.mustTrain(t, s)
		if i == 0 {
			want = got
		} else if !got.equal(want) {
			t.Error("other bits where new memory holds NaN")
		}
		s.Close()
	}
}
