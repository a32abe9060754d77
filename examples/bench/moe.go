package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/moe"
)

var moeShapes = []string{"2048x64x1408x6"}

// moeShape is the hidden size, the number of experts, an expert's intermediate size
// and the number of experts that each row is sent to.
type moeShape struct{ hidden, experts, intermediate, topK int }

func parseMoE(shape string) (moeShape, error) {
	s, err := sizes(shape, 4)
	if err != nil {
		return moeShape{}, err
	}
	if s[3] > s[1] {
		return moeShape{}, fmt.Errorf("top %d of %d experts", s[3], s[1])
	}
	return moeShape{s[0], s[1], s[2], s[3]}, nil
}

func checkMoE(_ options, shape string) error {
	_, err := parseMoE(shape)
	return err
}

// layer is a layer and its input. The input is a parameter, so that the backward
// pass computes its gradient too, as inside a model.
type layer struct {
	x       *tensor.Param // [N, D]
	rows    backend.View  // x in the dtype of the activations
	forward func(x tensor.Tensor) tensor.Tensor
}

// measureMoE times an MoE layer and a dense FFN with as many operations per row:
// forward with packed weights, and forward with backward if the format can train.
// Activations have the dtype of -precision.
func measureMoE(ctx context.Context, b *bench, t task) error {
	shape, err := parseMoE(t.shape)
	if err != nil {
		return err
	}
	rows := cmp.Or(b.Context, 2048)
	active := 3 * float64(shape.hidden) * float64(shape.intermediate) * float64(shape.topK) // multiply-adds per row
	all := active / float64(shape.topK) * float64(shape.experts)
	if err := b.fits("weights and gradients", 3*4*(all+active)); err != nil {
		return err
	}
	ps := tensor.NewParams(b.b, tensor.Init{Seed: 1, Std: 0.02, Format: backend.Format(t.format)})
	defer ps.Free()
	x := ps.FullPrecision("x", rows, shape.hidden)
	routed := moe.New(ps, "moe", moe.Config{
		Hidden: shape.hidden, Intermediate: shape.intermediate, Experts: shape.experts, TopK: shape.topK, Normalize: true,
	})
	dense := moe.NewFFN(ps, "dense", shape.hidden, shape.topK*shape.intermediate)
	if err := ps.Err(); err != nil {
		return err
	}
	inputs := tensor.NewScope(b.b, tensor.Options{})
	defer inputs.Close()
	cast := x.In(inputs).Cast(b.precision).View()
	if err := inputs.Err(); err != nil {
		return err
	}
	layers := []layer{
		{x, cast, func(x tensor.Tensor) tensor.Tensor { return routed.Forward(x).Y }},
		{x, cast, dense.Forward},
	}
	gate := operations(f32, 2*float64(shape.hidden)*float64(shape.experts))
	forward := operations(t.format, 2*active).times(float64(rows))
	for _, pass := range []struct {
		part  string
		cost  cost
		gate  cost
		grads bool
	}{
		{"forward", forward, gate.times(float64(rows)), false},
		{"forward+backward", forward.times(3), gate.times(3 * float64(rows)), true},
	} {
		if pass.grads && t.format.ForwardOnly {
			continue
		}
		s := tensor.NewScope(b.b, tensor.Options{Grad: pass.grads})
		res, err := b.rounds(ctx, pass.cost, b.parts(layers[0].call(s), layers[1].call(s)))
		s.Close()
		if err != nil {
			return err
		}
		l := t.line(b, backend.Memory{})
		l.Part = pass.part
		l.Ratio = res.seconds[0] / res.seconds[1]
		if err := b.emit(res.rate(l, 0, float64(rows), "tok/s", pass.cost.plus(pass.gate))); err != nil {
			return err
		}
		l.Part, l.Ratio = pass.part+", dense", 0
		if err := b.emit(res.rate(l, 1, float64(rows), "tok/s", pass.cost)); err != nil {
			return err
		}
	}
	return nil
}

// call returns a function that runs the layer once in s: forward, and backward if s
// records.
func (l layer) call(s *tensor.Scope) func() error {
	return func() error {
		s.Reset()
		if !s.Recording() {
			l.forward(s.Constant(l.rows))
			return s.Err()
		}
		return s.Backward(tensor.Sum(l.forward(l.x.In(s).Cast(l.rows.DType))))
	}
}
