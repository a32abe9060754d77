package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aha-go/aha/backend"
)

var limitShapes = []string{"f32", "bf16", "int8", "read"}

func checkLimit(_ options, shape string) error {
	if !slices.Contains(limitShapes, shape) {
		return fmt.Errorf("want some of %s", strings.Join(limitShapes, ", "))
	}
	return nil
}

// measureLimit measures one limit of the machine. The line's share, the median
// over the best interval, shows how undisturbed the machine was.
func measureLimit(ctx context.Context, b *bench, t task) error {
	rate, unit, scale := b.meter.F32, "GFLOP/s", 1e9
	switch t.shape {
	case "bf16":
		rate = b.meter.BF16
	case "int8":
		rate, unit = b.meter.Int8, "Gop/s"
	case "read":
		rate, unit = b.meter.ReadBandwidth, "GB/s"
	}
	if rate(b.slice()) == 0 {
		return fmt.Errorf("the path %s has no such instruction", b.b.Path())
	}
	var rates []float64
	for began := time.Now(); len(rates) < minRounds || time.Since(began) < b.seconds(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		rates = append(rates, rate(b.slice())/scale)
	}
	l := t.line(b, backend.Memory{})
	l.Value, l.Limit, l.Unit, l.Bound = median(rates), slices.Max(rates), unit, t.shape
	l.Share, l.Seconds, l.Rounds = l.Value/l.Limit, b.slice().Seconds(), len(rates)
	return b.emit(l)
}
