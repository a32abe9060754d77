package aha_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// offTape are the files above tensor that may queue ops which no tape sees: updates of
// parameters, which have no gradient.
var offTape = []string{
	"model/train/adamw.go", "model/train/ema.go", "model/train/muon.go", "model/train/optimizer.go",
}

// An op off the tape is a silent wrong gradient: above tensor, functions of tensor are
// composed, and what has no gradient has a function with a name.
func TestNoLayerAboveTensorQueuesOps(t *testing.T) {
	found := map[string]bool{}
	for _, root := range []string{"attention", "moe", "mtp", "model", "rl", "distill"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			path = filepath.ToSlash(path)
			if path == "rl/reward" { // which knows no tensors
				return filepath.SkipDir
			}
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				if method, ok := call.Fun.(*ast.SelectorExpr); ok && method.Sel.Name == "Do" {
					found[path] = true
					if !slices.Contains(offTape, path) {
						t.Errorf("%s calls Do: compose functions of tensor", fset.Position(call.Pos()))
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range offTape {
		if !found[path] {
			t.Errorf("%s calls no Do: take it off the list", path)
		}
	}
}
