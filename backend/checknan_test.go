package backend_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

func TestCheckNaNNamesTheElement(t *testing.T) {
	b := backend.CheckNaN(newCPU(t))
	x := upload(t, b, backend.F32, []float64{1, 2, 3, -4, 5, 6}, 2, 3)
	y := upload(t, b, backend.F32, make([]float64, 12), 3, 4)
	// The result is a strided view: its element [1 0] is element [0 2] of y.
	err := b.Do(&backend.Unary{Y: y.Slice(1, 1, 3).T(), X: x, Fn: backend.Sqrt})
	if err == nil || !strings.Contains(err.Error(), "Sqrt wrote NaN to element [1 0] of operand 0") {
		t.Errorf("error %v, want one that names Sqrt, NaN, element [1 0] and operand 0", err)
	}
}

func TestCheckNaNTakesPlusInfAsAnErrorAndMinusInfAsAValue(t *testing.T) {
	b := backend.CheckNaN(newCPU(t))
	x := upload(t, b, backend.F64, []float64{0, 1}, 2)
	y := upload(t, b, backend.F64, []float64{0, 0}, 2)
	do(t, b, &backend.Unary{Y: y, X: x, Fn: backend.Log}) // log 0 = −Inf
	if err := b.Do(&backend.Unary{Y: y, X: x, Fn: backend.Reciprocal}); err == nil || !strings.Contains(err.Error(),
		"+Inf") {
		t.Errorf("1/0: error %v, want one that names +Inf", err)
	}
}

func TestCheckNaNPassesWhatAnOpLeftAlone(t *testing.T) {
	b := backend.CheckNaN(newCPU(t))
	nan := math.NaN()
	y := upload(t, b, backend.F32, []float64{nan, nan, 1}, 3, 1)
	x := upload(t, b, backend.F32, []float64{7}, 1, 1)
	index := upload(t, b, backend.I32, []float64{2}, 1)
	do(t, b, &backend.Scatter{Y: y, X: x, Index: index})
	x = upload(t, b, backend.F32, []float64{nan}, 1, 1)
	if err := b.Do(&backend.Scatter{Y: y, X: x, Index: index}); err == nil || !strings.Contains(err.Error(),
		"element [2 0]") {
		t.Errorf("error %v, want one that names element [2 0]", err)
	}
}

func TestCheckNaNPassesErrorsOn(t *testing.T) {
	b := backend.CheckNaN(without(newCPU(t), "Fill"))
	x := upload(t, b, backend.F32, []float64{1}, 1)
	if err := b.Do(&backend.Fill{Dst: x}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("error %v, want ErrUnsupported", err)
	}
}
