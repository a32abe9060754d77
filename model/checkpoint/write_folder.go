package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Folder holds the contents of a Hugging Face model folder.
type Folder struct {
	Tensors []Tensor
	// ShardBytes is the maximum size of the tensors in a file, except for a single tensor
	// that is larger; 0 means 5 GB. If all tensors fit, the only file is [SingleFile].
	ShardBytes int64
	// Files are the other files by name, such as config.json.
	Files map[string]func(w io.Writer) error
	// Check, unless nil, is called with the complete folder before it appears under its
	// name. If it returns an error, the folder does not appear.
	Check func(dir string) error
	// Progress, unless nil, is called with the number of bytes of tensors written so far
	// and the total.
	Progress func(done, total int64)
}

// companions matches the files of a model folder that do not depend on the weights: the
// generation config, the tokenizer files, and the Python classes that auto_map in
// config.json and tokenizer_config.json names.
var companions = regexp.MustCompile(`^(generation_config\.json|tokenizer(_config)?\.json|(tokenizer|tiktoken)\.model|` +
	`special_tokens_map\.json|added_tokens\.json|chat_template\.(jinja|json)|vocab\.(json|txt)|merges\.txt|` +
	`(configuration|modeling|tokenization)_\w+\.py)$`)

// CompanionFiles returns the files of the folder at path that do not depend on the weights,
// for Folder.Files: generation_config.json, the tokenizer files, and the Python classes of
// models that transformers does not include. [OpenOptions] applies to links.
func CompanionFiles(path string, followLinks bool) (map[string]func(w io.Writer) error, error) {
	files := map[string]func(w io.Writer) error{}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := e.Name()
		if !companions.MatchString(name) {
			continue
		}
		open := func() (*os.File, error) {
			d, err := openFolder(path, followLinks)
			if err != nil {
				return nil, err
			}
			defer d.Close()
			f, _, err := d.open(name)
			return f, err
		}
		f, err := open()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		f.Close()
		files[name] = func(w io.Writer) error {
			f, err := open()
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(w, f)
			return err
		}
	}
	return files, nil
}

// weightsFile matches the names of weight files.
var weightsFile = regexp.MustCompile(`^model(-\d+-of-\d+)?\.safetensors(\.index\.json)?$`)

// WriteFolder writes a model folder that appears as a whole: it writes and flushes the
// files in a hidden folder next to dir, which it then renames. It creates missing parent
// directories. It first removes the leftovers of interrupted calls, to free their space, so
// only one process may write a folder at a time.
//
// An existing model folder is replaced: on Linux in one step, elsewhere in two, between
// which old and new folder have hidden names. A folder that contains anything else is an
// error, since its contents would be lost.
func WriteFolder(dir string, f Folder) error { return writeFolder(dir, f, nil) }

func writeFolder(dir string, f Folder, before func(op, path string) error) (err error) {
	d := disk{before: before}
	defer func() {
		if err != nil {
			err = fmt.Errorf("checkpoint: write folder %s: %w", dir, err)
		}
	}()
	for name := range f.Files {
		if !isPlainName(name) || weightsFile.MatchString(name) {
			return fmt.Errorf("%q cannot name a file next to the weights", name)
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	exists, err := f.mayReplace(&dir)
	if err != nil {
		return err
	}
	parent, base := filepath.Split(dir)
	if err := d.mkdir(parent, os.MkdirAll); err != nil {
		return err
	}
	if err := removeLeft(parent, tempPrefix+base+".tmp-"); err != nil {
		return err
	}
	temp := filepath.Join(parent, tempName(base))
	defer os.RemoveAll(temp) // after the rename, this is the old folder
	if err := d.mkdir(temp, os.Mkdir); err != nil {
		return err
	}
	if err := f.write(d, temp); err != nil {
		return err
	}
	if err := d.syncDir(temp); err != nil {
		return err
	}
	if f.Check != nil {
		if err := f.Check(temp); err != nil {
			return err
		}
	}
	if err := d.step("rename", dir); err != nil {
		return err
	}
	if exists {
		err = exchange(temp, dir)
	} else {
		err = os.Rename(temp, dir)
	}
	if err != nil {
		return err
	}
	if err := d.syncDir(parent); err != nil {
		return err
	}
	return removeLeft(parent, replacedName(base))
}

// replacedName is the prefix of the temporary name of an old folder while it is replaced in
// two steps. After an interrupted call it may be the only copy, so it is removed last.
func replacedName(base string) string { return tempPrefix + base + ".old-" }

// removeLeft removes the hidden folders whose names begin with prefix.
func removeLeft(parent, prefix string) error {
	entries, err := os.ReadDir(parent)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(parent, e.Name())))
		}
	}
	return err
}

