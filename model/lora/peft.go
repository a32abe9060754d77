package lora

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
)

// Files of a PEFT folder, and names of the tensors in it.
const (
	configFile  = "adapter_config.json"
	tensorsFile = "adapter_model.safetensors"

	prefix  = "base_model.model." // added by PEFT's wrapper classes
	suffixA = ".lora_A.weight"
	suffixB = ".lora_B.weight"
)

// Save writes the adapters to the folder dir in PEFT's format: adapter_config.json, where
// base is the name or path of the base model, and adapter_model.safetensors in the dtype of
// the parameters. Files of an earlier Save are replaced, each atomically.
//
// In a model with routed experts, PEFT assigns the names gate_proj, up_proj and down_proj
// to the experts. It therefore rejects adapters of dense layers and shared experts in such
// a model; Load reads them.
func (a *Adapters) Save(dir, base string) error {
	fail := func(err error) error { return fmt.Errorf("lora: save %s: %w", dir, err) }
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fail(err)
	}
	tensors := checkpoint.Tensors(a.Params())
	for i := range tensors {
		tensors[i].Name = prefix + tensors[i].Name
	}
	text, err := json.MarshalIndent(a.peft(base), "", "  ")
	if err != nil {
		return fail(err)
	}
	err = checkpoint.WriteAtomic(filepath.Join(dir, tensorsFile), func(w io.Writer) error {
		return checkpoint.Write(w, tensors, map[string]string{"format": "pt"})
	})
	if err != nil {
		return fail(err)
	}
	err = checkpoint.WriteAtomic(filepath.Join(dir, configFile), func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
	if err != nil {
		return fail(err)
	}
	return nil
}

// targets returns target_modules for PEFT that select exactly the projections of a: the
// last components of their names if no other projections have them, otherwise the full
// names.
func (a *Adapters) targets() []string {
	short := components(a.list)
	for _, x := range projections(a.model.Blocks...) {
		if slices.Contains(short, component(x.name)) && find(a.list, x.name) < 0 {
			return a.Names()
		}
	}
	return short
}

// Load attaches the adapters of a PEFT folder to m, which must be the base model that they
// were trained on, and freezes all other parameters. It ignores the dropout setting.
// Features that change the result and are not supported (DoRA, biases, different ranks,
// further weights, …) are errors that name them. Errors are those of Attach, or name the
// file.
func Load(m *model.Model, dir string) (*Adapters, error) {
	a, err := load(m, dir)
	if err != nil {
		return nil, fmt.Errorf("lora: load %s: %w", dir, err)
	}
	return a, nil
}

