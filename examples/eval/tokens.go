package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// decoders decode the contents of a file of token ids, by -type.
var decoders = map[string]func(data []byte) ([]uint32, error){
	"ids": func(data []byte) (ids []uint32, err error) {
		for i, word := range bytes.Fields(data) {
			id, err := strconv.ParseUint(string(word), 10, 32)
			if err != nil {
				return nil, fmt.Errorf("token %d: %q is not a token id", i, word)
			}
			ids = append(ids, uint32(id))
		}
		return ids, nil
	},
	"uint16": func(data []byte) ([]uint32, error) {
		return integers(data, 2, func(b []byte) uint32 { return uint32(binary.LittleEndian.Uint16(b)) })
	},
	"uint32": func(data []byte) ([]uint32, error) { return integers(data, 4, binary.LittleEndian.Uint32) },
}

// integers decodes ids of size bytes each.
func integers(data []byte, size int, read func([]byte) uint32) ([]uint32, error) {
	if len(data)%size != 0 {
		return nil, fmt.Errorf("%d bytes, want a multiple of %d", len(data), size)
	}
	ids := make([]uint32, len(data)/size)
	for i := range ids {
		ids[i] = read(data[i*size:])
	}
	return ids, nil
}

// text is an encoded text.
type text struct {
	where string // file and line, for error messages
	ids   []int32
}

// encoder returns the ids of a text, with the special tokens that the tokenizer adds.
type encoder func(text string) ([]int32, error)

// typeOf returns the type of a file: kind or, if that is empty, what the name's extension
// says.
func typeOf(file, kind string) (string, error) {
	types := append(slices.Sorted(maps.Keys(decoders)), "text", "jsonl")
	switch ending := filepath.Ext(file); {
	case kind == "" && ending == ".txt":
		return "text", nil
	case kind == "" && ending == ".jsonl":
		return "jsonl", nil
	case kind == "":
		return "", fmt.Errorf("%s: -type is missing, and the name ends neither in .txt nor in .jsonl: want one of %s",
			file, strings.Join(types, ", "))
	case !slices.Contains(types, kind):
		return "", fmt.Errorf("-type %q, want one of %s", kind, strings.Join(types, ", "))
	}
	return kind, nil
}

// readTexts reads files whose types typeOf determines. Each text must have at least two ids,
// all below vocab.
func readTexts(files []string, kind string, vocab int, encode encoder) ([]text, error) {
	var texts []text
	for _, file := range files {
		kind, err := typeOf(file, kind)
		if err != nil {
			return nil, err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		list, err := parse(file, kind, data, encode)
		if err != nil {
			return nil, err
		}
		texts = append(texts, list...)
	}
	for _, t := range texts {
		if len(t.ids) < 2 {
			return nil, fmt.Errorf("%s: %d tokens, want at least 2", t.where, len(t.ids))
		}
		for i, id := range t.ids {
			if uint32(id) >= uint32(vocab) {
				return nil, fmt.Errorf("%s: token %d is %d, beyond the vocabulary of %d", t.where, i, uint32(id), vocab)
			}
		}
	}
	return texts, nil
}

// parse returns the texts of a file: one or, for jsonl, one for each line that is not empty.
func parse(file, kind string, data []byte, encode encoder) ([]text, error) {
	fail := func(where string, err error) ([]text, error) { return nil, fmt.Errorf("%s: %w", where, err) }
	switch kind {
	case "text":
		ids, err := encode(string(data))
		if err != nil {
			return fail(file, err)
		}
		return []text{{file, ids}}, nil
	case "jsonl":
		var texts []text
		n := 0
		for row := range bytes.Lines(data) {
			if n++; len(bytes.TrimSpace(row)) == 0 {
				continue
			}
			where := fmt.Sprintf("%s: line %d", file, n)
			var line struct {
				Text *string `json:"text"`
			}
			err := json.Unmarshal(row, &line)
			if err == nil && line.Text == nil {
				err = errors.New(`there is no "text"`)
			}
			if err != nil {
				return fail(where, err)
			}
			ids, err := encode(*line.Text)
			if err != nil {
				return fail(where, err)
			}
			texts = append(texts, text{where, ids})
		}
		if len(texts) == 0 {
			return fail(file, errors.New("no lines"))
		}
		return texts, nil
	}
	ids, err := decoders[kind](data)
	if err != nil {
		return fail(file, err)
	}
	t := text{file, make([]int32, len(ids))}
	for i, id := range ids {
		t.ids[i] = int32(id) // readTexts checks that it is below the vocabulary size as a uint32
	}
	return []text{t}, nil
}
