package code

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aha-go/aha/rl/reward/code/internal/sandbox"
)

// goTools is the Go toolchain. Its fields are set when it is first used.
type goTools struct {
	mu       sync.Mutex
	tools    string            // folder with the commands compile and link
	standard map[string]bool   // packages of the standard library
	archives map[string]string // compiled packages, by import path
}

// goCallImports lists the packages that goCall imports, and package runtime, which all
// programs need.
var goCallImports = []string{"encoding/json", "os", "reflect", "runtime"}

// goCall is the source of a main function that calls the tested function. It reads the
// arguments as a JSON array from standard input and writes the result as JSON to file
// descriptor 3.
const goCall = `package main

import (
	callJSON "encoding/json"
	callOS "os"
	callReflect "reflect"
)

func main() {
	var args []callJSON.RawMessage
	if err := callJSON.NewDecoder(callOS.Stdin).Decode(&args); err != nil {
		panic(err)
	}
	function := callReflect.ValueOf(%s)
	if len(args) != function.Type().NumIn() {
		panic("wrong number of arguments")
	}
	var in []callReflect.Value
	for i, text := range args {
		arg := callReflect.New(function.Type().In(i))
		if err := callJSON.Unmarshal(text, arg.Interface()); err != nil {
			panic(err)
		}
		in = append(in, arg.Elem())
	}
	call := function.Call
	if function.Type().IsVariadic() {
		call = function.CallSlice
	}
	var results []any
	for _, out := range call(in) {
		results = append(results, out.Interface())
	}
	var result any = results
	if len(results) == 1 {
		result = results[0]
	}
	text, err := callJSON.Marshal(result)
	if err != nil {
		panic(err)
	}
	if _, err := callOS.NewFile(3, "result").Write(text); err != nil {
		panic(err)
	}
}
`

// goLimits are the limits of the compiler and the linker.
var goLimits = Limits{
	Wall: time.Minute, CPU: 20 * time.Second, Memory: 1 << 30, Output: 1 << 20, Disk: 64 << 20, Processes: 64,
}

// command compiles a program and returns the command that runs it.
func (t *goTools) command(
	ctx context.Context, v *Verifier, program, function string, c *clock,
) (sandbox.Command, error) {
	none := sandbox.Command{}
	source, imports, err := rewrite(program, function)
	if err != nil {
		return none, err
	}
	archives, err := t.packages(ctx, cmp.Or(v.GoCommand, "go"), imports)
	if err != nil {
		return none, err
	}
	var config bytes.Buffer
	expose := []string{t.tools}
	for _, p := range slices.Sorted(maps.Keys(archives)) {
		fmt.Fprintf(&config, "packagefile %s=%s\n", p, archives[p])
		expose = append(expose, archives[p])
	}
	const files, work = sandbox.ProgramDir + "/", sandbox.WorkDir + "/"
	compile := sandbox.Command{
		Argv: []string{filepath.Join(t.tools, "compile"), "-p=main", "-complete", "-pack", "-trimpath", sandbox.ProgramDir,
			"-importcfg", files + "importcfg", "-o", work + "main.a", files + "main.go"},
		Files:   map[string][]byte{"main.go": source, "importcfg": config.Bytes()},
		Outputs: []string{"main.a"},
	}
	if function != "" {
		compile.Files["call.go"] = fmt.Appendf(nil, goCall, function)
		compile.Argv = append(compile.Argv, files+"call.go")
	}
	object, err := build(ctx, v, compile, expose, c)
	if err != nil {
		return none, t.blame(err, archives)
	}
	binary, err := build(ctx, v, sandbox.Command{
		Argv: []string{filepath.Join(t.tools, "link"), "-s", "-w", "-buildmode=exe",
			"-importcfg", files + "importcfg", "-o", work + "main", files + "main.a"},
		Files:   map[string][]byte{"main.a": object, "importcfg": config.Bytes()},
		Outputs: []string{"main"},
	}, expose, c)
	if err != nil {
		return none, t.blame(err, archives)
	}
	return sandbox.Command{
		Argv:  []string{sandbox.ProgramDir + "/main"},
		Env:   []string{"GOMAXPROCS=1"},
		Files: map[string][]byte{"main": binary},
	}, nil
}

