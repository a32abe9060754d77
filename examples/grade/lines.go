package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/aha-go/aha/examples/internal/rules"
)

const (
	// maxLine is the maximum number of bytes of a line.
	maxLine = 16 << 20
	// maxChunk is the number of bytes at which a chunk is full.
	maxChunk = 64 << 10
	// manyLines is the maximum number of lines of a chunk.
	manyLines = 512
)

// line is a non-empty line of the input.
type line struct {
	number int
	data   []byte
	err    error // if not nil, the line cannot be read
}

// lineReader reads lines of up to maxLine bytes and skips the rest of longer ones.
type lineReader struct {
	in     *bufio.Reader
	number int // of the last line
}

func newLineReader(in io.Reader) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(in, maxChunk)}
}

// next returns the next non-empty line, or io.EOF after the last one.
func (r *lineReader) next() (line, error) {
	for {
		r.number++
		data, long, err := r.bytes()
		if err != nil && (err != io.EOF || len(data) == 0) {
			return line{}, err
		}
		if r.number == 1 {
			data = bytes.TrimPrefix(data, []byte("\ufeff"))
		}
		if long {
			return line{number: r.number, err: fmt.Errorf("the line has more than %d bytes", maxLine)}, nil
		}
		if data = bytes.TrimSpace(data); len(data) > 0 {
			return line{number: r.number, data: data}, nil
		}
	}
}

// bytes reads a line. If the line has more than maxLine bytes, long is true and data is cut
// short.
func (r *lineReader) bytes() (data []byte, long bool, err error) {
	for {
		part, err := r.in.ReadSlice('\n')
		if long = long || len(data)+len(part) > maxLine; !long {
			data = append(data, part...)
		}
		if err != bufio.ErrBufferFull {
			return data, long, err
		}
	}
}

// chunk returns at least one line. It returns up to limit lines, as long as they are in the
// buffer: it does not wait for more lines of a pipe.
func (r *lineReader) chunk(limit int) (lines []line, size int, err error) {
	for len(lines) == 0 || len(lines) < limit && size < maxChunk && r.in.Buffered() > 0 {
		l, err := r.next()
		if err != nil {
			return lines, size, err
		}
		lines, size = append(lines, l), size+len(l.data)
	}
	return lines, size, nil
}

// record is the JSON object of a line.
type record struct {
	ID        json.RawMessage `json:"id"`
	Gold      json.RawMessage `json:"gold"`
	Prompt    string          `json:"prompt"`
	Truncated bool            `json:"truncated"`
	Pred      *string         `json:"pred"`
	Preds     []*string       `json:"preds"`
}

// parse decodes and checks a line.
func parse(data []byte) (r record, err error) {
	if !utf8.Valid(data) {
		return r, errors.New("the line is not valid UTF-8")
	}
	if data[0] != '{' {
		return r, errors.New("the line is not a JSON object")
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, err
	}
	if string(r.Gold) == "null" {
		r.Gold = nil
	}
	if len(r.ID) == 0 || string(r.ID) == "null" {
		return r, errors.New(`there is no "id"`)
	}
	if _, ok := rules.Word(r.ID); !ok {
		return r, errors.New(`"id" is neither a string nor a number`)
	}
	switch {
	case r.Pred != nil && r.Preds != nil:
		return r, errors.New(`there are both "pred" and "preds"`)
	case r.Pred == nil && r.Preds == nil:
		return r, errors.New(`there is neither "pred" nor "preds"`)
	case r.Pred == nil && len(r.Preds) == 0:
		return r, errors.New(`"preds" is empty`)
	}
	for i, p := range r.Preds {
		if p == nil {
			return r, fmt.Errorf(`"preds"[%d] is null`, i)
		}
	}
	return r, nil
}

// completions returns the answers of a record.
func (r record) completions() []string {
	if r.Pred != nil {
		return []string{*r.Pred}
	}
	all := make([]string, len(r.Preds))
	for i, p := range r.Preds {
		all[i] = *p
	}
	return all
}
