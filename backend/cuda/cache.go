package cuda

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
)

// A cache file is a cubin followed by its SHA-256 hash. Without the hash, the
// driver, which is not told the length of a cubin, would read past the end of a
// truncated one.

// kept reads a cache file. It treats a damaged file like a missing one.
func kept(path string) (cubin []byte, ok bool) {
	data, err := os.ReadFile(path)
	n := len(data) - sha256.Size
	if err != nil || n < 0 {
		return nil, false
	}
	hash := sha256.Sum256(data[:n])
	return data[:n], bytes.Equal(data[n:], hash[:])
}

// keep writes a cache file, whole or not at all.
func keep(path string, cubin []byte) {
	if os.MkdirAll(filepath.Dir(path), 0o755) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(path), "new-*")
	if err != nil {
		return
	}
	hash := sha256.Sum256(cubin)
	_, err = f.Write(slices.Concat(cubin, hash[:]))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
}
