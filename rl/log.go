package rl

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/rl/reward"
)

// runLog is what a run writes to Trainer.Dir for those who watch it: samples.jsonl,
// alarms.jsonl and preflight.txt. The run itself reads none of them. A nil log keeps nothing.
type runLog struct {
	dir             string
	samples, alarms *os.File
	err             error // the first of writing that no call has returned
}

// logVersion counts the changes of the keys of samples.jsonl and alarms.jsonl.
const logVersion = 1

// samplesLine is a line of samples.jsonl: groups of a step with all their samples.
type samplesLine struct {
	Version int           `json:"version"`
	Step    int           `json:"step"` // as in the metrics: steps made, this one included
	Groups  []loggedGroup `json:"groups"`
}

// loggedGroup is a prompt with its samples.
type loggedGroup struct {
	Prompt  string         `json:"prompt"`
	Samples []loggedSample `json:"samples"`
}

// loggedSample is a completion with what it was worth.
type loggedSample struct {
	Text      string                    `json:"text"`
	Tokens    int                       `json:"tokens"`
	Truncated bool                      `json:"truncated,omitempty"`
	Rewards   map[string]reward.Verdict `json:"rewards"`   // by function
	Reward    reward.Verdict            `json:"reward"`    // the total it learns from
	Advantage float64                   `json:"advantage"` // mean over its tokens
	InLoss    bool                      `json:"in_loss"`
}

// alarmsLine is a line of alarms.jsonl.
type alarmsLine struct {
	Version int      `json:"version"`
	Step    int      `json:"step"`
	Alarms  []string `json:"alarms"`
}

// openLog opens the log in dir for a run that has made the given number of steps.
// Lines of later steps are cut off: they are written again.
func openLog(dir string, steps int) (*runLog, error) {
	samples, err := openLines(filepath.Join(dir, "samples.jsonl"), steps)
	if err != nil {
		return nil, err
	}
	alarms, err := openLines(filepath.Join(dir, "alarms.jsonl"), steps)
	if err != nil {
		return nil, errors.Join(err, samples.Close())
	}
	return &runLog{dir: dir, samples: samples, alarms: alarms}, nil
}

// openLines opens a file of JSON lines to append those of steps after the given one.
func openLines(path string, steps int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("rl: %w", err)
	}
	end, err := endOf(f, steps)
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("rl: %s: %w", path, err)
	}
	return f, nil
}

// endOf is the offset of the first line of a later step than the given one, or of a last
// line without its end. A damaged line among the others stays.
func endOf(r io.Reader, steps int) (end int64, err error) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return end, nil
		} else if err != nil {
			return 0, err
		}
		var at struct {
			Step int `json:"step"`
		}
		if json.Unmarshal(line, &at) == nil && at.Step > steps {
			return end, nil
		}
		end += int64(len(line))
	}
}

// rollout appends the first groups of a rollout.
func (l *runLog) rollout(r *Rollout, groups int) error {
	if l == nil {
		return nil
	}
	line := samplesLine{Version: logVersion, Step: r.Step + 1}
	for i, s := range r.Samples {
		if s.Prompt >= groups {
			break
		}
		if s.Prompt == len(line.Groups) {
			line.Groups = append(line.Groups, loggedGroup{Prompt: r.Prompts[s.Prompt].Text})
		}
		g := &line.Groups[s.Prompt]
		g.Samples = append(g.Samples, r.logged(i))
	}
	l.append(l.samples, line)
	err := l.err
	l.err = nil
	return err
}

// logged is sample i for the log.
func (r *Rollout) logged(i int) loggedSample {
	s := r.Samples[i]
	out := loggedSample{
		Text: s.Text, Tokens: len(s.IDs), Truncated: s.Finish == model.Truncated,
		Rewards: map[string]reward.Verdict{}, Reward: r.Rewards[i], InLoss: r.InLoss[i],
	}
	for f, name := range r.Scores.Functions {
		out.Rewards[name] = r.Scores.Verdicts[f][i]
	}
	for _, a := range r.Advantages.Token[i] {
		out.Advantage += a
	}
	out.Advantage /= float64(max(len(s.IDs), 1))
	return out
}

// alarm appends the alarms of a step. An error is returned by the next call of rollout.
func (l *runLog) alarm(step int, alarms []string) {
	if l != nil {
		l.append(l.alarms, alarmsLine{logVersion, step, alarms})
	}
}

// append writes a line unless writing has failed before.
func (l *runLog) append(f *os.File, line any) {
	if l.err != nil {
		return
	}
	text, err := json.Marshal(line)
	if err == nil {
		_, err = f.Write(append(text, '\n'))
	}
	if err != nil {
		l.err = fmt.Errorf("rl: %s: %w", f.Name(), err)
	}
}

// close returns the error of a write that no call has returned, too.
func (l *runLog) close() error {
	if l == nil {
		return nil
	}
	err := l.err
	for _, f := range []*os.File{l.samples, l.alarms} {
		if e := f.Close(); e != nil && !errors.Is(e, os.ErrClosed) && err == nil {
			err = fmt.Errorf("rl: %w", e)
		}
	}
	return err
}

// preflight is Preflight on Report, whose text is kept in preflight.txt in Trainer.Dir.
func (g *GRPO) preflight(ctx context.Context) error {
	var text bytes.Buffer
	err := g.Preflight(ctx, &text)
	if g.Report != nil {
		if _, failed := g.Report.Write(text.Bytes()); err == nil {
			err = failed
		}
	}
	if err != nil || g.log == nil {
		return err
	}
	return checkpoint.WriteAtomic(filepath.Join(g.log.dir, "preflight.txt"), func(w io.Writer) error {
		_, err := text.WriteTo(w)
		return err
	})
}
