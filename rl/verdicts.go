package rl

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"

	"github.com/aha-go/aha/rl/reward"
)

// verdictLog stores the verdicts of every step in verdicts.jsonl, one line for each round.
// Whether a verifier meets its deadline is the only part of a step that may differ when the
// step is made again; a resumed run therefore reads the verdicts from the log. A nil log
// stores nothing.
type verdictLog struct {
	f      *os.File
	rounds bool // a step may have several lines
	// ahead holds the lines that an interrupted run wrote for steps that are now to be made
	// again, by step and round.
	ahead map[int]map[int]verdictLine
	// rescore allows a rollout to differ from the logged one; it is then scored anew.
	rescore bool
}

// verdictLine is one line of the log.
type verdictLine struct {
	Version   int                `json:"version"`
	Step      int                `json:"step"`
	Round     int                `json:"round,omitempty"` // round of GRPO.DynamicSampling
	Rollout   string             `json:"rollout"`         // hash of the completions
	Functions []string           `json:"functions"`
	Verdicts  [][]reward.Verdict `json:"verdicts"`
}

const verdictVersion = 1

// openVerdictLog opens the log in dir for a run that has made the given number of steps. A
// damaged line of a completed step is left as it is, since nothing depends on it. A damaged
// line of a later step and all lines after it are removed, and those steps are scored anew.
// repairs has an error for each damaged line. If rounds is set, a step may have several
// lines.
func openVerdictLog(dir string, steps int, rounds bool) (l *verdictLog, repairs []error, err error) {
	path := filepath.Join(dir, "verdicts.jsonl")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, nil, fmt.Errorf("rl: %w", err)
	}
	l = &verdictLog{f: f, rounds: rounds, ahead: map[int]map[int]verdictLine{}}
	end, repairs, err := l.read(steps)
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("rl: %s: %w", path, err)
	}
	return l, repairs, nil
}

// read stores in l.ahead the lines of steps from the given one on, and returns the offset
// after the last valid line. If a round of a step has several lines, the last one is used.
func (l *verdictLog) read(steps int) (end int64, repairs []error, err error) {
	lines := bufio.NewReader(l.f)
	next := 0 // step of the next line
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return end, repairs, nil
		} else if err != nil && err != io.EOF {
			return 0, nil, err
		}
		v, damage := parseVerdicts(line)
		switch {
		case damage != nil && (next >= steps || err == io.EOF):
			from := next
			if l.rounds { // the damaged line may belong to another round of the step before
				from--
			}
			cut := fmt.Errorf("line %d: %w: removed, steps from %d on are scored anew", n, damage, max(from, steps))
			return end, append(repairs, cut), nil
		case damage != nil:
			repairs = append(repairs, fmt.Errorf("line %d: %w: ignored, since its step is completed", n, damage))
		case v.Version != verdictVersion:
			return 0, nil, fmt.Errorf("line %d: version %d, this program reads version %d", n, v.Version, verdictVersion)
		case v.Step >= steps:
			if l.ahead[v.Step] == nil {
				l.ahead[v.Step] = map[int]verdictLine{}
			}
			l.ahead[v.Step][v.Round] = v
			fallthrough
		default:
			next = max(next, v.Step+1)
		}
		end += int64(len(line))
	}
}

// parseVerdicts reads a line of the log.
func parseVerdicts(line []byte) (v verdictLine, err error) {
	if !bytes.HasSuffix(line, []byte("\n")) {
		return v, errors.New("no newline at its end")
	}
	err = json.Unmarshal(line, &v)
	return v, err
}

// of returns the logged scores of a round of a step, or nil if there are none.
func (l *verdictLog) of(r *Rollout, round int) (*reward.Scores, error) {
	if l == nil {
		return nil, nil
	}
	v, ok := l.ahead[r.Step][round]
	if !ok {
		return nil, nil
	}
	if v.Rollout != hashRollout(r) {
		if l.rescore {
			return nil, nil
		}
		return nil, fmt.Errorf("rl: step %d: the completions are not those whose verdicts %s has: "+
			"weights, prompts or code have changed; remove the file to score anew", r.Step, l.f.Name())
	}
	return &reward.Scores{Functions: v.Functions, Verdicts: v.Verdicts}, nil
}

// write appends the verdicts of a round of a step and syncs the file, so that they are on
// disk before the model is updated with them.
func (l *verdictLog) write(r *Rollout, round int, s *reward.Scores) error {
	if l == nil {
		return nil
	}
	line, err := json.Marshal(verdictLine{verdictVersion, r.Step, round, hashRollout(r), s.Functions, s.Verdicts})
	if err == nil {
		_, err = l.f.Write(append(line, '\n'))
	}
	if err == nil {
		err = l.f.Sync()
	}
	if err != nil {
		return fmt.Errorf("rl: log of verdicts: %w", err)
	}
	return nil
}

func (l *verdictLog) close() error {
	if l == nil {
		return nil
	}
	if err := l.f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("rl: log of verdicts: %w", err)
	}
	return nil
}

// hashRollout returns a hash of the completion tokens of a rollout.
func hashRollout(r *Rollout) string {
	h := fnv.New128a()
	for _, s := range r.Samples {
		binary.Write(h, binary.LittleEndian, int64(len(s.IDs)))
		binary.Write(h, binary.LittleEndian, s.IDs)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
