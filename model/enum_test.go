package model_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/tokenizer/chat"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/reward/policy"
)

// enums are all exported enums that this test can import.
var enums = []any{
	attention.RoPEScalingKind(0),
	backend.Access(0), backend.BinaryFn(0), backend.Distribution(0), backend.DType(0),
	backend.GroupScore(0), backend.Layout(0), backend.ReduceFn(0), backend.Scoring(0), backend.UnaryFn(0),
	tensor.Kind(0),
	model.Finish(0),
	chat.Thinking(0),
	reward.Status(0),
	policy.Kind(0), policy.Part(0),
}

// foreign are enums of file formats, which have values without a constant.
var foreign = []string{"gguf.Type"}

// Every constant of an enum prints as a distinct word, and any other value as Type(n). A
// new enum must be added to the list.
func TestEnumsPrintAsWords(t *testing.T) {
	declared := declaredEnums(t)
	for _, e := range enums {
		typ := reflect.TypeOf(e)
		constants, ok := declared[typ.String()]
		if !ok {
			t.Errorf("%s is not an enum of the module", typ)
		}
		delete(declared, typ.String())
		words := map[string]bool{}
		for v := range 256 {
			x := reflect.New(typ).Elem()
			x.SetUint(uint64(v))
			if word := fmt.Sprint(x.Interface()); word != fmt.Sprintf("%s(%d)", typ.Name(), v) {
				words[word] = true
				if strings.Trim(word, "0123456789") == "" {
					t.Errorf("%s(%d) prints as %q", typ, v, word)
				}
			}
		}
		if len(words) != constants {
			t.Errorf("%s has %d constants and prints as %q", typ, constants, slices.Sorted(maps.Keys(words)))
		}
	}
	for _, name := range foreign {
		delete(declared, name)
	}
	for name, constants := range declared {
		t.Errorf("%s, an enum of %d constants, is not in the list of this test: add it, and make sure "+
			"that it prints as words", name, constants)
	}
}

// declaredEnums returns the exported integer types of the module's public packages that
// have at least two constants, with the number of these.
func declaredEnums(t *testing.T) map[string]int {
	t.Helper()
	types, constants := map[string]bool{}, map[string]int{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := path != ".." && d.Name()[0] == '.'
		if d.IsDir() && (hidden || slices.Contains([]string{"internal", "examples", "testdata"}, d.Name())) {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if g, ok := decl.(*ast.GenDecl); ok {
				collectEnums(file.Name.Name, g, types, constants)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(constants, func(name string, n int) bool { return !types[name] || n < 2 })
	return constants
}

// collectEnums records the exported integer types that g declares and counts its constants
// by type.
func collectEnums(pkg string, g *ast.GenDecl, types map[string]bool, constants map[string]int) {
	last := ""
	for _, spec := range g.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if base, ok := s.Type.(*ast.Ident); ok && s.Name.IsExported() && isInteger(base.Name) {
				types[pkg+"."+s.Name.Name] = true
			}
		case *ast.ValueSpec:
			if g.Tok != token.CONST {
				continue
			}
			if s.Type != nil || len(s.Values) > 0 { // otherwise the type of the previous line applies, in an iota block
				last = ""
				if id, ok := s.Type.(*ast.Ident); ok {
					last = pkg + "." + id.Name
				}
			}
			if last != "" {
				constants[last] += len(s.Names)
			}
		}
	}
}

func isInteger(name string) bool {
	return name == "byte" || strings.HasPrefix(strings.TrimPrefix(name, "u"), "int")
}
