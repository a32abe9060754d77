package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

func checkMLA(o options, shape string) error {
	if !slices.Contains(mlaPresets(), shape) {
		return fmt.Errorf("no such model with MLA, want some of %s", strings.Join(mlaPresets(), ", "))
	}
	if context := cmp.Or(o.Context, mlaContext); context < 8 {
		return fmt.Errorf("-context %d, want at least 8", context)
	}
	return nil
}

const mlaContext = 8192

// errNoise is returned if other processes on the machine disturbed the measurement
// too much.
var errNoise = errors.New("attending to more tokens took no longer: the machine is too busy for this; " +
	"try more -seconds or -context")

// measureMLA times the attention of one layer for one token, with -context cached
// tokens and with a quarter of them. The difference of the times, over the
// difference of the lengths, is the time of one more cached token. Calls cycle
// through several KV caches that together exceed the processor's caches.
func measureMLA(ctx context.Context, b *bench, t task) error {
	length := cmp.Or(b.Context, mlaContext)
	config, err := preset(t.shape)
	if err != nil {
		return err
	}
	config.NumHiddenLayers, config.NumNextNPredictLayers, config.Quantization = 1, 0, nil
	config.VocabSize, config.IntermediateSize = 2, 1 // not used here
	config.BOSTokenID, config.EOSTokenID = nil, nil
	config.MaxPositionEmbeddings = length
	m, err := model.NewWith(b.b, config, 1, model.Options{Absorbed: true})
	if err != nil {
		return err
	}
	defer m.Free()
	pair := demandOf(m).pair
	d := latentDecode{m: m, s: tensor.NewScope(b.b, tensor.Options{})}
	defer d.close()
	caches := min(max(int(coldBytes/(pair.bytes*float64(length))), 1), mostTurns)
	if err := b.fits("caches", pair.bytes*float64(length*caches)); err != nil {
		return err
	}
	short := length / 4
	for range caches {
		if err := d.add(length, short, length); err != nil {
			return err
		}
	}
	both := b.parts(d.call(0), d.call(1))
	res, err := b.rounds(ctx, pair, func() ([]float64, error) {
		s, err := both()
		if err != nil {
			return nil, err
		}
		return []float64{(s[1] - s[0]) / float64(length-short)}, nil
	})
	if err != nil {
		return err
	}
	if !(res.seconds[0] > 0) {
		return errNoise
	}
	l := res.rate(t.line(b, backend.Memory{}), 0, 1, "", pair)
	least, bound := pair.seconds(res.limits)
	l.Part = fmt.Sprintf("%d to %d cached tokens", short, length)
	l.Value, l.Limit, l.Unit, l.Bound = 1e9*l.Seconds, 1e9*least, "ns", bound
	return b.emit(l)
}

// latentDecode holds recorded steps of absorbed MLA, for several KV caches and two
// lengths.
type latentDecode struct {
	m        *model.Model
	s        *tensor.Scope
	caches   []*attention.Cache
	programs [2][]*backend.Program // by length and cache
}

// add makes a KV cache of random latents and records the steps that attend to the
// first short and the first long of its tokens.
func (d *latentDecode) add(capacity, short, long int) error {
	mla := d.m.Blocks[0].(*model.Layer).Attention
	c, err := mla.NewCache(d.m.Backend(), backend.F32, capacity)
	if err != nil {
		return err
	}
	d.caches = append(d.caches, c)
	if err := d.m.Backend().Do(&backend.Random{Dst: c.K, Seed: uint64(len(d.caches)),
		Distribution: backend.Normal}); err != nil {
		return err
	}
	for i, n := range [2]int{short, long} {
		x := d.s.Full(backend.F32, 1, 1, d.m.Config.HiddenSize)
		rows := attention.Continue(d.s, capacity, attention.Span{From: n - 1, N: 1})
		p, err := d.s.Record(func() { mla.Forward(x, rows, c) })
		if err != nil {
			return err
		}
		d.programs[i] = append(d.programs[i], p)
	}
	return nil
}

// call returns a function that runs the step of a length (0 for short, 1 for long),
// each time on the next cache.
func (d *latentDecode) call(length int) func() error {
	next := 0
	return func() error {
		next++
		return d.programs[length][next%len(d.programs[length])].Run()
	}
}

func (d *latentDecode) close() {
	d.s.Close()
	for _, c := range d.caches {
		c.Free()
	}
}
