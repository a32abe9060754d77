package tensor_test

import (
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// scores returns the log-probabilities [N] of the targets under the head of the model,
// and the logits [N, V].
func (m *small) scores(s *tensor.Scope, t tokens) (lp, logits tensor.Tensor) {
	x, _ := m.hidden(s, t)
	lp, _ = tensor.LogProbs(x, m.head, t.targets, 1)
	return lp, tensor.Logits(x, m.head)
}

func values(t testing.TB, x tensor.Tensor) []float64 {
	t.Helper()
	v, err := x.Values()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestProgramsReplayWithWhatLiesInTheirBuffers(t *testing.T) {
	b := open(t)
	m := newSmall(t, b, backend.F32)
	s := tensor.NewScope(b, tensor.Options{})
	defer s.Close()
	in := batch(s)
	var lp, logits tensor.Tensor
	program, err := s.Record(func() { lp, logits = m.scores(s, in) })
	if err != nil {
		t.Fatal(err)
	}
	bystanders := make([]tensor.Tensor, 40) // tensors that must not share memory with the program
	for i := range bystanders {
		bystanders[i] = s.Full(backend.F32, 5, 1+8*i)
	}
	for _, ids := range [][]int32{{3, 1, 4, 1, 5, 9}, {0, 10, 7, 7, 2, 6}} {
		tensor.Upload(in.ids, ids)
		if err := program.Run(); err != nil {
			t.Fatal(err)
		}
		direct := tensor.NewScope(b, tensor.Options{})
		again := batch(direct)
		tensor.Upload(again.ids, ids)
		wantLP, wantLogits := m.scores(direct, again)
		if !slices.Equal(values(t, lp), values(t, wantLP)) || !slices.Equal(values(t, logits), values(t, wantLogits)) {
			t.Errorf("ids %v: the program's bits differ from the direct run's", ids)
		}
		direct.Close()
	}
	for i, x := range bystanders {
		if slices.ContainsFunc(values(t, x), func(v float64) bool { return v != 5 }) {
			t.Fatalf("running the program overwrote tensor %d, which was made after recording", i)
		}
	}
}

func TestProgramsAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	b := open(t)
	m := newSmall(t, b, backend.F32)
	s := tensor.NewScope(b, tensor.Options{})
	defer s.Close()
	in := batch(s)
	program, err := s.Record(func() { m.scores(s, in) })
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(20, func() {
		if err := program.Run(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations in a run of %d ops", n, program.Len())
	}
}

func TestTrainingAndInferenceAgreeBitForBit(t *testing.T) {
	b := open(t)
	m := newSmall(t, b, backend.F32)
	train, infer := tensor.NewScope(b, tensor.Options{Grad: true}), tensor.NewScope(b, tensor.Options{})
	defer train.Close()
	defer infer.Close()
	want, _ := m.scores(train, batch(train))
	got, _ := m.scores(infer, batch(infer))
	if !slices.Equal(values(t, got), values(t, want)) {
		t.Error("log-probabilities differ between a scope with gradients and one with packed weights")
	}
}

func TestOutdatedPackedWeightsPanicUntilRepacked(t *testing.T) {
	b := open(t)
	m := newSmall(t, b, backend.F32)
	s := tensor.NewScope(b, tensor.Options{})
	defer s.Close()
	in := batch(s)
	var logits tensor.Tensor
	program, err := s.Record(func() { _, logits = m.scores(s, in) })
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Run(); err != nil {
		t.Fatal(err)
	}
	before := values(t, logits)
	w, err := m.head.Floats()
	if err != nil {
		t.Fatal(err)
	}
	for i := range w {
		w[i] *= 2
	}
	if err := m.head.SetFloats(w); err != nil {
		t.Fatal(err)
	}
	mustPanic(t, "packed matrix has version 1, the weights have version 2", func() { program.Run() })
	if err := tensor.Repack(m.params); err != nil {
		t.Fatal(err)
	}
	if err := program.Run(); err != nil {
		t.Fatal(err)
	}
	for i, v := range values(t, logits) {
		if v != 2*before[i] {
			t.Fatalf("logit %d is %v after doubling the head, was %v", i, v, before[i])
		}
	}
	for i := range w {
		w[i] *= 2
	}
	if err := m.head.SetFloats(w); err != nil {
		t.Fatal(err)
	}
	_, direct := m.scores(s, in) // outside a program, weights are packed again automatically
	for i, v := range values(t, direct) {
		if v != 4*before[i] {
			t.Fatalf("logit %d is %v after doubling the head twice, was %v", i, v, before[i])
		}
	}
}

func TestRecordingRefusesTransfers(t *testing.T) {
	b := open(t)
	s := tensor.NewScope(b, tensor.Options{})
	defer s.Close()
	if _, err := s.Record(func() { s.Ints([]int32{1}, 1) }); err == nil {
		t.Error("no error from an upload while recording")
	}
	s.Reset()
	if v := values(t, s.Full(backend.F32, 2, 1)); v[0] != 2 {
		t.Errorf("ops after a failed recording give %v", v)
	}
}

// unfused is a backend that reports that it lacks most fused ops, and counts buffers.
type unfused struct{ *counting }

func (unfused) Supports(op string, _ backend.DType) bool {
	return !slices.Contains([]string{"RMSNorm", "Attention", "LinearLogProb", "LogSumExp"}, op)
}

func (u unfused) Do(op backend.Op) error {
	if !u.Supports(op.Name(), backend.F32) {
		return backend.Unsupported(u, op, "")
	}
	return u.counting.Do(op)
}

func TestCloseFreesTheTemporariesOfPrograms(t *testing.T) {
	b := unfused{&counting{Backend: open(t)}}
	m := newSmall(t, b, backend.F32)
	before := b.buffers
	s, direct := tensor.NewScope(b, tensor.Options{}), tensor.NewScope(b, tensor.Options{})
	in := batch(s)
	var lp tensor.Tensor
	program, err := s.Record(func() { lp, _ = m.scores(s, in) })
	if err != nil {
		t.Fatal(err)
	}
	recorded := b.buffers
	if err := program.Run(); err != nil {
		t.Fatal(err)
	}
	if b.buffers != recorded {
		t.Errorf("%d buffers after a run, %d after recording", b.buffers, recorded)
	}
	want, _ := m.scores(direct, batch(direct))
	if !slices.Equal(values(t, lp), values(t, want)) {
		t.Error("the program's bits differ from the direct run's")
	}
	s.Close()
	direct.Close()
	if b.buffers != before {
		t.Errorf("%d buffers are left", b.buffers-before)
	}
}