// mayReplace reports whether there is a folder at dir, and resolves links in dir. A folder
// that contains more than a model is an error.
func (f Folder) mayReplace(dir *string) (exists bool, err error) {
	real, err := filepath.EvalSymlinks(*dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	*dir = real
	entries, err := os.ReadDir(real)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		name := e.Name()
		if e.Type().IsDir() || f.Files[name] == nil && name != "config.json" && !weightsFile.MatchString(name) &&
			!companions.MatchString(name) {
			return false, fmt.Errorf("the folder contains %s, which does not belong to a model and would be lost: "+
				"choose another folder", name)
		}
	}
	return true, nil
}

// write writes all files to the empty folder dir.
func (f Folder) write(d disk, dir string) error {
	shards, total, err := f.shards()
	if err != nil {
		return err
	}
	var done int64
	report := func(n int) {
		if done += int64(n); f.Progress != nil {
			f.Progress(done, total)
		}
	}
	weightMap := map[string]string{}
	for i, list := range shards {
		name := SingleFile
		if len(shards) > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		}
		for j, t := range list {
			if weightMap[t.Name] != "" {
				return fmt.Errorf("tensor %q: %w", t.Name, ErrDuplicate)
			}
			weightMap[t.Name] = name
			list[j].Stream = t.reported(report)
		}
		if _, err := d.writeFile(filepath.Join(dir, name), func(w io.Writer) error {
			return Write(w, list, map[string]string{"format": "pt"})
		}, nil); err != nil {
			return err
		}
	}
	files := maps.Clone(f.Files)
	if len(shards) > 1 {
		if files == nil {
			files = map[string]func(w io.Writer) error{}
		}
		files[IndexFile] = func(w io.Writer) error { return writeIndex(w, weightMap, total) }
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if _, err := d.writeFile(filepath.Join(dir, name), files[name], nil); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// shards divides the tensors, in order, into files, and returns their total size.
func (f Folder) shards() (shards [][]Tensor, total int64, err error) {
	const fiveGB = 5_000_000_000
	limit := cmp.Or(f.ShardBytes, fiveGB)
	if limit < 0 {
		return nil, 0, fmt.Errorf("ShardBytes is %d, want 0 or more", limit)
	}
	var list []Tensor
	var size int64
	for _, t := range f.Tensors {
		n, err := dataBytes(t.DType, t.Shape)
		if err != nil {
			return nil, 0, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if len(list) > 0 && size+n > limit {
			shards, list, size = append(shards, list), nil, 0
		}
		list, size, total = append(list, t), size+n, total+n
	}
	return append(shards, list), total, nil
}

// reported returns a stream of t that reports the number of bytes written.
func (t Tensor) reported(report func(n int)) func(w io.Writer) error {
	stream := t.Stream
	if stream == nil {
		stream = func(w io.Writer) error {
			_, err := io.Copy(w, bytes.NewReader(t.Data))
			return err
		}
	}
	return func(w io.Writer) error { return stream(reporting{w, report}) }
}

type reporting struct {
	w      io.Writer
	report func(n int)
}

func (r reporting) Write(p []byte) (int, error) {
	n, err := r.w.Write(p)
	r.report(n)
	return n, err
}

func writeIndex(w io.Writer, weightMap map[string]string, total int64) error {
	text, err := json.MarshalIndent(map[string]any{
		"metadata": map[string]int64{"total_size": total}, "weight_map": weightMap,
	}, "", "  ")
	if err == nil {
		_, err = w.Write(append(text, '\n'))
	}
	return err
}

// swapInTwo swaps the folders temp and dir by renaming twice.
func swapInTwo(temp, dir string) error {
	old := filepath.Join(filepath.Dir(dir), fmt.Sprintf("%s%016x", replacedName(filepath.Base(dir)), rand.Uint64()))
	if err := os.Rename(dir, old); err != nil {
		return err
	}
	if err := os.Rename(temp, dir); err != nil {
		return errors.Join(err, os.Rename(old, dir))
	}
	return os.Rename(old, temp)
}
