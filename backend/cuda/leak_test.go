package cuda_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cuda/internal/driver"
	"github.com/aha-go/aha/backend/cuda/internal/dynlib"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
)

// holdings counts the resources of the emulated driver that the program has not
// freed.
type holdings struct {
	Allocations, HostBlocks, Streams, Events, Modules uint64
	Bytes                                             int // device memory
}

// holding reads the holdings from the emulator. A context must be open.
func holding(t *testing.T) holdings {
	t.Helper()
	lib, err := dynlib.Open(dynlib.Spec{Title: "the emulator", Override: "AHA_CUDA_DRIVER"})
	if err != nil {
		t.Fatal(err)
	}
	fn, err := lib.Bind([]string{"ahaEmuHeld"})
	if err != nil {
		t.Fatal(err)
	}
	counts := new([5]uint64)
	dynlib.Call(fn[0], uintptr(unsafe.Pointer(counts)))
	return holdings{counts[0], counts[1], counts[2], counts[3], counts[4], 0}
}

// watch keeps the device's context open, so that the test sees what a backend
// has not freed at Close. It returns a function that reads the holdings.
func watch(t *testing.T) func() holdings {
	t.Helper()
	emulated(t)
	d, err := driver.Open()
	if err != nil {
		t.Fatal(err)
	}
	context, err := d.DevicePrimaryCtxRetain(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.DevicePrimaryCtxRelease(0); err != nil {
			t.Error(err)
		}
	})
	return func() holdings {
		t.Helper()
		pin, err := d.Pin(context)
		if err != nil {
			t.Fatal(err)
		}
		free, total, err := d.MemGetInfo()
		if err := errors.Join(err, pin.Release()); err != nil {
			t.Fatal(err)
		}
		h := holding(t)
		h.Bytes = total - free
		return h
	}
}

// batches returns packed sequences whose number and lengths differ from batch
// to batch.
func batches(rng *rand.Rand, n int) [][]model.Sequence {
	list := make([][]model.Sequence, n)
	for i := range list {
		for range 1 + rng.IntN(3) {
			ids := make([]int32, 3+rng.IntN(8))
			for j := range ids {
				ids[j] = int32(rng.IntN(16))
			}
			list[i] = append(list[i], model.Sequence{IDs: ids})
		}
	}
	return list
}

// After the first steps, training takes no more memory from the driver, and
// Close frees all of it.
func TestTrainingHoldsMemoryConstant(t *testing.T) {
	const steps, kinds = 200, 5
	held := watch(t)
	before := held()
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	data := batches(rand.New(rand.NewPCG(seed, 0)), kinds)
	b, err := backend.Open("cuda:0")
	if err != nil {
		t.Fatal(err)
	}
	m, drafter := newModel(t, b, model.Options{})
	tr := &train.Trainer{Model: m, Drafter: drafter, Optimizer: train.AdamW{LR: 1e-3}, BalanceAlpha: 1e-2,
		Log: slog.New(slog.DiscardHandler)}
	var first holdings
	var free int
	for i := range steps {
		if _, err := tr.Step(context.Background(), data[i%kinds]); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		now := held()
		_, left := b.MemInfo()
		if i == 2*kinds-1 {
			first, free = now, left
		}
		if i >= 2*kinds && (now != first || left != free) {
			t.Fatalf("step %d: %+v, %d bytes free, after %d steps %+v, %d", i, now, left, 2*kinds, first, free)
		}
	}
	t.Logf("%+v", first)
	tr.Close()
	m.Free()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if after := held(); after != before {
		t.Errorf("after Close %+v, before Open %+v", after, before)
	}
}
