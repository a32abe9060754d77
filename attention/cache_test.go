package attention_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// forEachLayer runs fn with every attention layer of the package in F32 and F64.
func forEachLayer(t *testing.T, fn func(t *testing.T, b backend.Backend, dt backend.DType, l layer, hidden int)) {
	b := open(t)
	for _, dt := range []backend.DType{backend.F32, backend.F64} {
		for name, cfg := range gqaConfigs {
			t.Run(fmt.Sprintf("%s/gqa/%s", dt, name), func(t *testing.T) { fn(t, b, dt, newGQA(t, b, dt, cfg), cfg.Hidden) })
		}
		for name, cfg := range mlaConfigs {
			for _, form := range []string{"naive", "absorbed"} {
				t.Run(fmt.Sprintf("%s/mla/%s/%s", dt, name, form), func(t *testing.T) {
					m := newMLA(t, b, dt, cfg)
					m.Absorbed = form == "absorbed"
					fn(t, b, dt, m, cfg.Hidden)
				})
			}
		}
	}
}

// lengths are the lengths of the test's sequences. They cross the block boundaries of the
// attention kernels and include a single token.
var lengths = []int{3, 150, 1, 66}

const totalRows = 3 + 150 + 1 + 66

// The rows of a sequence have the same bits whatever else is in the batch.
func TestPackedSequencesEqualEachAlone(t *testing.T) {
	forEachLayer(t, func(t *testing.T, b backend.Backend, dt backend.DType, l layer, hidden int) {
		x := normals(9, totalRows*hidden)
		together := packed(t, b, dt, l, x, lengths, false)
		at := 0
		for i, n := range lengths {
			alone := packed(t, b, dt, l, x[at*hidden:(at+n)*hidden], []int{n}, false)
			sameBits(t, fmt.Sprintf("sequence %d", i), alone, together[at*hidden:(at+n)*hidden], hidden)
			at += n
		}
	})
}

// A forward that records gradients gives the same bits as one that does not.
func TestTrainingForwardEqualsInference(t *testing.T) {
	forEachLayer(t, func(t *testing.T, b backend.Backend, dt backend.DType, l layer, hidden int) {
		x := normals(9, totalRows*hidden)
		sameBits(t, "training", packed(t, b, dt, l, x, lengths, true), packed(t, b, dt, l, x, lengths, false), hidden)
	})
}

// Feeding sequences through a cache in chunks of any size, down to one token at a time,
// together with any other sequences, gives the bits of one packed forward.
func TestChunkedCachedForwardEqualsPacked(t *testing.T) {
	const seed = 21
	t.Log("seed", seed)
	forEachLayer(t, func(t *testing.T, b backend.Backend, dt backend.DType, l layer, hidden int) {
		x := normals(9, totalRows*hidden)
		want := packed(t, b, dt, l, x, lengths, false)
		for _, c := range []struct {
			name  string
			chunk func(rng *rand.Rand) int
		}{
			{"decode", func(*rand.Rand) int { return 1 }},
			{"chunks of 17", func(*rand.Rand) int { return 17 }},
			{"ragged chunks", func(rng *rand.Rand) int { return rng.IntN(40) }},
		} {
			got := cached(t, b, dt, l, x, hidden, rand.New(rand.NewPCG(seed, 0)), c.chunk)
			sameBits(t, c.name, got, want, hidden)
		}
	})
}

// cached feeds all sequences through one cache, chunk() tokens of each per step. The cache
// is full of NaN at the start, and the sequences use its slots in reverse order.
func cached(t testing.TB, b backend.Backend, dt backend.DType, l layer, x []float64, hidden int, rng *rand.Rand,
	chunk func(*rand.Rand) int) []float64 {
	t.Helper()
	const maxLen = 160
	cache, err := l.NewCache(b, dt, len(lengths)*maxLen)
	must(t, err)
	defer cache.Free()
	must(t, b.Do(&backend.Fill{Dst: cache.K, Value: math.NaN()}))
	must(t, b.Do(&backend.Fill{Dst: cache.V, Value: math.NaN()}))
	out := make([]float64, len(x))
	done := make([]int, len(lengths))
	for left := totalRows; left > 0; {
		var spans []attention.Span
		var from []int // rows of x
		first := 0
		for q, n := range lengths {
			span := attention.Span{Slot: len(lengths) - 1 - q, From: done[q], N: min(chunk(rng), n-done[q])}
			spans = append(spans, span)
			for i := range span.N {
				from = append(from, first+done[q]+i)
			}
			done[q] += span.N
			left -= span.N
			first += n
		}
		if len(from) == 0 {
			continue
		}
		s := tensor.NewScope(b, tensor.Options{})
		n := len(from)
		var in []float64
		for _, r := range from {
			in = append(in, x[r*hidden:(r+1)*hidden]...)
		}
		rows := attention.Continue(s, maxLen, spans...)
		y, err := l.Forward(s.Floats(dt, in, n, hidden), rows, cache).Values()
		must(t, err)
		for i, r := range from {
			copy(out[r*hidden:], y[i*hidden:(i+1)*hidden])
		}
		s.Close()
	}
	return out
}

