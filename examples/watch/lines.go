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

// maxChunk is the maximum number of bytes that one request reads, and so of a line.
const maxChunk = 16 << 20

// place is the position of a reader in a file that grows. Mark is a hash of the bytes before
// Offset: it shows whether the file has only grown or was truncated, as on resume, or replaced.
type place struct {
	Offset int64  `json:"offset"`
	Mark   string `json:"mark"`
}

// chunk holds the lines of a file after a place.
type chunk struct {
	place
	Reset   bool              `json:"reset"` // the file was truncated or replaced: discard the rows read before
	More    bool              `json:"more"`  // there may be more lines already
	Rows    []json.RawMessage `json:"rows"`
	Damaged int               `json:"damaged"` // number of lines left out because they are not JSON objects
}

// readFrom reads the complete lines of f after a place. An incomplete last line is left for the
// next call.
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

// scan calls row with the offset and the text of each complete line of f after a place, up to
// maxChunk bytes. It returns the place after them, whether it started again from the beginning
// because the file was truncated or replaced, and whether there may be more lines.
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

// markAt returns a hash of up to 512 bytes before an offset. It returns "" if the offset is 0 or
// beyond the end of the file.
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

// missing reports whether an error says that a file does not exist, for example because the run
// has not written it yet.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
