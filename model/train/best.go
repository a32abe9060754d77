package train

import (
	"fmt"
	"math"
	"path/filepath"

	"github.com/aha-go/aha/model/checkpoint"
)

// bestFolder is the folder in Dir that holds the best checkpoint.
const bestFolder = "best"

// best is the greatest value of a metric so far, and its step.
type best struct {
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
	Step   int     `json:"step"` // step of the Loop
}

// keepBest saves the present state to the best folder if b beats the best value so far, and
// removes the previous best checkpoint. Of equal values the first is kept; a value that is
// not finite is never the best.
//
// After a run was killed, the best folder may hold a checkpoint of a later step than the
// one that the run resumes from. When the resumed run reaches that step, the checkpoint is
// replaced.
func (t *Trainer) keepBest(b best) error {
	if was := t.best; math.IsNaN(b.Value) || math.IsInf(b.Value, 0) ||
		was != nil && was.Metric == b.Metric && !(b.Value > was.Value) {
		return nil
	}
	was := t.best
	t.best = &b
	store := checkpoint.Store{Dir: filepath.Join(t.Dir, bestFolder), Before: t.store.Before}
	err := store.Remove(t.step)
	if err == nil {
		err = t.save(store)
	}
	if err == nil {
		err = store.KeepOnly(t.step)
	}
	if err != nil {
		t.best = was
		return fmt.Errorf("train: the best checkpoint: %w", err)
	}
	t.Logger().Info("best checkpoint", "step", b.Step, b.Metric, b.Value, "dir", store.Dir)
	return nil
}
