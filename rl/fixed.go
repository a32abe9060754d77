package rl

import (
	"fmt"
	"reflect"
)

// mayChange are the fields that may be set anew between two steps: they decide
// how far a run goes and what is reported.
var mayChange = map[string]bool{"Steps": true, "FailOnMismatch": true, "Alarms": true, "LogGroups": true}

// setting is a field by the name the caller writes, with its value.
type setting struct {
	name  string
	value any // comparable
}

// fixed are the fields of a GRPO that must stay what they are from step to step.
func (g *GRPO) fixed() []setting {
	out := append(fixed("GRPO", g), fixed("GRPO.Sampler.Policy()", g.Sampler.Policy())...)
	return append(out, setting{"GRPO.Reward.Funcs", fmt.Sprint(rewardWeights(g.Reward))})
}

// fixed are the fields of v, or of what it points to, that must stay what they are
// from step to step, but for functions, which cannot be compared. Of pairs and
// solutions they are which and how many.
func fixed(name string, v any) []setting {
	var out []setting
	var enter func(name string, v reflect.Value)
	enter = func(name string, v reflect.Value) {
		switch v.Type() {
		case reflect.TypeFor[[]Pair](), reflect.TypeFor[[]Solution]():
			out = append(out, setting{name, examplesAt{v.Pointer(), v.Len()}})
			return
		}
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() && !mayChange[f.Name] {
					enter(name+"."+f.Name, v.Field(i))
				}
			}
		case reflect.Func, reflect.Interface:
		case reflect.Pointer:
			out = append(out, setting{name, v.Interface()})
			if c, ok := v.Interface().(*Critic); ok && c != nil { // behind the pointer, which is compared first
				enter(name, v.Elem())
			}
		case reflect.Slice:
			out = append(out, setting{name, fmt.Sprintf("%#v", v.Interface())})
		default:
			out = append(out, setting{name, v.Interface()})
		}
	}
	enter(name, reflect.Indirect(reflect.ValueOf(v)))
	return out
}

// examplesAt is where a slice of pairs or solutions begins, and its length.
type examplesAt struct {
	first uintptr
	n     int
}

// unchanged refuses a field that was set anew after the first step.
func unchanged(before, now []setting) error {
	for i, now := range now {
		was := before[i]
		switch {
		case was.value == now.value:
		case isIdentity(now.value):
			return fmt.Errorf("rl: %s is another one than at the first step", now.name)
		default:
			return fmt.Errorf("rl: %s is %v, it was %v at the first step", now.name, now.value, was.value)
		}
	}
	return nil
}

// isIdentity reports whether a value says which thing it is, not what it is like.
func isIdentity(v any) bool {
	_, examples := v.(examplesAt)
	return examples || reflect.TypeOf(v).Kind() == reflect.Pointer
}
