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

// runLog writes the files in Trainer.Dir for people who watch a run: samples.jsonl,
// alarms.jsonl and preflight.txt. The run does not read them. A nil log writes nothing.
type runLog struct {
	dir             string
	samples, alarms *os.File
	err             error // first write error that no call has returned yet
}

// logVersion is the version of the format of samples.jsonl and alarms.jsonl.
const logVersion = 1

// samplesLine is a line of samples.jsonl: groups of a step with all their samples.
type samplesLine struct {
	Version int           `json:"version"`
	Step    int           `json:"step"` // as in the metrics: number of steps made, including this one
	Groups  []loggedGroup `json:"groups"`
}

// loggedGroup is a prompt with its samples.
type loggedGroup struct {
	Prompt  string         `json:"prompt"`
	Samples []loggedSample `json:"samples"`
}

// loggedSample is a completion with its rewards and its advantage.
type loggedSample struct {
	Text      string                    `json:"text"`
	Tokens    int                       `json:"tokens"`
	Truncated bool                      `json:"truncated,omitempty"`
	Rewards   map[string]reward.Verdict `json:"rewards"`   // by function
	Reward    reward.Verdict            `json:"reward"`    // the total
	Advantage float64                   `json:"advantage"` // mean over its tokens
	InLoss    bool                      `json:"in_loss"`
}

// alarmsLine is a line of alarms.jsonl.
type alarmsLine struct {
	Version int      `json:"version"`
	Step    int      `json:"step"`
	Alarms  []string `json:"alarms"`
}

// openLog opens the log in dir for a run that has made the given number of steps. It removes
// the lines of later steps, which the run will make again.
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

// openLines opens a file of JSON lines for appending, and removes the lines of steps after
// the given one.
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

// endOf returns the offset of the first line of a step after the given one, or of an
// unterminated last line. It skips damaged lines in between.
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

// logged returns sample i in the form of the log.
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

// alarm appends the alarms of a step. The next call of rollout returns its error.
func (l *runLog) alarm(step int, alarms []string) {
	if l != nil {
		l.append(l.alarms, alarmsLine{logVersion, step, alarms})
	}
}

// append writes a line, unless an earlier write has failed.
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

// close closes the files. It returns a write error that no call has returned yet.
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

// preflight runs Preflight and writes its text to Report and to preflight.txt in
// Trainer.Dir.
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
