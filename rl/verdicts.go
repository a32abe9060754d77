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

// verdictLog keeps the verdicts of every step in verdicts.jsonl, one object a round and
// line: whether a verifier met its deadline is the one thing that doing a step
// again need not repeat. A nil log keeps nothing.
type verdictLog struct {
	f      *os.File
	rounds bool // a step may have several lines
	// ahead are the lines of steps not made yet, by step and round: those an interrupted
	// run had made.
	ahead map[int]map[int]verdictLine
	// rescore says that a rollout may differ from the logged one, and is then
	// scored anew.
	rescore bool
}

// verdictLine is one line of the log.
type verdictLine struct {
	Version   int                `json:"version"`
	Step      int                `json:"step"`
	Round     int                `json:"round,omitempty"` // of GRPO.DynamicSampling
	Rollout   string             `json:"rollout"`         // hash of the completions judged
	Functions []string           `json:"functions"`
	Verdicts  [][]reward.Verdict `json:"verdicts"`
}

const verdictVersion = 1

// openVerdictLog opens the log in dir for a run that has made the given number
// of steps. A damaged line of a step that is made already, which nothing depends
// on, stays as it is. From one of a later step on the log is cut off: those steps
// are scored anew. repairs says so of each. With rounds a step may have several lines.
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

// read keeps the lines of steps from steps on and returns the offset behind the
// last line to keep. Of several lines for a round of a step the last counts.
func (l *verdictLog) read(steps int) (end int64, repairs []error, err error) {
	lines := bufio.NewReader(l.f)
	next := 0 // step of the line that should follow
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
			if l.rounds { // it may be of a further round of the step before
				from--
			}
			cut := fmt.Errorf("line %d: %w: cut off, steps from %d on are scored anew", n, damage, max(from, steps))
			return end, append(repairs, cut), nil
		case damage != nil:
			repairs = append(repairs, fmt.Errorf("line %d: %w: left as it is, its step is made", n, damage))
		case v.Version != verdictVersion:
			return 0, nil, fmt.Errorf("line %d: version %d, this program knows %d", n, v.Version, verdictVersion)
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
		return v, errors.New("it has no end")
	}
	err = json.Unmarshal(line, &v)
	return v, err
}

// of is what the log says about a round of a step; nil if nothing.
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
		return nil, fmt.Errorf("rl: step %d: the completions are not those that %s was written for: "+
			"weights, prompts or code have changed; remove the file to score anew", r.Step, l.f.Name())
	}
	return &reward.Scores{Functions: v.Functions, Verdicts: v.Verdicts}, nil
}

// write appends the verdicts of a round of a step, on disk before anything is learned
// from them.
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

// hashRollout tells rollouts apart by their tokens.
func hashRollout(r *Rollout) string {
	h := fnv.New128a()
	for _, s := range r.Samples {
		binary.Write(h, binary.LittleEndian, int64(len(s.IDs)))
		binary.Write(h, binary.LittleEndian, s.IDs)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
