package train

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"unsafe"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// constants are what must not change while a run goes on.
type constants struct {
	fields []constant
	params []paramState
}

// constant is a field of the Trainer.
type constant struct {
	name   string
	value  any  // comparable; an identity where the field is a pointer or a function
	record bool // concerns checkpoints only: Resume takes it anew
}

// identifier is a pointer that stands for what it points to.
type identifier unsafe.Pointer

// paramState is how the Trainer treats a parameter.
type paramState struct {
	trainable, decay bool
	format           backend.Format
}

// now lists the present values of the fields.
func (t *Trainer) now() ([]constant, error) {
	var optimizer any
	if t.Optimizer != nil {
		text, err := json.Marshal(t.Optimizer)
		if err != nil {
			return nil, fmt.Errorf("train: Trainer.Optimizer: %w", err)
		}
		optimizer = fmt.Sprintf("%T%s", t.Optimizer, text)
	}
	settings, err := json.Marshal(t.Settings)
	if err != nil {
		return nil, fmt.Errorf("train: Trainer.Settings: %w", err)
	}
	drafter, err := json.Marshal(t.drafter())
	if err != nil {
		return nil, fmt.Errorf("train: the settings of Trainer.Drafter: %w", err)
	}
	var keep, extra []string
	for _, k := range t.Keep {
		keep = append(keep, k.Name)
	}
	for _, x := range t.Extra {
		extra = append(extra, x.Name)
	}
	return []constant{
		{name: "Model", value: t.Model},
		{name: "Model.Config", value: describe(t.Model)},
		{name: "Drafter", value: drafterIdentity(t.Drafter)},
		{name: "Drafter's settings", value: string(drafter)},
		{name: "Optimizer", value: optimizer},
		{name: "Schedule", value: identify(t.Schedule)},
		{name: "Loss", value: identify(t.Loss)},
		{name: "MaxRows", value: t.MaxRows},
		{name: "ClipNorm", value: t.ClipNorm},
		{name: "SkipNonFinite", value: t.SkipNonFinite},
		{name: "BalanceAlpha", value: t.BalanceAlpha},
		{name: "BiasRate", value: identify(t.BiasRate)},
		{name: "CenterBias", value: t.CenterBias},
		{name: "EMADecay", value: t.EMADecay},
		{name: "Dir", value: t.Dir},
		{name: "Seed", value: t.Seed},
		{name: "Keep", value: fmt.Sprint(keep), record: true},
		{name: "Extra", value: fmt.Sprint(extra), record: true},
		{name: "Settings", value: string(settings), record: true},
	}, nil
}

// identify is the identity of a function: that of its closure, so that two
// results of Constant(1) differ.
func identify[F any](f F) identifier { return *(*identifier)(unsafe.Pointer(&f)) }

// configText is a model's config, for comparison.
type configText string

// describe is all of m's config; empty without m. It is quicker than JSON.
func describe(m *model.Model) configText {
	if m == nil {
		return ""
	}
	c := m.Config
	return configText(fmt.Sprintf("%+v %+v %+v", c, c.RoPEScaling, c.Quantization))
}

// drafterIdentity is d, or its type where d cannot be compared.
func drafterIdentity(d model.Drafter) any {
	if d != nil && !reflect.ValueOf(d).Comparable() {
		return reflect.TypeOf(d)
	}
	return d
}

// begin writes down what must not change from here on.
func (t *Trainer) begin() error {
	fields, err := t.now()
	if err != nil {
		return err
	}
	t.begun = constants{fields: fields}
	t.params = slices.Clone(t.Model.Params.All())
	for _, p := range t.params {
		t.begun.params = append(t.begun.params, paramState{p.Trainable, p.Decay, p.Format})
	}
	t.gates = t.allGates()
	t.stored, t.base = t.storedParams(), ""
	return nil
}

// AcceptSettings lets a run go on with the present Settings, Extra and Keep, which
// its next checkpoint is of. It is for what sets and restores them around a
// Trainer's work, as rl.GRPO does; Resume accepts them too.
func (t *Trainer) AcceptSettings() error {
	if !t.started {
		return nil
	}
	fields, err := t.now()
	if err != nil {
		return err
	}
	for i, f := range fields {
		if f.record {
			t.begun.fields[i] = f
		}
	}
	return nil
}

// unchanged names the first thing that is not what it was when the run began.
func (t *Trainer) unchanged() error {
	fields, err := t.now()
	if err != nil {
		return err
	}
	for i, is := range fields {
		if was := t.begun.fields[i]; is.value != was.value {
			return fmt.Errorf("train: Trainer.%s %s since the run began", is.name, change(was.value, is.value))
		}
	}
	all := t.Model.Params.All()
	if len(all) > len(t.params) {
		return fmt.Errorf("train: parameter %s was added to Trainer.Model since the run began: it would never train; "+
			"make what has parameters, such as mtp.New does, before the first step", all[len(t.params)].Name)
	}
	for i, p := range t.params {
		if err := t.begun.params[i].unchanged(p); err != nil {
			return fmt.Errorf("train: %w since the run began", err)
		}
	}
	gates := t.allGates()
	for i, g := range gates {
		if i >= len(t.gates) || t.gates[i] != g {
			return fmt.Errorf("train: the gate of layer %d was replaced since the run began", g.layer)
		}
	}
	if len(gates) < len(t.gates) {
		return fmt.Errorf("train: the gate of layer %d was removed since the run began", t.gates[len(gates)].layer)
	}
	return nil
}

func (was paramState) unchanged(p *tensor.Param) error {
	switch {
	case p.Trainable != was.trainable:
		return fmt.Errorf("Trainable of parameter %s %s", p.Name, change(was.trainable, p.Trainable))
	case p.Decay != was.decay:
		return fmt.Errorf("Decay of parameter %s %s", p.Name, change(was.decay, p.Decay))
	case p.Format != was.format:
		return fmt.Errorf("Format of parameter %s %s", p.Name, change(was.format, p.Format))
	}
	return nil
}

// change says what happened to a value.
func change(was, is any) string {
	switch is.(type) {
	case string, int, uint64, float64, bool, backend.Format:
		return fmt.Sprintf("changed from %v to %v", was, is)
	case configText:
		return "changed"
	}
	switch none := func(v any) bool { return v == nil || v == identifier(nil) }; {
	case none(was):
		return "was set"
	case none(is):
		return "was set to nil"
	}
	return "was replaced"
}
