package tensor_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

func TestDocumentationHasEveryFunctionInAGroup(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var doc string
	var functions []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		doc += f.Doc.Text()
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.IsExported() {
				functions = append(functions, fn.Name.Name)
			}
		}
	}
	if len(functions) == 0 {
		t.Fatal("no functions")
	}
	for _, name := range functions {
		if !strings.Contains(doc, "["+name+"]") {
			t.Errorf("doc.go does not mention %s", name)
		}
	}
}
