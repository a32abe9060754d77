package model

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
)

// Each number of a config, including those of its scaling, is set to invalid values:
// Validate, and with it New, returns an error that names the field, and NewLayer, which
// cannot return an error, panics with it.
func TestNoConstructorTakesANumberThatCannotBe(t *testing.T) {
	b := newCPU(t)
	blocks := 0
	for _, p := range presets {
		cfg := p.config()
		refused := func(key string) {
			t.Helper()
			err := cfg.Validate()
			if err == nil || !strings.Contains(err.Error(), key) {
				t.Fatalf("%s: Validate with a bad %s: %v", p.name, key, err)
			}
			if _, newErr := New(b, cfg, 1); newErr == nil || newErr.Error() != err.Error() {
				t.Errorf("%s: New with a bad %s: %v, want %v", p.name, key, newErr, err)
			}
			if p.name != "Tiny" {
				return // if New accepted it, it would make a model of full size
			}
			blocks++
			ps := tensor.NewParams(b, tensor.Init{})
			defer func() {
				t.Helper()
				want := "model: NewLayer: " + strings.TrimPrefix(err.Error(), "model: ")
				if r := fmt.Sprint(recover()); r != want || len(ps.All()) > 0 {
					t.Errorf("%s: NewLayer with a bad %s: panic %q after %d parameters, want %q", p.name, key, r, len(ps.All()), want)
				}
			}()
			NewLayer(ps, cfg, 0, tensor.Angles{}, Options{})
		}
		spoil(reflect.ValueOf(&cfg).Elem(), cfg.ModelType, "", refused)
		if cfg.RoPEScaling != nil {
			spoil(reflect.ValueOf(cfg.RoPEScaling).Elem(), "", "rope_scaling.", refused)
		}
	}
	if blocks < 20 {
		t.Errorf("NewLayer was tested with only %d bad numbers", blocks)
	}
}

// newCPU opens a CPU backend for the test.
func newCPU(t *testing.T) *cpu.CPU {
	t.Helper()
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// spoil sets each number of a struct in turn to an invalid value and calls fn with its key.
func spoil(v reflect.Value, modelType, prefix string, fn func(key string)) {
	for f, field := range v.Fields() {
		was := reflect.ValueOf(field.Interface())
		switch field.Kind() {
		case reflect.Int:
			field.SetInt(-1)
			fn(prefix + jsonKey(f, modelType))
		case reflect.Float64:
			for _, x := range []float64{-1, math.NaN(), math.Inf(1), math.Inf(-1)} {
				field.SetFloat(x)
				fn(prefix + jsonKey(f, modelType))
			}
		}
		field.Set(was)
	}
}

func TestNewLayerPanicsOnALayerThatTheModelLacks(t *testing.T) {
	b := newCPU(t)
	for _, l := range []int{-1, 5} { // the model has 4 layers and an MTP module
		func() {
			defer func() {
				if r, want := fmt.Sprint(recover()), fmt.Sprintf("model: NewLayer: l is %d, want", l); !strings.HasPrefix(r, want) {
					t.Errorf("panic %q, want %q", r, want)
				}
			}()
			NewLayer(tensor.NewParams(b, tensor.Init{}), Tiny(32), l, tensor.Angles{}, Options{})
		}()
	}
}

func TestOptionsNeedADTypeThatTrains(t *testing.T) {
	b := newCPU(t)
	_, err := NewWith(b, Tiny(32), 1, Options{DType: backend.BF16})
	if err == nil || !strings.Contains(err.Error(), "Options.DType is BF16, want F32 or F64") {
		t.Errorf("error %v, want one that names Options.DType", err)
	}
}
