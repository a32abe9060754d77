// Package dynlib finds and opens shared libraries at run time, without cgo. If a
// library is not found, the error lists every place that was tried, why it was
// refused, and what to install.
//
// A library stays loaded for the life of the process.
package dynlib

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"
)

// Spec specifies a library to open and where to search for it.
type Spec struct {
	Title    string   // name in errors, such as "libcuda, the NVIDIA driver"
	Override string   // environment variable that may hold the path of the library
	Names    []string // file names in order of preference; they may be patterns, which are matched only in Places
	Places   []Place  // folders to search, in order, after the loader's own search
	Beside   string   // if set, a pattern of libraries in the same folder to load first
	Install  string   // what to install; the last line of an error
}

// Place is a folder to search, or a pattern of folders.
type Place struct {
	From string // source of the folder, such as "$CUDA_HOME"; may be empty
	Dir  string // pattern of folders; empty if the variable in From is not set
}

// Library is an open shared library.
type Library struct {
	Path   string // the file that the loader found
	handle uintptr
}

// Try is one place that was tried and the reason it was refused.
type Try struct {
	Path string
	Err  error
}

func (t Try) String() string {
	why := t.Err.Error()
	if strings.HasPrefix(why, t.Path) { // the loader's message starts with the path
		return why
	}
	return t.Path + ": " + why
}

// OpenError is the error of a library that could not be opened.
type OpenError struct {
	Spec  Spec
	Tries []Try
}

func (e *OpenError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cannot open %s; tried:\n", e.Spec.Title)
	for _, t := range e.Tries {
		fmt.Fprintf(&b, "\t%s\n", t)
	}
	b.WriteString(e.Spec.Install)
	return b.String()
}

// Unwrap returns the reasons, so that errors.Is finds errors.ErrUnsupported on
// systems without CUDA.
func (e *OpenError) Unwrap() []error {
	var errs []error
	for _, t := range e.Tries {
		errs = append(errs, t.Err)
	}
	return errs
}

var (
	errNotSet   = errors.New("not set")
	errNoFolder = errors.New("no such folder")
)

// Open opens the first library of s that can be loaded. If the environment
// variable s.Override is set, Open tries only its value.
func Open(s Spec) (*Library, error) {
	if !supported {
		err := fmt.Errorf("libraries are loaded on Linux and Windows, amd64 and arm64: %w", errors.ErrUnsupported)
		return nil, &OpenError{s, []Try{{runtime.GOOS + "/" + runtime.GOARCH, err}}}
	}
	if path := os.Getenv(s.Override); path != "" {
		lib, err := s.load(path)
		if err != nil {
			return nil, &OpenError{s, []Try{{"$" + s.Override + " = " + path, err}}}
		}
		return lib, nil
	}
	tries := []Try{{"$" + s.Override, errNotSet}}
	if loaderSearches {
		for _, name := range s.Names {
			lib, err := s.load(name)
			if err == nil {
				return lib, nil
			}
			tries = append(tries, Try{name, err})
		}
	}
	for _, place := range s.Places {
		if place.Dir == "" {
			tries = append(tries, Try{place.From, errNotSet})
			continue
		}
		dirs := newestFirst(place.Dir)
		if len(dirs) == 0 {
			tries = append(tries, Try{place.Dir, errNoFolder})
		}
		for _, dir := range dirs {
			lib, refused := s.openIn(dir)
			if lib != nil {
				return lib, nil
			}
			tries = append(tries, refused...)
		}
	}
	return nil, &OpenError{s, tries}
}

// openIn tries the files in dir that match one of the names.
func (s *Spec) openIn(dir string) (*Library, []Try) {
	var tries []Try
	for _, name := range s.Names {
		for _, path := range newestFirst(filepath.Join(dir, name)) {
			lib, err := s.load(path)
			if err == nil {
				return lib, nil
			}
			tries = append(tries, Try{path, err})
		}
	}
	if tries == nil {
		tries = []Try{{dir, fmt.Errorf("no %s there", strings.Join(s.Names, " or "))}}
	}
	return nil, tries
}

// load opens path, after the libraries in the same folder that it needs.
func (s *Spec) load(path string) (*Library, error) {
	if dir := filepath.Dir(path); s.Beside != "" && dir != "." {
		for _, first := range newestFirst(filepath.Join(dir, s.Beside)) {
			if _, err := open(first); err != nil {
				return nil, err
			}
		}
	}
	handle, err := open(path)
	if err != nil {
		return nil, err
	}
	return &Library{location(handle, path), handle}, nil
}

// Symbol returns the address of the function or variable name.
func (l *Library) Symbol(name string) (uintptr, error) {
	addr, err := symbol(l.handle, name)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", l.Path, err)
	}
	return addr, nil
}

// Bind returns the addresses of names. If any are missing, the error lists them
// all.
func (l *Library) Bind(names []string) ([]uintptr, error) {
	addrs := make([]uintptr, len(names))
	var missing []string
	for i, name := range names {
		addr, err := symbol(l.handle, name)
		if err != nil {
			missing = append(missing, name)
		}
		addrs[i] = addr
	}
	if missing != nil {
		return nil, fmt.Errorf("%s lacks %s: it is too old or not the right library", l.Path, strings.Join(missing, ", "))
	}
	return addrs, nil
}

// GoString copies the C string at addr, which is outside of the Go heap.
func GoString(addr uintptr) string {
	if addr == 0 {
		return ""
	}
	p := *(*unsafe.Pointer)(unsafe.Pointer(&addr))
	n := 0
	for *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}
