package aha_test

import (
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/aha-go/aha"

// Groups of packages by their dependencies. A package belongs to the group with the longest
// name that is a prefix of its path.
var (
	tensors = []string{"backend", "backend/tensor"}
	files   = []string{"model/checkpoint", "model/gguf"}
	blocks  = append(append([]string{"attention", "moe", "model/tokenizer"}, files...), tensors...)
	models  = append([]string{"model"}, blocks...)
	systems = append([]string{"mtp", "model/train", "model/pipeline", "backend/comm", "rl/reward"}, models...)
)

// layers lists, for each group, the other groups that it may import: dependencies point
// down only. No group may import a driver (backend/cpu, backend/cuda, backend/comm/mpi,
// backend/comm/nccl): examples and tests choose the device.
var layers = map[string][]string{
	"": nil, // doc.go

	"backend":             nil,
	"backend/cpu":         {"backend"},
	"backend/cuda":        {"backend"},
	"backend/comm":        {"backend"},
	"backend/comm/mpi":    {"backend", "backend/comm"},
	"backend/comm/nccl":   {"backend", "backend/comm", "backend/cuda"},
	"backend/backendtest": {"backend"},
	"backend/tensor":      {"backend"},

	"attention":        tensors,
	"moe":              append([]string{"backend/comm"}, tensors...),
	"model/checkpoint": tensors,
	"model/gguf":       {"backend"},
	"model/tokenizer":  files, // files that contain tokenizers
	"model":            blocks,
	"model/lora":       models,

	"mtp":            models,
	"model/train":    append([]string{"backend/comm"}, models...),
	"model/pipeline": append([]string{"backend/comm"}, models...),

	"rl/reward":  nil,
	"rl/rollout": append([]string{"rl/reward"}, models...),
	"rl":         append([]string{"rl/rollout"}, systems...),
	"distill":    append([]string{"rl/rollout"}, systems...),
}

// drivers are the packages that load shared libraries at run time.
var drivers = []string{"backend/cuda", "backend/comm/mpi", "backend/comm/nccl"}

// pkg is the output of go list for one package, without its tests.
type pkg struct {
	ImportPath    string
	Imports, Deps []string
}

// path returns p's path within the module.
func (p pkg) path() string { return local(p.ImportPath) }

func local(importPath string) string {
	return strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
}

func isLocal(importPath string) bool {
	return importPath == module || strings.HasPrefix(importPath, module+"/")
}

func within(path, group string) bool {
	return group == "" && path == "" || group != "" && (path == group || strings.HasPrefix(path, group+"/"))
}

// group returns the layer that path belongs to.
func group(path string) (string, bool) {
	best, found := "", false
	for g := range layers {
		if within(path, g) && len(g) >= len(best) {
			best, found = g, true
		}
	}
	return best, found
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var list []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func TestDependenciesPointDown(t *testing.T) {
	for _, p := range packages(t) {
		if within(p.path(), "examples") {
			continue
		}
		own, ok := group(p.path())
		if !ok {
			t.Errorf("%s is in no layer: only the folders of the design hold code", p.path())
			continue
		}
		for _, i := range p.Imports {
			if !isLocal(i) {
				continue
			}
			g, ok := group(local(i))
			if !ok {
				t.Errorf("%s imports %s, which is in no layer", p.path(), local(i))
			} else if g != own && !slices.Contains(layers[own], g) {
				t.Errorf("%s imports %s: %q may import %q only", p.path(), local(i), own, layers[own])
			}
		}
	}
}

// The subpackages may also make system calls.
func TestRewardImportsTheStandardLibraryOnly(t *testing.T) {
	for _, p := range packages(t) {
		if !within(p.path(), "rl/reward") {
			continue
		}
		for _, i := range p.Deps {
			sub := p.path() != "rl/reward"
			if domain, _, _ := strings.Cut(i, "/"); !strings.Contains(domain, ".") ||
				strings.HasPrefix(i, module+"/rl/reward/internal/") ||
				sub && (isLocal(i) && within(local(i), "rl/reward") || i == "golang.org/x/sys/unix") {
				continue
			}
			t.Errorf("%s depends on %s", p.path(), i)
		}
	}
}

func TestOnlyDriversAndExamplesReachPurego(t *testing.T) {
	for _, p := range packages(t) {
		may := within(p.path(), "examples") || slices.ContainsFunc(drivers, func(d string) bool {
			return within(p.path(),
				d)
		})
		if may {
			continue
		}
		for _, i := range p.Deps {
			if i == "github.com/ebitengine/purego" || strings.HasPrefix(i, "github.com/ebitengine/purego/") {
				t.Errorf("%s reaches %s, which makes every binary with it dynamic", p.path(), i)
			}
		}
	}
}

func TestTheEmulatorIsForTests(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(p.Imports, module+"/backend/cuda/internal/emu") {
			t.Errorf("%s imports the emulator of CUDA outside its tests", p.path())
		}
	}
}

func TestNothingNeedsCgo(t *testing.T) {
	for _, p := range packages(t) {
		if !within(p.path(), "examples") && slices.Contains(p.Imports, "C") {
			t.Errorf("%s uses cgo", p.path())
		}
	}
}

// A program is static unless it imports a driver that loads shared libraries.
func TestOnlyDriversMakeAProgramDynamic(t *testing.T) {
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for driver, dynamic := range map[string]bool{"backend/cpu": false, "backend/cuda": true} {
		// The overlay shows the program's source to the go command as if it were in the
		// module.
		source, overlay := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
		text := fmt.Sprintf("package main\n\nimport (\n\t\"fmt\"\n\n\t%q\n\t_ %q\n)\n\n"+
			"func main() { fmt.Println(backend.Open(\"\")) }\n", module+"/backend", module+"/"+driver)
		replace, err := json.Marshal(map[string]any{
			"Replace": map[string]string{filepath.Join(root, "overlaid", "main.go"): source},
		})
		if err := errors.Join(err, os.WriteFile(source, []byte(text), 0o644),
			os.WriteFile(overlay, replace, 0o644)); err != nil {
			t.Fatal(err)
		}
		program := filepath.Join(dir, "program")
		build := exec.Command("go", "build", "-overlay", overlay, "-o", program, "./overlaid")
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", driver, err, out)
		}
		file, err := elf.Open(program)
		if err != nil {
			t.Fatal(err)
		}
		interpreted := slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
		file.Close()
		if interpreted != dynamic {
			t.Errorf("a program with %s is dynamic: %t, want %t", driver, interpreted, dynamic)
		}
	}
}

// offTape are the files above tensor that may queue ops without recording them on a tape:
// they update parameters, which needs no gradient.
var offTape = []string{
	"model/train/adamw.go", "model/train/ema.go", "model/train/muon.go", "model/train/optimizer.go",
}

// An op that is not recorded on the tape gives a wrong gradient without an error. So
// packages above tensor must compose tensor's functions, and tensor has a named function
// for every operation without a gradient.
func TestNoLayerAboveTensorQueuesOps(t *testing.T) {
	found := map[string]bool{}
	for _, root := range []string{"attention", "moe", "mtp", "model", "rl", "distill"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			path = filepath.ToSlash(path)
			if path == "rl/reward" { // does not use tensors
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
