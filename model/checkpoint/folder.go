package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// folder opens the files of a directory that may not be trusted.
type folder struct {
	dir  string   // as it was opened
	root *os.Root // which links do not leave; nil if they may
	from string   // the directory in root
}

// openFolder opens a directory, see OpenOptions.FollowLinks.
func openFolder(dir string, followLinks bool) (*folder, error) {
	if followLinks {
		return &folder{dir: dir}, nil
	}
	base, from := dir, "."
	if repository, snapshot, ok := hubCache(dir); ok {
		base, from = repository, snapshot
	}
	root, err := os.OpenRoot(base)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return &folder{dir, root, from}, nil
}

// hubCache reports whether dir is a snapshot in the cache of Hugging Face, whose files
// are links to models--ORGANISATION--NAME/blobs/HASH.
func hubCache(dir string) (repository, snapshot string, ok bool) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", "", false
	}
	if real, err = filepath.Abs(real); err != nil {
		return "", "", false
	}
	snapshots := filepath.Dir(real)
	repository = filepath.Dir(snapshots)
	snapshot = filepath.Join(filepath.Base(snapshots), filepath.Base(real))
	return repository, snapshot, filepath.Base(snapshots) == "snapshots" &&
		strings.HasPrefix(filepath.Base(repository), "models--")
}

func (d *folder) path(name string) string { return filepath.Join(d.dir, name) }

// open opens the regular file of that name, which is a plain one.
func (d *folder) open(name string) (*os.File, int64, error) {
	path := d.path(name)
	if d.root == nil {
		return openRegular(path)
	}
	in := filepath.Join(d.from, name)
	info, err := d.root.Stat(in)
	if err != nil {
		link, e := os.Lstat(path)
		if e == nil && link.Mode()&fs.ModeSymlink != 0 && !errors.Is(err, fs.ErrNotExist) {
			return nil, 0, &FormatError{File: path, Err: fmt.Errorf("%w: %w", ErrLink, err)}
		}
		return nil, 0, fmt.Errorf("checkpoint: %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("checkpoint: %s: not a regular file", path)
	}
	f, err := d.root.Open(in)
	if err != nil {
		return nil, 0, fmt.Errorf("checkpoint: %s: %w", path, err)
	}
	return f, info.Size(), nil
}

// maxText is the largest size of a file that ReadFile reads.
const maxText = 16 << 20

// ReadFile reads a small file of the directory dir, such as config.json: a regular one
// of at most 16 MiB. Links go by [OpenOptions].
func ReadFile(dir, name string, o OpenOptions) ([]byte, error) {
	d, err := openFolder(dir, o.FollowLinks)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	f, size, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > maxText {
		return nil, fmt.Errorf("checkpoint: %s: %d bytes, more than %d", d.path(name), size, maxText)
	}
	text, err := io.ReadAll(io.LimitReader(f, size))
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %s: %w", d.path(name), err)
	}
	return text, nil
}

// Close lets go of the directory. Files that were opened stay open.
func (d *folder) Close() {
	if d.root != nil {
		d.root.Close()
	}
}

// openRegular refuses pipes and devices, whose opening or reading may never end.
func openRegular(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, fmt.Errorf("checkpoint: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("checkpoint: %s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("checkpoint: %w", err)
	}
	return f, info.Size(), nil
}
