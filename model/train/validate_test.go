package train

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/mtp"
)

// allowed lists values that are valid in one field only, and why.
var allowed = map[string]string{"Trainer.ClipNorm +Inf": "means no clipping"}

// numbers calls fn for every number of a struct and its nested structs, with the name that
// the user writes.
func numbers(name string, v reflect.Value, fn func(name string, kind reflect.Kind)) {
	for f, x := range v.Fields() {
		if !f.IsExported() {
			continue
		}
		switch x.Kind() {
		case reflect.Float64, reflect.Int:
			fn(name+"."+f.Name, x.Kind())
		case reflect.Struct:
			numbers(name+"."+f.Name, x, fn)
		}
	}
}

// Setting any number of any options struct to an invalid value is an error that names the
// field, before anything has changed.
func TestNumbersThatCannotTrainAreRefusedByName(t *testing.T) {
	m := newModel(t, backend.F32)
	text := mustBatch(t, randomText(2), 0)
	before, err := WeightsSHA256(m.Params.All())
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]int{}
	try := func(name string, value any, tr *Trainer) {
		tried[name]++
		if _, ok := allowed[fmt.Sprint(name, " ", value)]; ok {
			return
		}
		_, err := tr.Step(t.Context(), text)
		if want := fmt.Sprintf("%s is %v, want ", name, value); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
			tr.Close()
		}
	}
	spoil := func(name string, options any, trainer func(v reflect.Value) *Trainer) {
		numbers(name, reflect.ValueOf(options), func(field string, kind reflect.Kind) {
			values := []any{math.NaN(), -1.0, math.Inf(1), math.Inf(-1)}
			if kind == reflect.Int {
				values = []any{-1}
			}
			for _, x := range values {
				v := reflect.New(reflect.TypeOf(options)).Elem()
				v.Set(reflect.ValueOf(options))
				reflectField(v, field).Set(reflect.ValueOf(x))
				try(field, x, trainer(v))
			}
		})
	}
	spoil("Trainer", Trainer{Model: m, Optimizer: AdamW{LR: 1}}, func(v reflect.Value) *Trainer {
		return v.Addr().Interface().(*Trainer)
	})
	with := func(v reflect.Value) *Trainer { return &Trainer{Model: m, Optimizer: v.Interface().(Optimizer)} }
	spoil("AdamW", AdamW{LR: 1}, with)
	spoil("Muon", Muon{LR: 1}, with)
	for name, o := range map[string]Optimizer{
		"AdamW.LR is 0":              AdamW{},
		"AdamW.Beta1 is 1,":          AdamW{LR: 1, Beta1: 1},
		"AdamW.Beta2 is 1.5,":        AdamW{LR: 1, Beta2: 1.5},
		"Muon.LR is 0":               Muon{},
		"Muon.Momentum is 1,":        Muon{LR: 1, Momentum: 1},
		"Muon.AdamW.Beta1 is 1,":     Muon{LR: 1, AdamW: AdamW{Beta1: 1}},
		"Muon.AdamW.LR is -1":        Muon{LR: 1, AdamW: AdamW{LR: -1}},
		"AdamW.Eps is -1, want a fi": AdamW{LR: 1, Beta1: 2, Eps: -1}, // all faults are reported at once
		// These are not finite in float32, which kernels compute with.
		"AdamW.LR is 1e+39, want":          AdamW{LR: 1e39},
		"AdamW.WeightDecay is 1e+39, want": AdamW{LR: 1, WeightDecay: 1e39},
		"AdamW.Eps is 1e-60, want":         AdamW{LR: 1, Eps: 1e-60},
		"Muon.LR is 1e+39, want":           Muon{LR: 1e39},
	} {
		if _, err := (&Trainer{Model: m, Optimizer: o}).Step(t.Context(), text); !says(err, name) {
			t.Errorf("got %v, want %s", err, name)
		}
	}
	if after, _ := WeightsSHA256(m.Params.All()); after != before {
		t.Error("a refused run changed weights")
	}
	if n := len(tried); n != 7+5+9 {
		t.Errorf("%d numbers tried: %v", n, slices.Sorted(maps.Keys(tried)))
	}
}

// reflectField returns the field that a name such as "Muon.AdamW.LR" refers to.
func reflectField(v reflect.Value, name string) reflect.Value {
	for _, f := range strings.Split(name, ".")[1:] {
		v = v.FieldByName(f)
	}
	return v
}

// A schedule may raise the learning rate beyond the range of float32.
func TestALearningRateBeyondFloat32IsRefused(t *testing.T) {
	tr := &Trainer{Model: newModel(t, backend.F32), Optimizer: AdamW{LR: 1e20}, Schedule: Constant(1e20)}
	defer tr.Close()
	_, err := tr.Step(t.Context(), mustBatch(t, randomText(2), 0))
	if !says(err, "Trainer.Schedule(0, 0) is 1e+20, the learning rate 1e+20: want a finite product") ||
		tr.StepCount() != 0 {
		t.Errorf("after %d steps: %v", tr.StepCount(), err)
	}
}

