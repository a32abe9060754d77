package moe

import (
	"fmt"
	"math"

	"github.com/aha-go/aha/backend"
)

// refuse panics with a message that names the invalid field of a constructor's config.
func refuse(what, field string, value any, want string, args ...any) {
	panic(fmt.Sprintf("moe: %s: %s is %v, want %s", what, field, value, fmt.Sprintf(want, args...)))
}

// size is the value of a dimension and the name of its field.
type size struct {
	field string
	n     int
}

// mustBeAtLeast panics if a size is below least, and names the first one.
func mustBeAtLeast(what string, least int, sizes ...size) {
	for _, s := range sizes {
		if s.n < least {
			refuse(what, s.field, s.n, "at least %d", least)
		}
	}
}

// check panics if the config is invalid. Groups, TopGroups and Scale must have their
// defaults filled in.
func (c Config) check(what string) {
	mustBeAtLeast(what, 1, size{"Hidden", c.Hidden}, size{"Intermediate", c.Intermediate}, size{"Experts", c.Experts},
		size{"TopK", c.TopK}, size{"Groups", c.Groups}, size{"TopGroups", c.TopGroups})
	mustBeAtLeast(what, 0, size{"Shared", c.Shared})
	if c.Experts%c.Groups != 0 {
		refuse(what, "Groups", c.Groups, "a divisor of Experts %d", c.Experts)
	}
	if c.TopGroups > c.Groups {
		refuse(what, "TopGroups", c.TopGroups, "at most Groups %d", c.Groups)
	}
	if kept := c.Experts / c.Groups * c.TopGroups; c.TopK > kept {
		refuse(what, "TopK", c.TopK, "at most %d, the experts in %d of %d groups", kept, c.TopGroups, c.Groups)
	}
	if c.Scoring > backend.ScoreSoftmax {
		refuse(what, "Scoring", c.Scoring, "ScoreSigmoid or ScoreSoftmax")
	}
	if c.GroupBy > backend.GroupMax {
		refuse(what, "GroupBy", c.GroupBy, "GroupTop2Sum or GroupMax")
	}
	if f := float32(c.Scale); !(f > 0) || math.IsInf(float64(f), 0) {
		refuse(what, "Scale", c.Scale, "positive and finite")
	}
}
