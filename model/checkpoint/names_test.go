package checkpoint

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
)

func ones(name string, shape ...int) Tensor {
	n := 1
	for _, d := range shape {
		n *= d
	}
	t := Tensor{Name: name, DType: F32, Shape: shape}
	for range n {
		t.Data = append(t.Data, littleEndian(float32(1))...)
	}
	return t
}

func TestNamesOfFilesAreFound(t *testing.T) {
	const embed = "model.embed_tokens.weight"
	experts := []Tensor{ones("layers.0.mlp.experts.0.up_proj.weight", 1, 3), ones("layers.0.mlp.experts.1.up_proj.weight",
		1, 3)}
	for _, c := range []struct {
		name      string
		head      bool // there is a separate head
		files     []Tensor
		unclaimed []string
		missing   string
	}{
		{name: "as in memory", head: true, files: []Tensor{ones(embed, 2, 3), ones("lm_head.weight", 2, 3)}},
		{name: "without prefix", head: true, files: append([]Tensor{ones("embed_tokens.weight", 2, 3),
			ones("lm_head.weight", 2, 3)}, experts...)},
		{name: "prefix of some", head: true, files: []Tensor{ones("embed_tokens.weight", 2, 3),
			ones("model.norm.weight", 2), ones("lm_head.weight", 2, 3)}, missing: embed},
		{name: "tied", files: []Tensor{ones(embed, 2, 3)}},
		{name: "tied, called as the head", files: []Tensor{ones("lm_head.weight", 2, 3)}},
		{name: "tied, both", files: []Tensor{ones(embed, 2, 3), ones("lm_head.weight", 2, 3)},
			unclaimed: []string{"lm_head.weight"}},
		{name: "only the head", head: true, files: []Tensor{ones("lm_head.weight", 2, 3)}, missing: embed},
		{name: "frequencies of RoPE", files: []Tensor{ones(embed, 2, 3),
			ones("model.layers.0.self_attn.rotary_emb.inv_freq", 4), ones("model.rotary_emb.inv_freq", 4),
			ones("model.other", 1)}, unclaimed: []string{"model.other"}},
	} {
		ps := newParams(t, backend.F32)
		p := ps.Table(embed, 2, 3)
		if c.head {
			ps.Table("lm_head.weight", 2, 3)
		}
		if len(c.files) > 3 && c.head {
			ps.Stack("model.layers.0.mlp.experts.*.up_proj.weight", 2, 1, 3)
		}
		unclaimed, err := Load(mustWrite(t, c.files), ps.All())
		if c.missing != "" {
			var fault *FormatError
			if !errors.Is(err, ErrMissing) || !errors.As(err, &fault) || fault.Tensor != c.missing {
				t.Errorf("%s: error %v, want that %s is missing", c.name, err, c.missing)
			}
			continue
		}
		if err != nil || !slices.Equal(unclaimed, c.unclaimed) {
			t.Errorf("%s: unclaimed %v, want %v; error %v", c.name, unclaimed, c.unclaimed, err)
			continue
		}
		if got := fmt.Sprint(floats(t, p)); got != "[1 1 1 1 1 1]" {
			t.Errorf("%s: the embedding is %s", c.name, got)
		}
	}
}

func TestEqualComparesAllBits(t *testing.T) {
	const n = 3 << 19 // more than Equal reads at a time
	last := ones("c", n)
	last.Data[len(last.Data)-4] ^= 1
	other := Tensor{Name: "e", DType: I32, Shape: []int{n}, Data: ones("e", n).Data}
	path := mustWrite(t, []Tensor{ones("a", n), ones("b", n), last, ones("d", n/2, 2), other})
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for name, want := range map[string]bool{"a": true, "b": true, "c": false, "d": false, "e": false} {
		if same, err := r.Equal("a", name); err != nil || same != want {
			t.Errorf("a and %s: %t, %v", name, same, err)
		}
	}
	for _, pair := range [][2]string{{"a", "absent"}, {"absent", "a"}} {
		_, err := r.Equal(pair[0], pair[1])
		if fault, ok := errors.AsType[*FormatError](err); !ok || fault.Tensor != "absent" || !errors.Is(err, ErrMissing) {
			t.Errorf("%v: error %v", pair, err)
		}
	}
}
