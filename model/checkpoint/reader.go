package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aha-go/aha/backend"
)

// The file names of Hugging Face repositories.
const (
	SingleFile = "model.safetensors"            // all weights
	IndexFile  = "model.safetensors.index.json" // which shard has which weight
)

// Reader gives access to the tensors of one safetensors file, of a sharded set, or of a
// file of another format. It may be used by several goroutines at once.
type Reader struct {
	path     string       // as it was opened
	tensors  []TensorInfo // sorted by name
	bare     bool         // names lack "model."
	sections map[string]*io.SectionReader
	codes    map[string]*Codes // of tensors that have such
	metadata map[string]string
	files    []io.Closer
}

// OpenOptions say which files are opened.
type OpenOptions struct {
	// FollowLinks opens files of a directory that are symbolic links to outside of it.
	// If false, links may lead to files inside and, from a snapshot of the Hugging Face
	// cache (models--…/snapshots/…), to others of the same repository there; other
	// links are [ErrLink].
	FollowLinks bool
}

// Open is [OpenWith] without options.
func Open(path string) (*Reader, error) { return OpenWith(path, OpenOptions{}) }

// OpenWith opens a safetensors file, or a directory that holds [IndexFile] or, in
// its absence, [SingleFile]. Every header is read and checked; errors name file
// and tensor, and wrap a [FormatError] where content is at fault.
func OpenWith(path string, o OpenOptions) (_ *Reader, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	r := &Reader{path: path, sections: map[string]*io.SectionReader{}, metadata: map[string]string{}}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if info.IsDir() {
		err = r.addFolder(path, o.FollowLinks)
	} else {
		err = r.addFile(path)
	}
	if err != nil {
		return nil, err
	}
	r.index()
	return r, nil
}

// Foreign is a tensor of a file of another format, as a [Reader] shows it.
type Foreign struct {
	Name  string
	DType DType
	Shape []int       // outermost first
	Data  io.ReaderAt // the tensor's bytes, little-endian and in C order
	// Codes are the tensor's values as its file has them, which parameters that are packed
	// in the same format keep. If nil, there are none.
	Codes *Codes
}

// Codes reads the values of a tensor in a format of integers with scales.
type Codes struct {
	Format backend.Format
	// Read sets codes to whole rows from row first on, one of Format.Element each, and
	// scales and, if Format has such, minimums to those of their blocks, little-endian.
	Read func(first int, codes, scales, minimums []byte) error
}

// NewReader is a Reader of tensors of another format; path stands for their file in
// errors. Its Close closes file. The error wraps a [FormatError].
func NewReader(path string, tensors []Foreign, file io.Closer) (*Reader, error) {
	r := &Reader{path: path, sections: map[string]*io.SectionReader{}, codes: map[string]*Codes{},
		files: []io.Closer{file}}
	for _, t := range tensors {
		size, err := dataBytes(t.DType, t.Shape)
		if err == nil && r.sections[t.Name] != nil {
			err = ErrDuplicate
		}
		if err == nil {
			err = checkName(t.Name)
		}
		if err != nil {
			return nil, &FormatError{File: path, Tensor: t.Name, Err: err}
		}
		r.tensors = append(r.tensors, TensorInfo{Name: t.Name, DType: t.DType, Shape: t.Shape, File: path, End: size})
		r.sections[t.Name] = io.NewSectionReader(t.Data, 0, size)
		if t.Codes != nil {
			r.codes[t.Name] = t.Codes
		}
	}
	r.index()
	return r, nil
}

// index sorts the tensors by name.
func (r *Reader) index() {
	slices.SortFunc(r.tensors, func(a, b TensorInfo) int { return strings.Compare(a.Name, b.Name) })
	r.bare = isBare(r.tensors)
}

// addFile opens a single file.
func (r *Reader) addFile(path string) error {
	f, size, err := openRegular(path)
	if err != nil {
		return err
	}
	return r.add(f, size, path, nil)
}

// addFolder opens the files of a directory.
func (r *Reader) addFolder(path string, followLinks bool) error {
	d, err := openFolder(path, followLinks)
	if err != nil {
		return err
	}
	defer d.Close()
	f, size, err := d.open(IndexFile)
	if errors.Is(err, os.ErrNotExist) {
		f, size, err := d.open(SingleFile)
		if err != nil {
			return err
		}
		return r.add(f, size, d.path(SingleFile), nil)
	}
	if err != nil {
		return err
	}
	shards, err := readIndex(f, size, d.path(IndexFile))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, file := range slices.Compact(slices.Sorted(maps.Values(shards))) {
		f, size, err := d.open(file)
		if err != nil {
			return err
		}
		if err := r.add(f, size, d.path(file), shards); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(shards)) {
		if r.sections[name] == nil {
			return &FormatError{File: d.path(IndexFile), Tensor: name,
				Err: fmt.Errorf("%w: %s does not have it", ErrIndex, shards[name])}
		}
	}
	return nil
}

