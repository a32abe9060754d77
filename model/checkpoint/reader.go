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

// File names in Hugging Face repositories.
const (
	SingleFile = "model.safetensors"            // all weights
	IndexFile  = "model.safetensors.index.json" // maps weights to shards
)

// Reader gives access to the tensors of a safetensors file, of a sharded set, or of a file
// of another format. Several goroutines may use it at once.
type Reader struct {
	path     string       // path that was opened
	tensors  []TensorInfo // sorted by name
	bare     bool         // whether names lack the prefix "model."
	sections map[string]*io.SectionReader
	codes    map[string]*Codes // codes of the tensors that have any
	metadata map[string]string
	files    []io.Closer
}

// OpenOptions describes which files may be opened.
type OpenOptions struct {
	// FollowLinks allows files of a directory to be symbolic links that leave it. If false,
	// links may point only to files within the directory or, from a snapshot in the Hugging
	// Face cache (models--…/snapshots/…), to files of the same repository in the cache;
	// other links are [ErrLink].
	FollowLinks bool
}

// Open calls [OpenWith] with the zero options.
func Open(path string) (*Reader, error) { return OpenWith(path, OpenOptions{}) }

// OpenWith opens a safetensors file, or a directory with [IndexFile] or, if there is none,
// [SingleFile]. It reads and checks every header. Errors name the file and the tensor, and
// wrap a [FormatError] if the content is at fault.
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

// Foreign is a tensor of a file of another format, in the form that a [Reader] presents it.
type Foreign struct {
	Name  string
	DType DType
	Shape []int       // outermost first
	Data  io.ReaderAt // the tensor's bytes, little-endian and in C order
	// Codes are the quantised values of the tensor, which parameters packed in the same
	// format take unchanged. If nil, there are none.
	Codes *Codes
}

// Codes reads the values of a tensor in a format of integers with scales.
type Codes struct {
	Format backend.Format
	// Read sets codes to whole rows, starting at row first, with one element of type
	// Format.Element per value. It sets scales and, if Format has them, minimums to those
	// of the rows' blocks, little-endian.
	Read func(first int, codes, scales, minimums []byte) error
}

// NewReader returns a Reader of tensors of another format. path is the name of their file
// in errors. Closing the Reader closes file. Errors wrap a [FormatError].
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

// add adds an open file. If shards (tensor name to file name) is not nil, it must assign
// every tensor of the file to it.
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

// readIndex returns the weight_map of an index of the given size: tensor name to file name.
// path is the name of the index in errors.
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
		case "metadata": // ignored: total_size is wrong in some published files
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

// isPlainName reports whether a file name cannot leave its directory on any system.
func isPlainName(name string) bool {
	return filepath.IsLocal(name) && name != "." && !strings.ContainsAny(name, `/\:`) && len(name) <= 255 &&
		checkName(name) == nil
}

// Tensors returns all tensors, sorted by name.
func (r *Reader) Tensors() []TensorInfo { return r.tensors }

// Metadata returns the contents of __metadata__ in the files' headers. If shards disagree,
// the value of the first file by name is used.
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

// Section returns a new reader over the bytes of one tensor. It fails only if there is no
// such tensor.
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

// Close closes the files. Reading from earlier Sections then fails.
func (r *Reader) Close() error {
	var errs []error
	for _, f := range r.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
