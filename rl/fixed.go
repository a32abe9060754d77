package rl

import (
	"fmt"
	"reflect"
)

// mayChange holds the fields that may change between two steps. They affect only the
// length of the run and what is reported.
var mayChange = map[string]bool{"Steps": true, "FailOnMismatch": true, "Alarms": true, "LogGroups": true}

// setting is a field, such as GRPO.G, and its value.
type setting struct {
	name  string
	value any // of a comparable type
}

// fixed returns the fields of a GRPO that must not change between steps.
func (g *GRPO) fixed() []setting {
	out := append(fixed("GRPO", g), fixed("GRPO.Sampler.Policy()", g.Sampler.Policy())...)
	return append(out, setting{"GRPO.Reward.Funcs", fmt.Sprint(rewardWeights(g.Reward))})
}

// fixed returns the fields of v, or of the struct that v points to, that must not change
// between steps. It omits functions, which cannot be compared. Slices of pairs and
// solutions are compared by address and length.
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
			if c, ok := v.Interface().(*Critic); ok && c != nil { // compare the pointer, then the fields
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

// examplesAt is the address and the length of a slice of pairs or solutions.
type examplesAt struct {
	first uintptr
	n     int
}

// unchanged reports the first field that has changed since the first step.
func unchanged(before, now []setting) error {
	for i, now := range now {
		was := before[i]
		switch {
		case was.value == now.value:
		case isIdentity(now.value):
			return fmt.Errorf("rl: %s is not the one of the first step", now.name)
		default:
			return fmt.Errorf("rl: %s is %v, it was %v at the first step", now.name, now.value, was.value)
		}
	}
	return nil
}

// isIdentity reports whether v is an address, so that printing it would not help.
func isIdentity(v any) bool {
	_, examples := v.(examplesAt)
	return examples || reflect.TypeOf(v).Kind() == reflect.Pointer
}
