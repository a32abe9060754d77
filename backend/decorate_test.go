package backend_test

import (
	"bytes"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

// counted is a decorator as a user would write it: it counts ops.
type counted struct {
	backend.Decorator
	ops int
}

func (c *counted) Do(op backend.Op) error {
	c.ops++
	return c.Backend.Do(op)
}

// decorated returns b under each decorator of this package and under a user's own.
func decorated(t *testing.T, b backend.Backend) map[string]backend.Backend {
	t.Helper()
	var recorded backend.Backend
	if _, err := backend.Record(b, func(r backend.Backend) error { recorded = r; return nil }); err != nil {
		t.Fatal(err)
	}
	queue, err := backend.NewQueue(backend.Decorator{Backend: b})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]backend.Backend{
		"a queue":   queue,
		"Decorator": backend.Decorator{Backend: b},
		"a user's":  &counted{Decorator: backend.Decorator{Backend: b}},
		"two":       &counted{Decorator: backend.Decorator{Backend: backend.Trace(b, new(bytes.Buffer))}},
		"Trace":     backend.Trace(b, new(bytes.Buffer)),
		"Profile":   backend.Profile(b),
		"CheckNaN":  backend.CheckNaN(b),
		"Fallback":  backend.Fallback(b, b),
		"Record":    recorded,
	}
}

func packedLen(b backend.Backend) (backend.DType, int) {
	p, ok := b.(backend.Packer)
	if !ok {
		return backend.F32, 0
	}
	return p.PackedLen(backend.BFloat16, backend.F32, 20, 30)
}

func TestDecoratorsForwardOptionalInterfaces(t *testing.T) {
	t.Setenv("AHA_MEMORY", "1GiB")
	c := newCPU(t)
	dtype, length := packedLen(c)
	if length == 0 || backend.Path(c) == "" {
		t.Fatal("the CPU does not pack or has no path: there is nothing to forward")
	}
	for name, b := range decorated(t, c) {
		if dt, n := packedLen(b); dt != dtype || n != length {
			t.Errorf("%s packs to %d of %s, the wrapped backend to %d of %s", name, n, dt, length, dtype)
		}
		if got, want := b.Name()+" "+backend.Path(b), c.Name()+" "+backend.Path(c); got != want {
			t.Errorf("%s is %q, the wrapped backend %q", name, got, want)
		}
		if !backend.Supports(b, "RMSNorm", backend.BF16) || backend.Supports(b, "SequenceBalance", backend.BF16) {
			t.Errorf("%s does not report what the wrapped backend supports", name)
		}
		const holder = "for KV cache do not fit"
		if _, err := backend.AllocFor(b, backend.KVCache, 2<<30); err == nil || !strings.Contains(err.Error(), holder) {
			t.Errorf("%s: error %v, want %q: the wrapped backend counts by holder", name, err, holder)
		}
	}
}

func TestDecoratorsClaimNothingThatTheBackendInsideLacks(t *testing.T) {
	plain := without(newCPU(t))
	for name, b := range decorated(t, plain) {
		if _, n := packedLen(b); n != 0 {
			t.Errorf("%s packs although the wrapped backend does not", name)
		}
		if p := backend.Path(b); p != "" {
			t.Errorf("%s has path %q although the wrapped backend has none", name, p)
		}
		if backend.Supports(b, "RMSNorm", backend.F32) {
			t.Errorf("%s reports ops although the wrapped backend does not", name)
		}
		buf, err := backend.AllocFor(b, backend.KVCache, 8)
		if err != nil {
			t.Fatal(err)
		}
		if plain.buffers != 1 {
			t.Errorf("%s: the wrapped backend has %d buffers, want 1", name, plain.buffers)
		}
		b.Free(buf)
	}
}

func TestAsFindsWhatIsDecorated(t *testing.T) {
	c := without(newCPU(t))
	for name, b := range decorated(t, c) {
		if found, ok := backend.As[*lacking](b); !ok || found != c {
			t.Errorf("%s: As finds %v, %t", name, found, ok)
		}
	}
	inner := &counted{Decorator: backend.Decorator{Backend: c}}
	outer := &counted{Decorator: backend.Decorator{Backend: backend.CheckNaN(inner)}}
	if found, ok := backend.As[*counted](outer); !ok || found != outer {
		t.Error("As does not find the outermost one")
	}
	if found, ok := backend.As[*backend.Profiler](outer); ok || found != nil {
		t.Errorf("As finds a Profiler where there is none: %v", found)
	}
}

// notOptional lists the exported interfaces that are not optional interfaces of a
// backend.
var notOptional = []string{"Backend", "Buffer", "Captured", "Decomposer", "Event", "Op"}

// notForwarded lists the optional interfaces that would let ops bypass a decorator.
var notForwarded = []string{"Capturer", "Queuer"}

// Decorator must forward every optional interface, except those that take ops themselves.
func TestDecoratorHasEveryOptionalInterface(t *testing.T) {
	pkg := checkedPackage(t)
	decorator := pkg.Scope().Lookup("Decorator").Type()
	left := slices.Clone(notOptional)
	optional := 0
	for _, name := range pkg.Scope().Names() {
		obj, ok := pkg.Scope().Lookup(name).(*types.TypeName)
		if !ok || !obj.Exported() || !types.IsInterface(obj.Type()) {
			continue
		}
		if i := slices.Index(left, name); i >= 0 {
			left = slices.Delete(left, i, i+1)
			continue
		}
		optional++
		m, wrong := types.MissingMethod(decorator, obj.Type().Underlying().(*types.Interface), true)
		if slices.Contains(notForwarded, name) {
			if m == nil {
				t.Errorf("Decorator is a %s: ops bypass decorators", name)
			}
			continue
		}
		if m != nil {
			t.Errorf("Decorator lacks %s of %s (or has another of that name: %t): decorated backends lose it", m.Name(),
				name, wrong)
		}
	}
	if len(left) > 0 {
		t.Errorf("the package has no interfaces %v", left)
	}
	if optional < 7 {
		t.Errorf("%d optional interfaces were found", optional)
	}
}

// checkedPackage type-checks package backend. Errors about imports are ignored, since the
// imported packages are not needed.
func checkedPackage(t *testing.T) *types.Package {
	t.Helper()
	fset := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	conf := types.Config{Importer: importer.Default(), Error: func(error) {}}
	pkg, _ := conf.Check("backend", fset, files, nil)
	return pkg
}
