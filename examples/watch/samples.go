package main

import (
	"encoding/json"
	"os"
)

// sampled is the response of /api/samples: the samples of one step.
type sampled struct {
	Steps   []int           `json:"steps"` // all steps that have samples
	Step    int             `json:"step"`  // step of Line
	Line    json.RawMessage `json:"line"`  // line of samples.jsonl, or null if there is none
	Damaged int             `json:"damaged"`
}

// index holds the positions of the lines of a samples.jsonl, so that each line is parsed only
// once.
type index struct {
	at      place // position up to which the file has been read
	steps   []int
	lines   map[int]span // by step
	damaged int
}

// span is a part of a file.
type span struct{ offset, length int64 }

// read adds the new lines of f to the index.
func (x *index) read(f *os.File) error {
	for more := true; more; {
		next := index{lines: map[int]span{}}
		at, reset, further, err := scan(f, x.at, func(offset int64, line []byte) {
			var of struct {
				Step int `json:"step"`
			}
			if json.Unmarshal(line, &of) != nil || of.Step < 1 {
				next.damaged++
				return
			}
			if _, again := next.lines[of.Step]; !again {
				next.steps = append(next.steps, of.Step)
			}
			next.lines[of.Step] = span{offset, int64(len(line))}
		})
		if err != nil {
			return err
		}
		if reset || x.lines == nil {
			*x = index{lines: map[int]span{}}
		}
		for _, step := range next.steps {
			if _, again := x.lines[step]; !again {
				x.steps = append(x.steps, step)
			}
			x.lines[step] = next.lines[step]
		}
		x.at, more = at, further
		x.damaged += next.damaged
	}
	return nil
}

// of returns the line of a step in f; step 0 means the newest step.
func (x *index) of(f *os.File, step int) (sampled, error) {
	s := sampled{Steps: append([]int{}, x.steps...), Damaged: x.damaged}
	if step == 0 && len(x.steps) > 0 {
		step = x.steps[len(x.steps)-1]
	}
	at, ok := x.lines[step]
	if !ok {
		return s, nil
	}
	text := make([]byte, at.length)
	if _, err := f.ReadAt(text, at.offset); err != nil {
		return s, err
	}
	if json.Valid(text) { // otherwise the file was replaced meanwhile
		s.Step, s.Line = step, text
	}
	return s, nil
}
