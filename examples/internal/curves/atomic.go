package curves

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// replace writes content to a temporary file in the folder of path and renames it to path.
func replace(path string, content io.WriterTo) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("curves: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("curves: writing %s: %w", path, err)
		}
	}()
	if _, err = content.WriteTo(f); err != nil {
		return err
	}
	// CreateTemp makes files that only the owner can read.
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
