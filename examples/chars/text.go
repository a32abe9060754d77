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
	window = 256        // characters that a sequence predicts, and the model's context length
	batch  = 8 * window // characters per step
)

// settings are saved in checkpoints. Trainer.Run refuses to continue from a checkpoint with other settings.
type settings struct {
	Steps int    `json:"steps"`
	Text  string `json:"text_sha256"`
}

// text is an encoded text file, split into training and held-out windows.
type text struct {
	vocabulary  *tokenizer.Tokenizer
	train, held []model.Sequence // windows of the first nine tenths and of the last tenth
	sha256      string           // of the file, in hexadecimal
}

// readText reads a UTF-8 file. Each distinct character in it becomes a token.
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

// windows cuts ids into consecutive sequences that predict window ids each. A sequence has one id more, since the first
// one is only input. The remainder at the end is dropped.
func windows(ids []int32) (seqs []model.Sequence) {
	for len(ids) > window {
		seqs = append(seqs, model.Sequence{IDs: ids[:window+1]})
		ids = ids[window:]
	}
	return seqs
}
