package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
)

// maxChunk bounds what one request reads of a file, and so the length of a line.
const maxChunk = 16 << 20

// place is how far a reader has come in a file that grows: Mark is a hash of the bytes before
// Offset, by which a file that was cut off, as on resume, or replaced is told from one that grew.
type place struct {
	Offset int64  `json:"offset"`
	Mark   string `json:"mark"`
}

// chunk is what a file has beyond a place.
type chunk struct {
	place
	Reset   bool              `json:"reset"` // the file is another one: forget what was read before
	More    bool              `json:"more"`  // there are further lines already
	Rows    []json.RawMessage `json:"rows"`
	Damaged int               `json:"damaged"` // lines left out for not being JSON objects
}

// readFrom reads the whole lines of f behind a place. A last line without its end is left for
// the next time.
func readFrom(f *os.File, from place) (c chunk, err error) {
	c.Rows = []json.RawMessage{}
	info, err := f.Stat()
	if err != nil {
		return c, err
	}
	c.place = from
	mark, err := markAt(f, from.Offset)
	if err != nil {
		return c, err
	}
	if from.Offset < 0 || from.Offset > info.Size() || from.Offset > 0 && mark != from.Mark {
		c.place, c.Reset = place{}, true
	}
	text, err := io.ReadAll(io.NewSectionReader(f, c.Offset, maxChunk))
	if err != nil {
		return c, err
	}
	end := bytes.LastIndexByte(text, '\n') + 1
	if end == 0 && len(text) == maxChunk {
		return c, fmt.Errorf("%s: the line at byte %d is longer than %d bytes", f.Name(), c.Offset, maxChunk)
	}
	for line := range bytes.Lines(text[:end]) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] != '{' || !json.Valid(line) {
			c.Damaged++
			continue
		}
		c.Rows = append(c.Rows, line)
	}
	c.Offset += int64(end)
	c.More = len(text) == maxChunk
	c.Mark, err = markAt(f, c.Offset)
	return c, err
}

// markAt hashes up to 512 bytes before an offset; "" at the beginning and beyond the end.
func markAt(f *os.File, offset int64) (string, error) {
	const most = 512
	if offset <= 0 {
		return "", nil
	}
	text := make([]byte, min(most, offset))
	if _, err := f.ReadAt(text, offset-int64(len(text))); errors.Is(err, io.EOF) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	h := fnv.New64a()
	h.Write(text)
	return fmt.Sprintf("%x", h.Sum64()), nil
}

// sampled is what samples.jsonl has of a step.
type sampled struct {
	Steps   []int           `json:"steps"` // that have samples
	Step    int             `json:"step"`  // of Line
	Line    json.RawMessage `json:"line"`  // null if there is none
	Damaged int             `json:"damaged"`
}

// samplesOf reads the line of a step; step 0 means the newest one.
func samplesOf(f *os.File, step int) (s sampled, err error) {
	s.Steps = []int{}
	for from := (place{}); ; {
		c, err := readFrom(f, from)
		if err != nil {
			return s, err
		}
		s.Damaged += c.Damaged
		for _, row := range c.Rows {
			var at struct {
				Step int `json:"step"`
			}
			if json.Unmarshal(row, &at) != nil || at.Step < 1 {
				s.Damaged++
				continue
			}
			s.Steps = append(s.Steps, at.Step)
			if step == 0 || at.Step == step {
				s.Step, s.Line = at.Step, row
			}
		}
		if from = c.place; !c.More {
			return s, nil
		}
	}
}

// missing reports whether an error says that a file is not there, as of a run that has
// not come so far.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
