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
	// maxLine is the number of bytes of the longest line.
	maxLine = 16 << 20
	// maxChunk is the number of bytes from which on a chunk gets no more lines.
	maxChunk = 64 << 10
	// manyLines is the greatest number of lines of a chunk.
	manyLines = 512
)

// line is a line of the input that is not empty.
type line struct {
	number int
	data   []byte
	err    error // why data is not there
}

// lineReader reads lines in constant memory.
type lineReader struct {
	in     *bufio.Reader
	number int // of the last line
}

func newLineReader(in io.Reader) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(in, maxChunk)}
}

// next returns the next line that is not empty; io.EOF after the last.
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
			return line{number: r.number, err: fmt.Errorf("it has more than %d bytes", maxLine)}, nil
		}
		if data = bytes.TrimSpace(data); len(data) > 0 {
			return line{number: r.number, data: data}, nil
		}
	}
}

// bytes reads up to the end of a line, and keeps what is not too long.
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

// chunk returns at least one line, and more, up to limit, while they are at hand: lines
// of a pipe are not waited for.
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

// record is the content of a line.
type record struct {
	ID        json.RawMessage `json:"id"`
	Gold      json.RawMessage `json:"gold"`
	Prompt    string          `json:"prompt"`
	Truncated bool            `json:"truncated"`
	Pred      *string         `json:"pred"`
	Preds     []*string       `json:"preds"`
}

// parse reads a line.
func parse(data []byte) (r record, err error) {
	if !utf8.Valid(data) {
		return r, errors.New("it is not UTF-8")
	}
	if data[0] != '{' {
		return r, errors.New("it is no JSON object")
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
		return r, errors.New(`"id" is no string and no number`)
	}
	switch {
	case r.Pred != nil && r.Preds != nil:
		return r, errors.New(`there are "pred" and "preds"`)
	case r.Pred == nil && r.Preds == nil:
		return r, errors.New(`there is no "pred" and no "preds"`)
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

// completions are the answers of a record.
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
