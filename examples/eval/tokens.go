package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
)

// decoders turn a file of a type into ids.
var decoders = map[string]func(data []byte) ([]uint32, error){
	"text": func(data []byte) (ids []uint32, err error) {
		for i, word := range bytes.Fields(data) {
			id, err := strconv.ParseUint(string(word), 10, 32)
			if err != nil {
				return nil, fmt.Errorf("token %d: %q is no token id", i, word)
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

// integers reads ids of size bytes each.
func integers(data []byte, size int, read func([]byte) uint32) ([]uint32, error) {
	if len(data)%size != 0 {
		return nil, fmt.Errorf("%d bytes are no whole number of tokens of %d", len(data), size)
	}
	ids := make([]uint32, len(data)/size)
	for i := range ids {
		ids[i] = read(data[i*size:])
	}
	return ids, nil
}

// readTokens reads the ids of files of a type, at least two each, all below vocab.
func readTokens(files []string, kind string, vocab int) ([][]int32, error) {
	decode := decoders[kind]
	if decode == nil {
		return nil, fmt.Errorf("-type %q, want text, uint16 or uint32", kind)
	}
	texts := make([][]int32, len(files))
	for i, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		ids, err := decode(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if len(ids) < 2 {
			return nil, fmt.Errorf("%s: %d tokens, want at least 2", file, len(ids))
		}
		texts[i] = make([]int32, len(ids))
		for j, id := range ids {
			if int64(id) >= int64(vocab) {
				return nil, fmt.Errorf("%s: token %d is %d, beyond the vocabulary of %d", file, j, id, vocab)
			}
			texts[i][j] = int32(id)
		}
	}
	return texts, nil
}
