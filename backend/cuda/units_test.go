package cuda_test

import (
	"testing"

	"github.com/aha-go/aha/backend/backendtest"
	"github.com/aha-go/aha/backend/cuda"
)

// The grid of a launch, the tiles of products and the number of threads in a
// block depend on the number of multiprocessors, but the bits of results do
// not.
func TestBitsDoNotDependOnTheNumberOfMultiprocessors(t *testing.T) {
	emulated(t)
	var devices [2]*cuda.CUDA
	for i, units := range []int{1, 50} {
		b, err := cuda.New(0, cuda.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		cuda.SetUnits(b, units)
		devices[i] = b
	}
	ran := 0
	for i, c := range backendtest.Cases() {
		if i%8 != 0 {
			continue
		}
		d := backendtest.Differ(devices[0], devices[1], c)
		if d.Err != nil || d.Ref.Err != nil || d.Apart != 0 {
			t.Errorf("%s: %g of the tolerance apart; errors %v and %v", c, d.Apart, d.Err, d.Ref.Err)
		}
		if !d.Unsupported && d.Skipped == "" {
			ran++
		}
	}
	if ran < 100 {
		t.Errorf("%d cases ran", ran)
	}
	t.Logf("%d cases", ran)
}
