package moe_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/moe"
)

func TestConstructorsRefuseEveryFieldThatCannotBe(t *testing.T) {
	b := open(t)
	refuses := func(want string, create func(ps *tensor.Params)) {
		t.Helper()
		ps := tensor.NewParams(b, tensor.Init{})
		defer ps.Free()
		defer func() {
			t.Helper()
			if r := recover(); r == nil {
				t.Errorf("no panic, want %q", want)
			} else if text := fmt.Sprint(r); !strings.HasPrefix(text, "moe: "+want+", want ") {
				t.Errorf("panic %q, want it to begin with %q", text, "moe: "+want)
			} else if len(ps.All()) > 0 {
				t.Errorf("%s: %d parameters were made before the panic", want, len(ps.All()))
			}
		}()
		create(ps)
	}
	layer := func(field string, value any, cfg moe.Config) {
		t.Helper()
		refuses(fmt.Sprintf("New layers.3.mlp: %s is %v", field, value), func(ps *tensor.Params) {
			moe.New(ps, "layers.3.mlp", cfg)
		})
	}
	for i := range reflect.TypeFor[moe.Config]().NumField() { // test every numeric field
		cfg := variant("V3")
		field, name := reflect.ValueOf(&cfg).Elem().Field(i), reflect.TypeFor[moe.Config]().Field(i).Name
		switch field.Kind() {
		case reflect.Int:
			field.SetInt(-1)
			layer(name, -1, cfg)
		case reflect.Uint8:
			field.SetUint(9)
			layer(name, field.Interface(), cfg)
		case reflect.Float64:
			for _, x := range []float64{-1, math.NaN(), math.Inf(1)} {
				field.SetFloat(x)
				layer(name, x, cfg)
			}
		}
	}
	for _, c := range []struct {
		field string
		value int
		set   func(*moe.Config)
	}{
		{"Hidden", 0, func(c *moe.Config) { c.Hidden = 0 }},
		{"Intermediate", 0, func(c *moe.Config) { c.Intermediate = 0 }},
		{"Experts", 0, func(c *moe.Config) { c.Experts = 0 }},
		{"TopK", 0, func(c *moe.Config) { c.TopK = 0 }},
		{"TopK", 9, func(c *moe.Config) { c.TopK = 9 }},
		{"TopK", 17, func(c *moe.Config) { c.Groups, c.TopGroups, c.TopK = 1, 1, 17 }},
		{"TopGroups", 5, func(c *moe.Config) { c.TopGroups = 5 }},
		{"Groups", 3, func(c *moe.Config) { c.Groups = 3 }},
	} {
		cfg := variant("V3")
		c.set(&cfg)
		layer(c.field, c.value, cfg)
	}
	refuses("NewFFN mlp: hidden is -1", func(ps *tensor.Params) { moe.NewFFN(ps, "mlp", -1, 4) })
	refuses("NewFFN mlp: intermediate is 0", func(ps *tensor.Params) { moe.NewFFN(ps, "mlp", 4, 0) })
}
