package ctest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Include returns the folder with NVIDIA's headers, from the environment
// variable AHA_CUDA_INCLUDE. If that is not set, it skips the test.
func Include(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("AHA_CUDA_INCLUDE")
	if dir == "" {
		t.Skip("SKIP: AHA_CUDA_INCLUDE, the folder of cuda.h, nvrtc.h and cublasLt.h, is not set")
	}
	return dir
}

// Header returns the text of one of NVIDIA's headers.
func Header(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Include(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	// numbered matches enumerators and #defines.
	numbered = regexp.MustCompile(`\b([A-Z][A-Z0-9_]+)(?:\s*=\s*|[ \t]+)(0[xX][0-9a-fA-F]+|\d+)\b`)
	cName    = regexp.MustCompile(`^// ([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)$`)
)

// CheckConstants compares the constants of a Go file that have a C name as
// their trailing comment with the values in the header, and returns their
// number.
func CheckConstants(t *testing.T, file, header string) int {
	t.Helper()
	values := map[string]uint64{}
	for _, m := range numbered.FindAllStringSubmatch(header, -1) {
		v, err := strconv.ParseUint(m[2], 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		values[m[1]] = v
	}
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(f, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || spec.Comment == nil || len(spec.Values) != 1 {
			return true
		}
		lit, isLit := spec.Values[0].(*ast.BasicLit)
		name := cName.FindStringSubmatch(strings.TrimSpace(spec.Comment.List[0].Text))
		if !isLit || name == nil {
			return true
		}
		n++
		got, err := strconv.ParseUint(lit.Value, 0, 64)
		wanted, ok := values[name[1]]
		if !ok {
			t.Errorf("%s: the header has no %s", spec.Names[0], name[1])
		} else if err != nil || got != wanted {
			t.Errorf("%s = %s, but %s = %d", spec.Names[0], lit.Value, name[1], wanted)
		}
		return true
	})
	return n
}
