package train

import (
	"fmt"
	"math"
	"path/filepath"

	"github.com/aha-go/aha/model/checkpoint"
)

// bestFolder is the folder in Dir that has the best checkpoint.
const bestFolder = "best"

// best is the greatest value of a metric so far.
type best struct {
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
	Step   int     `json:"step"` // of the Loop
}

// keepBest saves the present state to the folder of the best if b beats it, and
// removes what was there. Of equal values the first stays; a value that is
// not finite never wins.
//
// What a run that was killed left there may be ahead of the checkpoint it resumes
// from; made again, it is replaced.
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
