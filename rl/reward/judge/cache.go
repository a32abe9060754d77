package judge

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// entry is a file of the cache, FOLDER/KEY[:2]/KEY.json, where KEY is the SHA-256 of the
// request's body in hexadecimal.
type entry struct {
	Version int             `json:"version"` // 1
	Request json.RawMessage `json:"request"`
	Answer  string          `json:"answer"`
}

func keyOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func (j *Judge) file(key string) string { return filepath.Join(j.Cache, key[:2], key+".json") }

// cached returns the cached answer to a request, and whether there is one.
func (j *Judge) cached(key string, body []byte) (answer string, ok bool, err error) {
	if j.Cache == "" {
		return "", false, nil
	}
	text, err := os.ReadFile(j.file(key))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	} else if err != nil {
		return "", false, fmt.Errorf("judge: cache: %w", err)
	}
	var e entry
	if err := json.Unmarshal(text, &e); err != nil {
		return "", false, fmt.Errorf("judge: cache: %s: %w", j.file(key), err)
	}
	if e.Version != 1 || !bytes.Equal(e.Request, body) {
		return "", false, fmt.Errorf("judge: cache: %s holds version %d or another request", j.file(key), e.Version)
	}
	if _, err := j.read(e.Answer); err != nil {
		return "", false, nil // cached by a Judge with another Read
	}
	return e.Answer, true, nil
}

// keep writes an answer to the cache, atomically.
func (j *Judge) keep(key string, body []byte, answer string) (err error) {
	if j.Cache == "" {
		return nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("judge: cache: %w", err)
		}
	}()
	text, err := json.Marshal(entry{Version: 1, Request: body, Answer: answer})
	if err != nil {
		return err
	}
	name := j.file(key)
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), "new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails if the file has been renamed
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
