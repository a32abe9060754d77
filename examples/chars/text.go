package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/tokenizer"
)

const (
	window = 256        // characters that a sequence predicts: the longest context of the model
	batch  = 8 * window // characters of a step
)

// settings are recorded in checkpoints: Trainer.Run refuses to continue one of others.
type settings struct {
	Steps int    `json:"steps"`
	Text  string `json:"text_sha256"`
}

// text is a file as the model sees it.
type text struct {
	vocabulary  *tokenizer.Tokenizer
	train, held []model.Sequence // windows of the first nine tenths, and of the rest
	sha256      string           // of the file, in hexadecimal
}

// readText reads a file of UTF-8. Each different character of it is a token.
func readText(path string) (*text, error) {
	if path == "" {
		return nil, errors.New("-text: want the path of a text file")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("-text: %w", err)
	}
	vocabulary, err := tokenizer.NewCharacters(string(data))
	if err != nil {
		return nil, fmt.Errorf("-text %s: %w", path, err)
	}
	ids, err := vocabulary.Encode(string(data))
	if err != nil {
		return nil, fmt.Errorf("-text %s: %w", path, err)
	}
	at := len(ids) - len(ids)/10
	if len(ids)-at <= window {
		return nil, fmt.Errorf("-text %s: %d characters, want at least %d: a tenth is held out, "+
			"and windows are %d long", path, len(ids), 10*(window+1), window)
	}
	sum := sha256.Sum256(data)
	return &text{vocabulary: vocabulary, train: windows(ids[:at]), held: windows(ids[at:]),
		sha256: hex.EncodeToString(sum[:])}, nil
}

// windows are consecutive sequences of one character more than they predict; what is left at the end of the text is
// dropped.
func windows(ids []int32) (seqs []model.Sequence) {
	for len(ids) > window {
		seqs = append(seqs, model.Sequence{IDs: ids[:window+1]})
		ids = ids[window:]
	}
	return seqs
}