// build runs the compiler or the linker and returns its output file.
func build(ctx context.Context, v *Verifier, c sandbox.Command, expose []string, clock *clock) ([]byte, error) {
	c.Env, c.Expose, c.Limits, c.AcceptLess = []string{"GOMAXPROCS=1"}, expose, goLimits, v.AcceptLess
	result, err := clock.run(ctx, c)
	switch {
	case err != nil:
		return nil, err
	case result.Exceeded != "":
		return nil, &CompileError{(&LimitError{string(result.Exceeded)}).Error()}
	case result.ExitCode != 0:
		text := strings.ReplaceAll(strings.TrimSpace(string(result.Stdout)+string(result.Stderr)), sandbox.ProgramDir+"/", "")
		first, _, more := strings.Cut(text, "\n")
		if more {
			first += " …"
		}
		return nil, &CompileError{cmp.Or(first, result.Signal)}
	case result.Outputs[c.Outputs[0]] == nil:
		return nil, &CompileError{c.Argv[0] + " wrote nothing"}
	}
	return result.Outputs[c.Outputs[0]], nil
}

// blame returns err if the program does not compile. If the cause is an archive that has been
// removed, it clears the list of archives and returns another error, as it does if the compiler
// was called wrongly.
func (t *goTools) blame(err error, archives map[string]string) error {
	var e *CompileError
	if !errors.As(err, &e) {
		return err
	}
	for p, archive := range archives {
		if _, gone := os.Stat(archive); gone != nil {
			t.mu.Lock()
			defer t.mu.Unlock()
			clear(t.archives)
			return fmt.Errorf("code: archive of package %s: %w", p, gone)
		}
	}
	if strings.HasPrefix(e.Message, "compile: ") {
		return errors.New("code: " + e.Message)
	}
	return err
}

// rewrite renames the program's package to main and, if function is not "", its func main to
// _. It also returns the packages that the program imports.
func rewrite(program, function string) (source []byte, imports []string, err error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "main.go", program, parser.SkipObjectResolution)
	if err != nil {
		return nil, nil, &CompileError{err.Error()}
	}
	var names []*ast.Ident // in source order
	becomes := map[*ast.Ident]string{file.Name: "main"}
	names = append(names, file.Name)
	if function != "" {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "main" {
				names, becomes[f.Name] = append(names, f.Name), "_"
			}
		}
	}
	at := 0
	for _, name := range names {
		begin := files.File(file.FileStart).Offset(name.Pos())
		source = append(append(source, program[at:begin]...), becomes[name]...)
		at = begin + len(name.Name)
	}
	source = append(source, program[at:]...)
	for _, spec := range file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, nil, &CompileError{err.Error()}
		}
		imports = append(imports, p)
	}
	return source, imports, nil
}

// packages returns the archives of all packages of the standard library that have been
// imported so far, including imports, and of their dependencies. The go command builds missing
// ones.
func (t *goTools) packages(ctx context.Context, command string, imports []string) (map[string]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	run := func(args ...string) (string, error) {
		c := exec.CommandContext(ctx, command, args...)
		c.Dir = os.TempDir()
		c.Env = append(os.Environ(), "CGO_ENABLED=0", "GO111MODULE=off", "GOFLAGS=", "GOTOOLCHAIN=local", "GOWORK=off")
		out, err := c.Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
		}
		if err != nil {
			return "", fmt.Errorf("code: go %s: %w", args[0], errors.Join(context.Cause(ctx), err))
		}
		return strings.TrimSpace(string(out)), nil
	}
	if t.standard == nil {
		tools, err := run("env", "GOTOOLDIR")
		if err != nil {
			return nil, err
		}
		list, err := run("list", "std")
		if err != nil {
			return nil, err
		}
		t.tools, t.standard, t.archives = tools, map[string]bool{}, map[string]string{}
		for p := range strings.FieldsSeq(list) {
			t.standard[p] = !strings.HasPrefix(p, "vendor/")
		}
	}
	var missing []string
	for _, p := range append(slices.Clone(goCallImports), imports...) {
		if p == "unsafe" {
			continue // built into the compiler
		}
		if !t.standard[p] {
			return nil, &CompileError{fmt.Sprintf("package %q is not in the standard library", p)}
		}
		if t.archives[p] == "" && !slices.Contains(missing, p) {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}", "--"}
		list, err := run(append(args, missing...)...)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(list) {
			if p, archive, ok := strings.Cut(strings.TrimSpace(line), "="); ok && archive != "" {
				t.archives[p] = archive
			}
		}
		for _, p := range missing {
			if t.archives[p] == "" {
				return nil, fmt.Errorf("code: go list has no archive of package %s", p)
			}
		}
	}
	return maps.Clone(t.archives), nil
}
