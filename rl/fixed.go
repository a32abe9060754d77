package rl

import (
	"fmt"
	"reflect"
)

// mayChange are the fields that may be set anew between two steps: they decide
// how far a run goes and what is reported.
var mayChange = map[string]bool{"Steps": true, "FailOnMismatch": true, "Alarms": true}

// setting is a field by the name the caller writes, with its value.
type setting struct {
	name  string
	value any // comparable
}

// fixed are the fields that must stay what they are from step to step, but
// for functions, which cannot be compared.
func (g *GRPO) fixed() []setting {
	var out []setting
	var enter func(name string, v reflect.Value)
	enter = func(name string, v reflect.Value) {
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
	enter("GRPO", reflect.ValueOf(g).Elem())
	enter("GRPO.Sampler.Policy()", reflect.ValueOf(g.Sampler.Policy()))
	return append(out, setting{"GRPO.Reward.Funcs", fmt.Sprint(rewardWeights(g.Reward))})
}

// unchanged refuses a field that was set anew after the first step.
func (g *GRPO) unchanged() error {
	for i, now := range g.fixed() {
		was := g.began[i]
		switch {
		case was.value == now.value:
		case reflect.TypeOf(now.value).Kind() == reflect.Pointer:
			return fmt.Errorf("rl: %s is another one than at the first step", now.name)
		default:
			return fmt.Errorf("rl: %s is %v, it was %v at the first step", now.name, now.value, was.value)
		}
	}
	return nil
}
