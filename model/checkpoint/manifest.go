package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ManifestFile is the file that is written last to a checkpoint directory. It lists the
// other files with their sizes and SHA-256 sums, and holds a sum of itself.
const ManifestFile = "manifest.json"

// ErrIncomplete is wrapped by the error for a checkpoint that was not written completely or
// was changed afterwards.
var ErrIncomplete = errors.New("incomplete or damaged checkpoint")

const (
	manifestFormat  = "aha.checkpoint"
	manifestVersion = 1
	maxManifest     = 64 << 20
)

// fileInfo describes one file of a checkpoint.
type fileInfo struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

type manifest struct {
	Format  string                     `json:"format"`
	Version int                        `json:"version"`
	Step    int                        `json:"step"`
	Files   []fileInfo                 `json:"files"` // sorted by name
	Meta    map[string]json.RawMessage `json:"meta"`
	SHA256  string                     `json:"sha256"` // sum of this document with an empty string here
}

// encode returns the text of m, including its sum. The text is determined by m and ends
// with the closing brace, so no prefix of it is a valid manifest.
func (m manifest) encode() ([]byte, error) {
	m.SHA256 = ""
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	m.SHA256 = fmt.Sprintf("%x", sha256.Sum256(b))
	return json.MarshalIndent(m, "", "  ")
}

// readManifest reads a manifest and verifies its sum.
func readManifest(dir string) (manifest, error) {
	var m manifest
	path := filepath.Join(dir, ManifestFile)
	f, size, err := openRegular(path)
	if errors.Is(err, os.ErrNotExist) {
		return m, fmt.Errorf("checkpoint: %s: %w: it has no %s", dir, ErrIncomplete, ManifestFile)
	} else if err != nil {
		return m, err
	}
	defer f.Close()
	if size > maxManifest {
		return m, fmt.Errorf("checkpoint: %s: %w: %d bytes, more than %d", path, ErrIncomplete, size, maxManifest)
	}
	b, err := io.ReadAll(io.LimitReader(f, size))
	if err != nil {
		return m, fmt.Errorf("checkpoint: %w", err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("checkpoint: %s: %w: %w", path, ErrIncomplete, err)
	}
	if m.Format == manifestFormat && m.Version > manifestVersion {
		return m, fmt.Errorf("checkpoint: %s: written by a newer version: manifest version %d, "+
			"this version supports %d", path,
			m.Version, manifestVersion)
	}
	if again, err := m.encode(); err != nil || !bytes.Equal(again, b) || m.Format != manifestFormat ||
		m.Version != manifestVersion {
		return m, fmt.Errorf("checkpoint: %s: %w: it does not match its own sum", path, ErrIncomplete)
	}
	return m, nil
}

// check compares the files of dir with the manifest: their sizes and, if deep, also their
// content.
func (m manifest) check(dir string, deep bool) error {
	for _, want := range m.Files {
		if !isPlainName(want.Name) {
			return fmt.Errorf("checkpoint: %s: %w: file name %.200q", dir, ErrIncomplete, want.Name)
		}
		path := filepath.Join(dir, want.Name)
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return fmt.Errorf("checkpoint: %s: %w: the file is missing", path, ErrIncomplete)
		case err != nil:
			return fmt.Errorf("checkpoint: %w", err)
		case !info.Mode().IsRegular():
			return fmt.Errorf("checkpoint: %s: %w: not a regular file", path, ErrIncomplete)
		case info.Size() != want.Size:
			return fmt.Errorf("checkpoint: %s: %w: %d bytes, the manifest says %d", path, ErrIncomplete, info.Size(), want.Size)
		}
		if !deep {
			continue
		}
		sum, err := hashFile(path)
		if err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
		if sum != want.SHA256 {
			return fmt.Errorf("checkpoint: %s: %w: its SHA-256 differs from the manifest's", path, ErrIncomplete)
		}
	}
	return nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}
