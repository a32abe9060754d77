package nvrtc

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"unsafe"
)

// Compile compiles CUDA C++ to a cubin, the binary form for one architecture.
// name is the source's name in messages. headers maps the names in #include
// directives to their text, so no include path is needed. arch is a real
// architecture, such as "sm_90"; options are further options of NVRTC, such as
// "--fmad=false".
//
// The log holds the compiler's warnings. A failure is an *Error with the log.
func (c *Compiler) Compile(
	name, source string, headers map[string]string, arch string, options []string,
) (cubin []byte, log string, err error) {
	p := &program{c: c, what: name + " for " + arch}
	if err := p.create(name, source, headers); err != nil {
		return nil, "", err
	}
	defer func() {
		if e := p.destroy(); e != nil && err == nil {
			cubin, err = nil, e
		}
	}()
	failed := p.compile(append([]string{"--gpu-architecture=" + arch}, options...))
	log, err = p.log()
	if failed != nil { // takes precedence over an error of reading the log
		failed.Log = log
		return nil, log, failed
	}
	if err != nil {
		return nil, "", err
	}
	cubin, err = p.cubin()
	return cubin, log, err
}

// program is one compilation.
type program struct {
	c      *Compiler
	what   string // name for error messages
	handle uintptr
}

func (p *program) failure(fn int, r Result) *Error {
	e := p.c.failure(fn, r)
	e.Program = p.what
	return e
}

func (p *program) create(name, source string, headers map[string]string) error {
	names := slices.Sorted(maps.Keys(headers))
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = headers[n]
	}
	src, title := cStrings(source), cStrings(name)
	text, include := cStrings(texts...), cStrings(names...)
	r := p.c.call(createProgram, uintptr(unsafe.Pointer(&p.handle)),
		uintptr(unsafe.Pointer(src[0])), uintptr(unsafe.Pointer(title[0])), uintptr(len(names)),
		uintptr(unsafe.Pointer(&text[0])), uintptr(unsafe.Pointer(&include[0])))
	runtime.KeepAlive(text)
	runtime.KeepAlive(include)
	if r != success {
		return p.failure(createProgram, r)
	}
	return nil
}

func (p *program) destroy() error {
	if r := p.c.call(destroyProgram, uintptr(unsafe.Pointer(&p.handle))); r != success {
		return p.failure(destroyProgram, r)
	}
	return nil
}

func (p *program) compile(options []string) *Error {
	list := cStrings(options...)
	r := p.c.call(compileProgram, p.handle, uintptr(len(options)), uintptr(unsafe.Pointer(&list[0])))
	runtime.KeepAlive(list)
	if r != success {
		return p.failure(compileProgram, r)
	}
	return nil
}

func (p *program) log() (string, error) {
	text, err := p.read(getProgramLogSize, getProgramLog)
	return strings.TrimRight(string(text), "\x00"), err
}

func (p *program) cubin() ([]byte, error) { return p.read(getCUBINSize, getCUBIN) }

// read gets a size and then that many bytes.
func (p *program) read(size, get int) ([]byte, error) {
	n := new(uintptr)
	if r := p.c.call(size, p.handle, uintptr(unsafe.Pointer(n))); r != success {
		return nil, p.failure(size, r)
	}
	buf := make([]byte, *n+1) // one byte more, since an empty slice has no address
	if r := p.c.call(get, p.handle, uintptr(unsafe.Pointer(&buf[0]))); r != success {
		return nil, p.failure(get, r)
	}
	return buf[:*n], nil
}

// cStrings returns the addresses of C copies of list, followed by that of an
// empty string.
func cStrings(list ...string) []*byte {
	ptrs := make([]*byte, len(list)+1)
	for i, s := range append(slices.Clone(list), "") {
		ptrs[i] = unsafe.SliceData(append([]byte(s), 0))
	}
	return ptrs
}
