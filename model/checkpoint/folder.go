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

// folder opens the files of an untrusted directory.
type folder struct {
	dir  string   // path of the directory, as given to openFolder
	root *os.Root // links must stay within root; nil if they may leave it
	from string   // path of the directory within root
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

// hubCache reports whether dir is a snapshot in the Hugging Face cache, whose files are
// links to models--ORGANISATION--NAME/blobs/HASH.
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

// open opens a regular file of the directory; name must be plain.
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

// maxText is the maximum size of a file for ReadFile.
const maxText = 16 << 20

// ReadFile reads a small file of the directory dir, such as config.json. It must be a
// regular file of at most 16 MiB. [OpenOptions] applies to links.
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

// Close closes the directory. Files that were opened stay open.
func (d *folder) Close() {
	if d.root != nil {
		d.root.Close()
	}
}

// openRegular opens a regular file. It rejects pipes and devices, because opening or
// reading these may block forever.
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
