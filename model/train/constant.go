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

// constants are the values that must not change during a run.
type constants struct {
	fields []constant
	params []paramState
}

// constant is a field of the Trainer.
type constant struct {
	name   string
	value  any  // comparable; an identifier if the field is a pointer or a function
	record bool // the field only affects checkpoints, and Resume accepts a new value
}

// identifier is a pointer that represents what it points to.
type identifier unsafe.Pointer

// paramState holds the properties of a parameter that determine how it is trained.
type paramState struct {
	trainable, decay bool
	format           backend.Format
}

// now returns the present values of the fields.
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
	var unclaimed, extra []string
	for _, k := range t.Unclaimed {
		unclaimed = append(unclaimed, k.Name)
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
		{name: "Unclaimed", value: fmt.Sprint(unclaimed), record: true},
		{name: "Extra", value: fmt.Sprint(extra), record: true},
		{name: "Settings", value: string(settings), record: true},
	}, nil
}

// identify returns the identity of a function: the address of its closure, so that two
// results of Constant(1) differ.
func identify[F any](f F) identifier { return *(*identifier)(unsafe.Pointer(&f)) }

// configText is a text of a model's config, for comparison.
type configText string

// describe returns a text of m's config, empty if m is nil. It is faster than JSON.
func describe(m *model.Model) configText {
	if m == nil {
		return ""
	}
	c := m.Config
	return configText(fmt.Sprintf("%+v %+v %+v", c, c.RoPEScaling, c.Quantization))
}

// drafterIdentity returns d, or its type if d is not comparable.
func drafterIdentity(d model.Drafter) any {
	if d != nil && !reflect.ValueOf(d).Comparable() {
		return reflect.TypeOf(d)
	}
	return d
}

// begin records the values that must not change from now on.
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

// AcceptSettings allows a run to continue with new values of Settings, Extra and Unclaimed,
// which its next checkpoint records. It is for callers that set these fields and restore
// them afterwards, as rl.GRPO does. Resume calls it too.
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

// unchanged returns an error that names the first value that has changed since the run
// began.
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

// change describes how a value changed.
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
