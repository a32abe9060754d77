package model

import (
	"math"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// decoder holds the inputs and results of a decode step: a host copy and a device buffer of
// every per-sequence input. A recorded step always reads and writes these buffers, whose
// contents change from step to step.
type decoder struct {
	ids, pos, start, length, row column[int32] // one element per row
	seed                         column[int32] // two words per sequence
	at, topK                     column[int32] // position of the token to draw; top-k
	temperature, topP            floats

	token    tensor.Tensor // [slots] I32
	logProb  tensor.Tensor // [slots]
	tokens   []int32
	logProbs []float64
	single   []float32 // logProb's elements if the model is F32
}

// column is one input of all slots, on the host and on the device.
type column[T float32 | float64 | int32] struct {
	host []T
	dev  tensor.Tensor
}

func (c *column[T]) upload(n int) { tensor.Upload(head(c.dev, n), c.host[:n]) }

// head returns the first n elements of a vector.
func head(t tensor.Tensor, n int) tensor.Tensor { return t.Slice(0, 0, n) }

// floats is a column of floating-point numbers in the model's dtype.
type floats struct {
	double column[float64]
	single column[float32]
	dt     backend.DType
}

func newFloats(s *tensor.Scope, dt backend.DType, n int) floats {
	f := floats{dt: dt}
	if dt == backend.F64 {
		f.double = column[float64]{make([]float64, n), s.Empty(dt, n)}
	} else {
		f.single = column[float32]{make([]float32, n), s.Empty(dt, n)}
	}
	return f
}

func (f *floats) set(i int, v float64) {
	if f.dt == backend.F64 {
		f.double.host[i] = v
	} else {
		f.single.host[i] = float32(v)
	}
}

func (f *floats) upload(n int) {
	if f.dt == backend.F64 {
		f.double.upload(n)
	} else {
		f.single.upload(n)
	}
}

// dev returns the first n elements on the device.
func (f *floats) dev(n int) tensor.Tensor {
	if f.dt == backend.F64 {
		return head(f.double.dev, n)
	}
	return head(f.single.dev, n)
}

func newDecoder(s *tensor.Scope, dt backend.DType, slots int) decoder {
	ints := func(n int) column[int32] { return column[int32]{make([]int32, n), s.Empty(backend.I32, n)} }
	return decoder{
		ids: ints(slots), pos: ints(slots), start: ints(slots), length: ints(slots), row: ints(slots),
		seed: ints(2 * slots), at: ints(slots), topK: ints(slots),
		temperature: newFloats(s, dt, slots), topP: newFloats(s, dt, slots),
		token: s.Empty(backend.I32, slots), logProb: s.Empty(dt, slots),
		tokens: make([]int32, slots), logProbs: make([]float64, slots), single: make([]float32, slots),
	}
}

// fillRows sets the rows of the next token of every sequence.
func (d *decoder) fillRows(batch []running, maxLen int) {
	rows := attention.Places{
		Pos: d.pos.host[:0], Start: d.start.host[:0], Len: d.length.host[:0], Cache: d.row.host[:0],
	}
	for i, r := range batch {
		d.ids.host[i] = r.last
		rows.Add(maxLen, attention.Span{Slot: r.slot, From: r.length, N: 1})
	}
}

// fillSampling sets the sampling parameters of the next token of every sequence.
func (d *decoder) fillSampling(batch []running, requests []Request) {
	for i, r := range batch {
		q := requests[r.request]
		d.seed.host[2*i], d.seed.host[2*i+1] = int32(uint32(q.Seed)), int32(uint32(q.Seed>>32))
		d.at.host[i], d.topK.host[i] = int32(r.length), int32(min(q.Sampling.TopK, math.MaxInt32))
		temperature := q.Sampling.temperature()
		if q.Sampling.Greedy {
			temperature = 0 // backend.Sample reads 0 as greedy
		}
		d.temperature.set(i, temperature)
		p := q.Sampling.TopP
		if p == 0 {
			p = 1
		}
		d.topP.set(i, p)
	}
}

// upload copies the inputs of the first n sequences to the device.
func (d *decoder) upload(n int) error {
	for _, c := range []*column[int32]{&d.ids, &d.pos, &d.start, &d.length, &d.row, &d.at, &d.topK} {
		c.upload(n)
	}
	d.seed.upload(2 * n)
	d.temperature.upload(n)
	d.topP.upload(n)
	return d.token.Scope().Err()
}

// rows returns the inputs of n sequences as tensors of s.
func (d *decoder) rows(s *tensor.Scope, n int) (ids tensor.Tensor, rows attention.Rows) {
	in := func(c column[int32]) tensor.Tensor { return s.Constant(c.dev.View().Slice(0, 0, n)) }
	return in(d.ids), attention.Rows{Pos: in(d.pos), Start: in(d.start), Len: in(d.length), Cache: in(d.row)}
}

// sample draws the next token of n sequences from their hidden states [n, D].
func (d *decoder) sample(hidden tensor.Tensor, w *tensor.Param, n int) {
	logits := tensor.Logits(hidden, w)
	tensor.Sample(logits, tensor.Draw{
		Token: head(d.token, n), LogProb: head(d.logProb, n), Seed: head(d.seed.dev, 2*n).Reshape(n, 2),
		Pos: head(d.at.dev, n), TopK: head(d.topK.dev, n), Temperature: d.temperature.dev(n), TopP: d.topP.dev(n),
	})
}

// download copies the drawn tokens of n sequences to tokens and their log-probabilities to
// logProbs.
func (d *decoder) download(n int) error {
	if err := tensor.Download(d.tokens[:n], head(d.token, n)); err != nil {
		return err
	}
	if d.logProb.DType() == backend.F64 {
		return tensor.Download(d.logProbs[:n], head(d.logProb, n))
	}
	err := tensor.Download(d.single[:n], head(d.logProb, n))
	for i, v := range d.single[:n] {
		d.logProbs[i] = float64(v)
	}
	return err
}
