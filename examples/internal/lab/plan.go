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

// Speed holds the times that a device takes per token, in seconds.
type Speed struct {
	Learn float64 // in base training; an update of GRPO, with scoring, takes about the same
	Write float64 // in sampling Scale.Slots completions together
}

// Measure trains a throwaway model and samples from it, each for at least moment. It does
// not change the results of a run that follows.
func (b Base) Measure(ctx context.Context, device backend.Backend, c model.Config, o model.Options,
	moment time.Duration) (s Speed, err error) {
	m, err := model.NewWith(device, c, b.Seed, o)
	if err != nil {
		return s, err
	}
	defer m.Free()
	b.Dir, b.OnStep, b.Log = "", nil, nil
	if s.Learn, err = b.learning(ctx, m, moment); err == nil {
		s.Write, err = b.Scale.writing(ctx, m, moment)
	}
	return s, err
}

// learning returns the seconds per token of base training. The first step allocates
// memory and is not counted.
func (b Base) learning(ctx context.Context, m *model.Model, moment time.Duration) (float64, error) {
	t, err := b.trainer(m)
	if err != nil {
		return 0, err
	}
	defer t.Close()
	batches, step := b.batches(), 0
	return perUnit(moment, func() (tokens int, err error) {
		seqs := sequences(batches.Batch(step))
		step++
		for _, q := range seqs {
			tokens += len(q.IDs)
		}
		_, err = t.Step(ctx, seqs)
		return tokens, err
	})
}

// writing returns the seconds per token when every slot samples a completion of the
// expected length. The first round prepares the programs of all lengths and is not counted.
func (s Scale) writing(ctx context.Context, m *model.Model, moment time.Duration) (float64, error) {
	g, err := NewGenerator(m, s)
	if err != nil {
		return 0, err
	}
	defer g.Close()
	length := min(max(s.Length, 1), s.MaxTokens)
	prompt := Prompts(s.Split().Train[:1], splitSeed)[0].IDs
	requests := make([]model.Request, s.Slots)
	for i := range requests {
		requests[i] = model.Request{Prompt: prompt, MaxTokens: length, Seed: uint64(i),
			Sampling: model.Sampling{Temperature: 1}, Stop: []int32{}}
	}
	return perUnit(moment, func() (tokens int, err error) {
		_, err = g.Generate(ctx, requests)
		return len(requests) * length, err
	})
}

// perUnit returns the seconds per unit of work. It calls work once, and then times further
// calls for at least moment.
func perUnit(moment time.Duration, work func() (units int, err error)) (float64, error) {
	if _, err := work(); err != nil {
		return 0, err
	}
	began, units := time.Now(), 0
	for units == 0 || time.Since(began) < moment {
		n, err := work()
		if err != nil {
			return 0, err
		}
		units += n
	}
	return time.Since(began).Seconds() / float64(units), nil
}

// Plan holds the expected times of the phases of a run.
type Plan struct{ Base, GRPO, Evaluations time.Duration }

// Plan returns the expected times of what is left of a run of scale sc.
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

// String returns a text such as "about 14 minutes on this machine: base model 8, GRPO 5, evaluations 1".
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

// Done is the part of a run that an output folder already has.
type Done struct {
	Base, RL  int  // steps
	Evaluated bool // the base model is
}

// ReadDone reads how far the run in out is.
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