// A schedule that returns an invalid number for some step is an error before the update of
// that step.
func TestSchedulesThatGiveNoNumberAreRefusedAtTheirStep(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), -0.5, 1e39} {
		late := func(step int, _ int64) float64 {
			if step == 1 {
				return bad
			}
			return 0.01
		}
		for name, set := range map[string]func(*Trainer){
			"Trainer.Schedule(1, ": func(t *Trainer) { t.Schedule = late },
			"Trainer.BiasRate(1, ": func(t *Trainer) { t.BiasRate = late },
		} {
			tr := &Trainer{Model: newModel(t, backend.F32), Optimizer: AdamW{LR: 1e-3}}
			set(tr)
			mustStep(t, tr, randomText(2))
			before := sum(t, tr)
			_, err := tr.Step(t.Context(), mustBatch(t, randomText(2), 1))
			if err == nil || !strings.Contains(err.Error(), "step 2") || !strings.Contains(err.Error(), name) ||
				!strings.Contains(err.Error(), fmt.Sprintf(" is %g, want", bad)) {
				t.Errorf("%s: got %v", name, err)
			}
			if sum(t, tr) != before || tr.StepCount() != 1 {
				t.Errorf("%s: the step changed something", name)
			}
			tr.Close()
		}
	}
}

func TestWeightsOfTheDraftersLossAreChecked(t *testing.T) {
	for want, set := range map[string]func(*mtp.MTP){
		"MTP.Lambda is NaN, want":  func(d *mtp.MTP) { d.Lambda = math.NaN() },
		"MTP.Lambda is -0.3, want": func(d *mtp.MTP) { d.Lambda = -0.3 },
		"MTP.LambdaSchedule.Early is +Inf, want": func(d *mtp.MTP) {
			d.LambdaSchedule = &mtp.LambdaSchedule{Early: math.Inf(1)}
		},
		"MTP.LambdaSchedule.Late is NaN, want": func(d *mtp.MTP) {
			d.LambdaSchedule = &mtp.LambdaSchedule{Late: math.NaN(), Switch: 1e12}
		},
	} {
		m := newModel(t, backend.F32)
		d := newMTP(t, m)
		set(d)
		tr := &Trainer{Model: m, Drafter: d, Optimizer: AdamW{LR: 1e-3}}
		if _, err := tr.Step(t.Context(), mustBatch(t, randomText(2), 0)); !says(err, want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestScheduleConstructorsPanicOnWhatIsNoSchedule(t *testing.T) {
	for want, make := range map[string]func(){
		"Constant's factor is NaN":   func() { Constant(math.NaN()) },
		"Constant's factor is -1":    func() { Constant(-1) },
		"WarmUp over -1 steps":       func() { WarmUp(-1, nil) },
		"Linear from step 40 to 20":  func() { Linear(40, 20, 0.1) },
		"Linear's factor is +Inf":    func() { Linear(20, 40, math.Inf(1)) },
		"Cosine from step -1 to 20":  func() { Cosine(-1, 20, 0.1) },
		"Cosine's factor is -0.1":    func() { Cosine(20, 40, -0.1) },
		"Ramp{From:0 To:5 Tokens:1}": func() { Ramp{To: 5, Tokens: 1}.At(0) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
					t.Errorf("got %s, want %s", got, want)
				}
			}()
			make()
		}()
	}
}

// Warnings go to standard error unless Log is set.
func TestWarningsGoToStandardErrorUnlessToldOtherwise(t *testing.T) {
	skip := func(log *slog.Logger) string {
		m := newModel(t, backend.F64)
		tr := &Trainer{Model: m, Optimizer: AdamW{LR: 1e-3}, SkipNonFinite: true, Log: log, Dir: t.TempDir()}
		defer tr.Close()
		tr.Loss = explode(tr, m)
		return stderr(t, func() {
			mustStep(t, tr, randomText(2))
			mustStep(t, tr, randomText(2))
			if err := tr.Save(); err != nil { // logs at level info, not a warning
				t.Error(err)
			}
		})
	}
	const line = `level=WARN msg="update skipped" step=2`
	if got := skip(nil); !strings.Contains(got, line) || strings.Count(got, "\n") != 1 {
		t.Errorf("a skipped update logged %q", got)
	}
	if got := skip(slog.New(slog.DiscardHandler)); got != "" {
		t.Errorf("a discarding logger wrote %q", got)
	}
	var own bytes.Buffer
	got := skip(slog.New(slog.NewTextHandler(&own, nil)))
	if got != "" || !strings.Contains(own.String(), line) {
		t.Errorf("standard error got %q, the logger %q", got, own.String())
	}
}

// stderr returns what fn writes to standard error.
func stderr(t *testing.T, fn func()) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	old := os.Stderr
	os.Stderr = f
	defer func() { os.Stderr = old }()
	fn()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
