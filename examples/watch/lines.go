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
	at, reset, more, err := scan(f, from, func(_ int64, line []byte) {
		if len(line) == 0 || line[0] != '{' || !json.Valid(line) {
			c.Damaged++
			return
		}
		c.Rows = append(c.Rows, line)
	})
	c.place, c.Reset, c.More = at, reset, more
	return c, err
}

// scan calls row with the offset and the text of the whole lines of f behind a place, up to
// maxChunk bytes of them. It returns the place behind them, whether it began anew, for from is
// a place of another file, and whether there may be more lines.
func scan(f *os.File, from place, row func(offset int64, line []byte)) (at place, reset, more bool, err error) {
	mark, err := markAt(f, from.Offset)
	if err != nil {
		return from, false, false, err
	}
	if from.Offset > 0 && mark != from.Mark {
		from, reset = place{}, true
	}
	text, err := io.ReadAll(io.NewSectionReader(f, from.Offset, maxChunk))
	if err != nil {
		return from, reset, false, err
	}
	end := bytes.LastIndexByte(text, '\n') + 1
	if end == 0 && len(text) == maxChunk {
		return from, reset, false, fmt.Errorf("%s: the line at byte %d is longer than %d bytes", f.Name(), from.Offset,
			maxChunk)
	}
	at = from
	for line := range bytes.Lines(text[:end]) {
		row(at.Offset, bytes.TrimRight(line, "\r\n"))
		at.Offset += int64(len(line))
	}
	at.Mark, err = markAt(f, at.Offset)
	return at, reset, len(text) == maxChunk, err
}

// markAt hashes up to 512 bytes before an offset; "" at the beginning and where the file has less.
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

// missing reports whether an error says that a file is not there, as of a run that has
// not come so far.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
