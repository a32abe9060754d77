package checkpoint

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
)

// WriteAtomic writes the file at path by calling write, so that the file is either complete
// or unchanged: the bytes go to a temporary file in the same directory, which is flushed to
// disk and then renamed. On error the temporary file is removed.
func WriteAtomic(path string, write func(w io.Writer) error) error {
	return writeAtomic(path, write, nil)
}

func writeAtomic(path string, write func(w io.Writer) error, before func(op, path string) error) (err error) {
	d := disk{before: before}
	dir, base := filepath.Split(path)
	temp := filepath.Join(dir, tempName(base))
	renamed := false
	defer func() {
		if !renamed { // including when write panics
			os.Remove(temp)
		}
		if err != nil {
			err = fmt.Errorf("checkpoint: write %s: %w", path, err)
		}
	}()
	if _, err := d.writeFile(temp, write, nil); err != nil {
		return err
	}
	if err := d.rename(temp, path); err != nil {
		return err
	}
	renamed = true
	return d.syncDir(filepath.Clean(dir))
}

// tempName returns a hidden name, which readers do not take for a finished file.
func tempName(base string) string {
	return fmt.Sprintf("%s%s.tmp-%016x", tempPrefix, base, rand.Uint64())
}

const tempPrefix = "."

// disk performs the file system operations of a write. before, unless nil, is called ahead
// of each operation; if it returns an error, the operation fails with it.
type disk struct {
	before func(op, path string) error
}

func (d disk) step(op, path string) error {
	if d.before == nil {
		return nil
	}
	return d.before(op, path)
}

// writeFile creates a file, writes its content, flushes it to disk and returns its size.
// The content is also written to sum, unless nil.
func (d disk) writeFile(path string, write func(w io.Writer) error, sum hash.Hash) (size int64, err error) {
	if err := d.step("create", path); err != nil {
		return 0, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return 0, err
	}
	s := &sink{disk: d, f: f, sum: sum}
	b := bufio.NewWriterSize(s, 1<<20)
	if err = write(b); err == nil {
		err = b.Flush()
	}
	if err == nil {
		err = d.step("sync", path)
	}
	if err == nil {
		err = f.Sync()
	}
	return s.n, errors.Join(err, f.Close())
}

// writeSummed calls writeFile and returns the file's entry for a manifest.
func (d disk) writeSummed(path string, write func(w io.Writer) error) (fileInfo, error) {
	sum := sha256.New()
	size, err := d.writeFile(path, write, sum)
	return fileInfo{Name: filepath.Base(path), Size: size, SHA256: fmt.Sprintf("%x", sum.Sum(nil))}, err
}

// sink writes to a file, and counts and hashes the bytes written.
type sink struct {
	disk
	f   *os.File
	n   int64
	sum hash.Hash // nil for none
}

func (s *sink) Write(p []byte) (int, error) {
	if err := s.step("write", s.f.Name()); err != nil {
		return 0, err
	}
	n, err := s.f.Write(p)
	s.n += int64(n)
	if s.sum != nil {
		s.sum.Write(p[:n])
	}
	return n, err
}

func (d disk) rename(from, to string) error {
	if err := d.step("rename", to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// syncDir flushes a directory, so that renames in it are durable.
func (d disk) syncDir(dir string) error {
	if err := d.step("syncdir", dir); err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		return nil // Windows cannot flush directories, and does not need to
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