func TestPackRejectsNegativeLengths(t *testing.T) {
	s := tensor.NewScope(open(t), tensor.Options{})
	defer s.Close()
	defer func() {
		if recover() == nil {
			t.Error("no panic for a length of −1")
		}
	}()
	attention.Pack(s, []int{2, -1})
}

func TestPackPlacesRows(t *testing.T) {
	s := tensor.NewScope(open(t), tensor.Options{})
	defer s.Close()
	rows := attention.Pack(s, []int{2, 0, 3})
	for _, c := range []struct {
		name string
		got  tensor.Tensor
		want []float64
	}{
		{"Pos", rows.Pos, []float64{0, 1, 0, 1, 2}},
		{"Start", rows.Start, []float64{0, 0, 2, 2, 2}},
		{"Len", rows.Len, []float64{1, 2, 1, 2, 3}},
	} {
		v, err := c.got.Values()
		must(t, err)
		sameBits(t, c.name, v, c.want, 1)
	}
	if rows.Cache.Present() {
		t.Error("packed rows have a place in a cache")
	}
}

func TestContinueRefusesSpansThatLeaveTheirSlot(t *testing.T) {
	s := tensor.NewScope(open(t), tensor.Options{})
	defer s.Close()
	for _, span := range []attention.Span{{Slot: -1, N: 1}, {From: -1, N: 1}, {N: -1}, {From: 3, N: 2}, {N: 5}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("no panic for %+v over slots of 4 tokens", span)
				}
			}()
			attention.Continue(s, 4, span)
		}()
	}
}

// own is an attention layer defined outside of the package, without positions, that uses
// the package's cache.
type own struct{ q, k, v *tensor.Linear }

func (o *own) Forward(x tensor.Tensor, rows attention.Rows, cache *attention.Cache) tensor.Tensor {
	heads := func(l *tensor.Linear) tensor.Tensor { return l.Forward(x).Reshape(x.Dim(0), 2, 4) }
	q, k, v := heads(o.q), heads(o.k), heads(o.v)
	if cache != nil {
		k, v = cache.Append(rows, k, v)
	}
	return tensor.Attention(q, k, v, rows.Start, rows.Len, 0.5).Reshape(x.Dim(0), 8)
}

func (o *own) NewCache(b backend.Backend, dt backend.DType, rows int) (*attention.Cache, error) {
	return attention.NewCache(b, dt, rows, 2, 4, 4)
}

// The results are compared bit for bit, as for the package's own layers.
func TestOwnAttentionContinuesOverACache(t *testing.T) {
	b := open(t)
	ps := params(t, b, backend.F32)
	l := &own{tensor.NewLinear(ps, "q", 8, 8, false), tensor.NewLinear(ps, "k", 8, 8, false),
		tensor.NewLinear(ps, "v", 8, 8, false)}
	must(t, ps.Err())
	x := normals(9, totalRows*8)
	got := cached(t, b, backend.F32, l, x, 8, nil, func(*rand.Rand) int { return 17 })
	sameBits(t, "chunks of 17", got, packed(t, b, backend.F32, l, x, lengths, false), 8)
}

func TestAppendRefusesRowsWithoutPlacesAndGradients(t *testing.T) {
	b := open(t)
	span := attention.Span{N: 2}
	refused := func(s *tensor.Scope, rows attention.Rows, want string) {
		t.Helper()
		for name, l := range map[string]layer{
			"GQA": newGQA(t, b, backend.F32, gqaConfigs["llama"]),
			"MLA": newMLA(t, b, backend.F32, mlaConfigs["plain query"]),
		} {
			cache, err := l.NewCache(b, backend.F32, 8)
			must(t, err)
			defer cache.Free()
			func() {
				defer func() {
					if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
						t.Errorf("%s: panic %q, want %q", name, got, want)
					}
				}()
				l.Forward(s.Full(backend.F32, 1, 2, 24), rows, cache)
			}()
		}
	}
	s := tensor.NewScope(b, tensor.Options{})
	defer s.Close()
	refused(s, attention.Pack(s, []int{2}), "Rows.Cache is absent beside a cache")
	rows := attention.Continue(s, 8, span)
	rows.Cache = rows.Cache.Slice(0, 0, 1)
	refused(s, rows, "Rows.Cache has 1 rows for 2 tokens")
	training := tensor.NewScope(b, tensor.Options{Grad: true})
	defer training.Close()
	refused(training, attention.Continue(training, 8, span), "records gradients")
}
