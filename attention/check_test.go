package attention_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// mustRefuse checks that create panics with a message that begins with want and says what
// was expected, before it has made any parameter.
func mustRefuse(t *testing.T, ps *tensor.Params, want string, create func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if r := recover(); r == nil {
			t.Errorf("no panic, want %q", want)
		} else if text := fmt.Sprint(r); !strings.HasPrefix(text, want) || !strings.Contains(text, ", want ") {
			t.Errorf("panic %q, want it to begin with %q", text, want)
		} else if ps != nil && len(ps.All()) > 0 {
			t.Errorf("%s: %d parameters were made before the panic", want, len(ps.All()))
		}
	}()
	create()
}

// spoiled calls fn once for each invalid value of each numeric field of the struct at cfg,
// with the field set to it: negative sizes, and factors that are negative, infinite or NaN.
func spoiled(cfg any, fn func(field string, value any)) {
	v := reflect.ValueOf(cfg).Elem()
	for f, field := range v.Fields() {
		was := reflect.ValueOf(field.Interface())
		switch field.Kind() {
		case reflect.Int:
			field.SetInt(-1)
			fn(f.Name, -1)
		case reflect.Float64:
			for _, x := range []float64{-1, math.Inf(1), math.NaN()} {
				field.SetFloat(x)
				fn(f.Name, x)
			}
		}
		field.Set(was)
	}
}

func TestConstructorsRefuseEveryFieldThatCannotBe(t *testing.T) {
	b := open(t)
	turn := angles(t, b, backend.F32, 4, attention.RoPEScaling{})
	fresh := func() *tensor.Params { return tensor.NewParams(b, tensor.Init{}) }
	gqa := attention.GQAConfig{Hidden: 8, Heads: 4, KVHeads: 2, HeadDim: 4, QKNorm: true, Eps: 1e-6}
	newGQA := func(want string, a tensor.Angles) {
		ps := fresh()
		mustRefuse(t, ps, "attention: NewGQA attn: "+want, func() { attention.NewGQA(ps, "attn", gqa, a) })
	}
	spoiled(&gqa, func(field string, value any) { newGQA(fmt.Sprintf("%s is %v", field, value), turn) })
	newGQA("angles is absent", tensor.Angles{})
	for _, c := range []struct {
		field *int
		value int
		want  string
	}{
		{&gqa.Heads, 3, "KVHeads is 2, want a divisor of Heads 3"},
		{&gqa.Hidden, 0, "Hidden is 0, want at least 1"},
		{&gqa.HeadDim, 5, "HeadDim is 5, want an even number"},
		{&gqa.HeadDim, 6, "angles rope.cos is [512 2], want [positions 3] for HeadDim 6"},
	} {
		was := *c.field
		*c.field = c.value
		newGQA(c.want, turn)
		*c.field = was
	}

	mla := attention.MLAConfig{Hidden: 8, Heads: 2, QRank: 3, KVRank: 4, Nope: 4, Rope: 4, Value: 4}
	newMLA := func(want string) {
		ps := fresh()
		mustRefuse(t, ps, "attention: NewMLA attn: "+want, func() { attention.NewMLA(ps, "attn", mla, turn) })
	}
	spoiled(&mla, func(field string, value any) { newMLA(fmt.Sprintf("%s is %v", field, value)) })
	for _, c := range []struct {
		field *int
		value int
		want  string
	}{
		{&mla.KVRank, 0, "KVRank is 0, want at least 1"},
		{&mla.Rope, 0, "Rope is 0, want at least 1"},
		{&mla.Rope, 3, "Rope is 3, want an even number"},
		{&mla.Rope, 6, "angles rope.cos is [512 2], want [positions 3] for Rope 6"},
	} {
		was := *c.field
		*c.field = c.value
		newMLA(c.want)
		*c.field = was
	}
	ps := fresh()
	defer ps.Free()
	mustRefuse(t, nil, "attention: NewCache: rows is 0", func() {
		attention.NewMLA(ps, "attn", mla, turn).NewCache(b, backend.F32, 0)
	})
}

func TestAnglesRefuseWhatCannotTurn(t *testing.T) {
	b := open(t)
	const yarn, llama3 = attention.YaRN, attention.Llama3
	for _, c := range []struct {
		length, dim int
		theta       float64
		sc          attention.RoPEScaling
		want        string
	}{
		{0, 8, 1e4, attention.RoPEScaling{}, "length is 0"},
		{4, 0, 1e4, attention.RoPEScaling{}, "dim is 0"},
		{4, -2, 1e4, attention.RoPEScaling{}, "dim is -2"},
		{4, 7, 1e4, attention.RoPEScaling{}, "dim is 7"},
		{4, 8, 1, attention.RoPEScaling{}, "theta is 1"},
		{4, 8, math.NaN(), attention.RoPEScaling{}, "theta is NaN"},
		{4, 8, math.Inf(1), attention.RoPEScaling{}, "theta is +Inf"},
		{4, 8, 1e4, attention.RoPEScaling{Kind: 9}, "RoPEScaling.Kind is RoPEScalingKind(9)"},
		{4, 8, 1e4, attention.RoPEScaling{Kind: yarn, Factor: 40}, "RoPEScaling.Original is 0"},
		{4, 8, 1e4, attention.RoPEScaling{Kind: yarn, Original: 4096}, "RoPEScaling.Factor is 0"},
		{4, 8, 1e4, attention.RoPEScaling{Kind: llama3}, "RoPEScaling.Factor is 0"},
		{4, 8, 1e4, attention.RoPEScaling{Kind: yarn, Factor: 2, Original: 8, BetaFast: 1, BetaSlow: 2},
			"RoPEScaling.BetaFast is 1"},
		{4, 8, 1e4, attention.RoPEScaling{Kind: llama3, Factor: 2, Original: 8, LowFreqFactor: 4},
			"RoPEScaling.HighFreqFactor is 4"},
	} {
		mustRefuse(t, nil, "attention: NewAngles: "+c.want, func() {
			attention.NewAngles(b, backend.F32, c.length, c.dim, c.theta, c.sc)
		})
		if c.length > 0 {
			mustRefuse(t, nil, "attention: Frequencies: "+c.want, func() { attention.Frequencies(c.dim, c.theta, c.sc) })
		}
	}
	sc := attention.RoPEScaling{Kind: yarn, Factor: 2, Original: 8}
	spoiled(&sc, func(field string, value any) {
		mustRefuse(t, nil, fmt.Sprintf("attention: NewAngles: RoPEScaling.%s is %v", field, value), func() {
			attention.NewAngles(b, backend.F32, 4, 8, 1e4, sc)
		})
	})
}
