package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
)

// Speed is what a device takes for a token, in seconds.
type Speed struct {
	Learn float64 // of base training; GRPO scores and learns a completion in about the same time
	Write float64 // of a completion, Scale.Slots of them at once
}

// measured is how long each half of Measure takes at least.
const measured = time.Second

// Measure trains a new model of c for a moment and has it write, before a run whose
// bits it does not change.
func (b Base) Measure(ctx context.Context, device backend.Backend, c model.Config, o model.Options) (s Speed, err error) {
	m, err := model.NewWith(device, c, b.Seed, o)
	if err != nil {
		return s, err
	}
	defer m.Free()
	b.Dir, b.OnStep, b.Log = "", nil, nil
	if s.Learn, err = b.learning(ctx, m); err == nil {
		s.Write, err = b.Scale.writing(ctx, m)
	}
	return s, err
}

// learning is the time of a token in steps of the base training, the first of which
// prepares and is not counted.
func (b Base) learning(ctx context.Context, m *model.Model) (float64, error) {
	t, err := b.trainer(m)
	if err != nil {
		return 0, err
	}
	defer t.Close()
	batches, tokens := b.batches(), 0
	var began time.Time
	for step := 0; step < 2 || time.Since(began) < measured; step++ {
		seqs := sequences(batches.Batch(step))
		if step == 1 {
			began = time.Now()
		}
		if _, err := t.Step(ctx, seqs); err != nil {
			return 0, err
		}
		if step > 0 {
			for _, q := range seqs {
				tokens += len(q.IDs)
			}
		}
	}
	return time.Since(began).Seconds() / float64(tokens), nil
}

// writing is the time of a token where all slots write completions of the expected
// length, to which a first round does not count, either.
func (s Scale) writing(ctx context.Context, m *model.Model) (float64, error) {
	g, err := NewGenerator(m, s)
	if err != nil {
		return 0, err
	}
	defer g.Close()
	length := min(max(s.Length, 1), s.MaxTokens)
	prompts := Prompts(s.Split().Train[:1], splitSeed)
	var began time.Time
	tokens := 0
	for round := 0; round < 2 || time.Since(began) < measured; round++ {
		var requests []model.Request
		for i := range s.Slots {
			requests = append(requests, model.Request{
				Prompt: prompts[0].IDs, MaxTokens: length, Seed: uint64(i), Sampling: model.Sampling{Temperature: 1},
				Stop: []int32{},
			})
		}
		if round == 0 {
			for i := range requests {
				requests[i].MaxTokens = 1
			}
		} else {
			tokens += s.Slots * length
		}
		if round == 1 {
			began = time.Now()
		}
		if _, err := g.Generate(ctx, requests); err != nil {
			return 0, err
		}
	}
	return time.Since(began).Seconds() / float64(tokens), nil
}

// Plan is how long the phases of a run take.
type Plan struct{ Base, GRPO, Evaluations time.Duration }

// Plan is that of a run of scale sc, of which done is there already.
func (s Speed) Plan(sc Scale, done Done) Plan {
	seconds := func(tokens int, each float64) time.Duration {
		return time.Duration(float64(tokens) * each * float64(time.Second))
	}
	evaluation := sc.Problems * sc.Samples * sc.Length
	p := Plan{
		Base:        seconds((sc.BaseSteps-done.Base)*sc.BaseTokens, s.Learn),
		GRPO:        seconds((sc.RLSteps-done.RL)*sc.Prompts*sc.Group*sc.Length, s.Learn+s.Write),
		Evaluations: seconds(2*evaluation, s.Write),
	}
	if done.Evaluated {
		p.Evaluations /= 2
	}
	return p
}

// String is such as "about 14 minutes on this machine: base model 8, GRPO 5, evaluations 1".
func (p Plan) String() string {
	unit, name := time.Minute, "minutes"
	if p.Base+p.GRPO+p.Evaluations < 150*time.Second {
		unit, name = time.Second, "seconds"
	}
	in := func(d time.Duration) int { return int((d + unit/2) / unit) }
	var parts []string
	for _, part := range []struct {
		name string
		time time.Duration
	}{{"base model", p.Base}, {"GRPO", p.GRPO}, {"evaluations", p.Evaluations}} {
		switch n := in(part.time); {
		case n > 0:
			parts = append(parts, fmt.Sprintf("%s %d", part.name, n))
		case part.time > 0:
			parts = append(parts, part.name+" less than 1")
		}
	}
	return fmt.Sprintf("about %d %s on this machine: %s", max(in(p.Base+p.GRPO+p.Evaluations), 1), name,
		strings.Join(parts, ", "))
}

// Done is what an output folder has of a run.
type Done struct {
	Base, RL  int  // steps
	Evaluated bool // the base model is
}

// ReadDone reads what the run in out has come to.
func ReadDone(out string) (d Done, err error) {
	for _, phase := range []struct {
		name  string
		steps *int
		of    int // checkpoint steps of a step
	}{{"base", &d.Base, 1}, {"grpo", &d.RL, miniBatches}} {
		snapshot, err := checkpoint.Store{Dir: filepath.Join(out, phase.name)}.LatestComplete()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return d, err
		}
		*phase.steps = snapshot.Step / phase.of
	}
	_, err = os.Stat(filepath.Join(out, "base", evaluationFile))
	d.Evaluated = err == nil
	return d, nil
}