func load(m *model.Model, dir string) (*Adapters, error) {
	c, err := readConfig(filepath.Join(dir, configFile))
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, tensorsFile)
	r, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	list, err := stored(m, r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := fits(r, list, c.Rank); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if c.Targets = components(list); len(list) == 0 {
		return nil, fmt.Errorf("%s: no adapters", path)
	}
	a, err := attach(m, c, list)
	if err != nil {
		return nil, err
	}
	a.Config.Targets = a.targets()
	for _, p := range a.Params() {
		if err := set(p, r); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// stored returns the projections that the file has adapters for, in the model's order.
func stored(m *model.Model, r *checkpoint.Reader) ([]adapter, error) {
	all := projections(m.Blocks...)
	has := make([]bool, len(all))
	for _, t := range r.Tensors() {
		name, ok := strings.CutPrefix(t.Name, prefix)
		module, isA := strings.CutSuffix(name, suffixA)
		if !isA {
			var isB bool
			module, isB = strings.CutSuffix(name, suffixB)
			ok = ok && isB
		}
		i := find(all, module)
		if !ok || i < 0 {
			return nil, fmt.Errorf("tensor %q does not belong to a projection of the model", t.Name)
		}
		has[i] = true
	}
	var list []adapter
	for i, x := range all {
		if has[i] {
			list = append(list, x)
		}
	}
	return list, nil
}

// fits checks the shapes of the tensors of list.
func fits(r *checkpoint.Reader, list []adapter, rank int) error {
	for _, x := range list {
		out, in := x.linear.W.Shape()[0], x.linear.W.Shape()[1]
		for i, want := range [][]int{{rank, in}, {out, rank}} {
			name := prefix + x.name + []string{suffixA, suffixB}[i]
			t, ok := r.Lookup(name)
			switch {
			case !ok:
				return fmt.Errorf("tensor %q: %w", name, checkpoint.ErrMissing)
			case !t.DType.IsFloat():
				return fmt.Errorf("tensor %q is %s, want a floating-point dtype", name, t.DType)
			case !slices.Equal(t.Shape, want):
				return fmt.Errorf("tensor %q is %v, want %v", name, t.Shape, want)
			}
		}
	}
	return nil
}

// set sets p to the tensor of its name.
func set(p *tensor.Param, r *checkpoint.Reader) error {
	rows, err := r.Rows(prefix+p.Name, [2]int{})
	if err != nil {
		return err
	}
	values := make([]float64, 0, p.Len())
	err = rows.Each(1, func(_ int, x []float32) error {
		for _, v := range x {
			values = append(values, float64(v))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.SetFloats(values)
}

// peftConfig holds the keys of adapter_config.json that Save writes and Load reads.
type peftConfig struct {
	PEFTType    string   `json:"peft_type"`
	TaskType    string   `json:"task_type"`
	Base        string   `json:"base_model_name_or_path"`
	Rank        int      `json:"r"`
	Alpha       float64  `json:"lora_alpha"`
	RSLoRA      bool     `json:"use_rslora"`
	Targets     []string `json:"target_modules"`
	Bias        string   `json:"bias"`
	Dropout     float64  `json:"lora_dropout"`
	FanInFanOut bool     `json:"fan_in_fan_out"`
	Inference   bool     `json:"inference_mode"`
	Init        any      `json:"init_lora_weights"`
}

func (a *Adapters) peft(base string) peftConfig {
	return peftConfig{
		PEFTType: "LORA", TaskType: "CAUSAL_LM", Base: base, Rank: a.Config.Rank, Alpha: a.Config.Alpha,
		RSLoRA: a.Config.RSLoRA, Targets: a.targets(), Bias: "none", Inference: true, Init: true,
	}
}

// readConfig reads an adapter_config.json. It does not read target_modules, which may be a
// regular expression, since the tensors in the file show which projections have adapters.
func readConfig(path string) (Config, error) {
	fail := func(err error) (Config, error) { return Config{}, fmt.Errorf("%s: %w", path, err) }
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return fail(err)
	}
	var errs []error
	for key, raw := range all {
		if !slices.Contains(understood, key) && !neutral(string(raw)) {
			errs = append(errs, fmt.Errorf("%s is %.100s, which is not supported", key, raw))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	delete(all, "target_modules")
	if text, err = json.Marshal(all); err != nil {
		return fail(err)
	}
	var p peftConfig
	if err := json.Unmarshal(text, &p); err != nil {
		return fail(err)
	}
	if p.PEFTType != "LORA" {
		errs = append(errs, fmt.Errorf("peft_type is %q, want LORA", p.PEFTType))
	}
	if p.Bias != "none" && p.Bias != "" {
		errs = append(errs, fmt.Errorf("bias is %q, want none", p.Bias))
	}
	// Other initializations change the base model's weights at the start of training.
	if init, ok := p.Init.(string); ok && init != "gaussian" {
		errs = append(errs, fmt.Errorf("init_lora_weights is %q, which may belong to other base weights", init))
	}
	c := Config{Rank: p.Rank, Alpha: p.Alpha, RSLoRA: p.RSLoRA, Targets: []string{AllLinear}}
	if err := errors.Join(append(errs, c.validate())...); err != nil {
		return fail(err)
	}
	return c, nil
}

// understood are the keys that are read, or that do not affect a trained adapter.
var understood = []string{
	"peft_type", "peft_version", "task_type", "base_model_name_or_path", "revision", "auto_mapping", "inference_mode",
	"r", "lora_alpha", "use_rslora", "bias", "init_lora_weights", "lora_dropout", "megatron_core", "qalora_group_size",
	"target_modules", "exclude_modules", "layers_to_transform", "layers_pattern",
}

// neutral reports whether a JSON value enables nothing.
func neutral(raw string) bool {
	switch strings.Join(strings.Fields(raw), "") {
	case "null", "false", "{}", "[]", `""`, "0", "0.0":
		return true
	}
	return false
}