// add takes an open file. Where shards (tensor name to file name) are given, they must
// place every tensor of the file in it.
func (r *Reader) add(f *os.File, size int64, path string, shards map[string]string) error {
	r.files = append(r.files, f)
	h, err := ReadHeader(f, size, path)
	if err != nil {
		return err
	}
	for _, t := range h.Tensors {
		if shards != nil && shards[t.Name] != filepath.Base(path) {
			return &FormatError{File: path, Tensor: t.Name,
				Err: fmt.Errorf("%w: %s places it in %q", ErrIndex, IndexFile, shards[t.Name])}
		}
		r.sections[t.Name] = io.NewSectionReader(f, h.DataStart+t.Begin, t.Bytes())
	}
	r.tensors = append(r.tensors, h.Tensors...)
	for k, v := range h.Metadata {
		if _, ok := r.metadata[k]; !ok {
			r.metadata[k] = v
		}
	}
	return nil
}

// readIndex returns the weight_map of an index of that size: tensor name to file name.
// path stands for it in errors.
func readIndex(r io.Reader, size int64, path string) (map[string]string, error) {
	fail := func(tensor string, format string, args ...any) (map[string]string, error) {
		return nil, &FormatError{File: path, Tensor: tensor, Err: fmt.Errorf("%w: "+format, append([]any{ErrIndex},
			args...)...)}
	}
	if size > maxHeader {
		return fail("", "%d bytes, more than %d", size, maxHeader)
	}
	text, err := io.ReadAll(io.LimitReader(r, size))
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	d, err := newDecoder(text)
	if err != nil {
		return fail("", "%w", err)
	}
	var shards map[string]string
	var tensor string
	err = eachKey(d, func(key string) error {
		switch key {
		case "metadata": // total_size, which some published files get wrong
			var unused json.RawMessage
			return d.Decode(&unused)
		case "weight_map":
			shards = map[string]string{}
			return eachKey(d, func(name string) error {
				tensor = name
				file, err := readString(d)
				if err != nil {
					return err
				}
				shards[name] = file
				if !isPlainName(file) {
					return fmt.Errorf("%.200q is not the name of a file in the same directory", file)
				}
				return checkName(name)
			})
		}
		return fmt.Errorf("unknown key %.40q", key)
	})
	if err != nil {
		return fail(tensor, "%w", err)
	}
	if shards == nil {
		return fail("", "no weight_map")
	}
	return shards, nil
}

// isPlainName reports whether a name stays in its directory on every system.
func isPlainName(name string) bool {
	return filepath.IsLocal(name) && name != "." && !strings.ContainsAny(name, `/\:`) && len(name) <= 255 &&
		checkName(name) == nil
}

// Tensors lists all tensors, sorted by name.
func (r *Reader) Tensors() []TensorInfo { return r.tensors }

// Metadata is what the files' headers hold under __metadata__. Where shards
// disagree, the first file by name has its way.
func (r *Reader) Metadata() map[string]string { return r.metadata }

// Lookup finds a tensor by name.
func (r *Reader) Lookup(name string) (TensorInfo, bool) {
	i, ok := slices.BinarySearchFunc(r.tensors, name, func(t TensorInfo,
		name string) int {
		return strings.Compare(t.Name, name)
	})
	if !ok {
		return TensorInfo{}, false
	}
	return r.tensors[i], true
}

// Section is a fresh reader over the bytes of one tensor, for reading it in
// parts or at offsets. It fails only if there is no such tensor.
func (r *Reader) Section(name string) (*io.SectionReader, error) {
	s, ok := r.sections[name]
	if !ok {
		return nil, fmt.Errorf("checkpoint: no tensor %q", name)
	}
	return io.NewSectionReader(s, 0, s.Size()), nil
}

// Read returns the bytes of one tensor, little-endian and in C order.
func (r *Reader) Read(name string) ([]byte, error) {
	s, err := r.Section(name)
	if err != nil {
		return nil, err
	}
	b := make([]byte, s.Size())
	if _, err := io.ReadFull(s, b); err != nil {
		t, _ := r.Lookup(name)
		return nil, fmt.Errorf("checkpoint: %s: tensor %q: %w", t.File, name, err)
	}
	return b, nil
}

// Close closes the files. Sections obtained before fail from then on.
func (r *Reader) Close() error {
	var errs []error
	for _, f := range r.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
