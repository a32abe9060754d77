// Package dynlib finds and opens shared libraries at run time, without cgo. A
// library that is not found gives an error with every place tried, the reason
// each was refused, and what to install.
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

// Spec says which library to open and where to look for it.
type Spec struct {
	Title    string   // what it is called in errors, such as "libcuda, the NVIDIA driver"
	Override string   // environment variable that may hold the library's path
	Names    []string // file names in order of preference; patterns are matched in Places only
	Places   []Place  // folders searched, in order, after the loader's own search
	Beside   string   // if set, a pattern of libraries to load first from the same folder
	Install  string   // what to install, the last line of an error
}

// Place is a folder to search in, or a pattern of folders.
type Place struct {
	From string // where the folder is known from, such as "$CUDA_HOME"; may be empty
	Dir  string // pattern of folders; empty where From is not set
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
	if strings.HasPrefix(why, t.Path) { // the loader's message begins with the path
		return why
	}
	return t.Path + ": " + why
}

// OpenError reports a library that could not be opened.
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

// Open opens the first library of s that loads. Where the environment variable
// s.Override is set, its value is the only place tried.
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

// openIn tries the files in dir that carry one of the names.
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

// load opens path, after the libraries that it needs from its own folder.
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

// Bind returns the addresses of names. If some are missing, one error lists them
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
		return nil, fmt.Errorf("%s lacks %s: it is too old or another library", l.Path, strings.Join(missing, ", "))
	}
	return addrs, nil
}

// GoString copies the C string at addr, which lies outside the Go heap.
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
