package code

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"strings"
	"sync"

	"github.com/aha-go/aha/rl/reward/code/internal/sandbox"
)

// call.py calls a function of a program.
//
//go:embed call.py
var pythonCall []byte

// libraries are where dynamic executables find what they need.
var libraries = []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache"}

// pythonTools is an interpreter that has been found.
type pythonTools struct {
	mu         sync.Mutex
	executable string
	expose     []string
}

// pythonPaths prints where an interpreter lies. The executable is the real one unless it is
// of a virtual environment, which Python finds by the link.
const pythonPaths = `import json, os, sys
own = sys.executable if sys.prefix != sys.base_prefix else os.path.realpath(sys.executable)
print(json.dumps([own, os.path.realpath(own), sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix]))`

// find asks the interpreter where it lies, once. Name may be a script that starts it.
func (t *pythonTools) find(ctx context.Context, name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.executable != "" {
		return nil
	}
	if name == "" {
		name = "python3"
	}
	out, err := exec.CommandContext(ctx, name, "-I", "-c", pythonPaths).Output()
	if err != nil {
		return fmt.Errorf("code: Python interpreter: %w", errors.Join(context.Cause(ctx), err))
	}
	var paths []string
	if err := json.Unmarshal(out, &paths); err != nil || len(paths) < 3 {
		return fmt.Errorf("code: Python interpreter: %s tells its place as %q", name, out)
	}
	expose := append([]string{}, libraries...)
	for i, p := range paths {
		if p = path.Clean(p); p == "/usr" {
			continue // of a distribution: in /usr/lib
		}
		if i < 2 && (strings.HasPrefix(p, "/proc/") || !path.IsAbs(p)) {
			return fmt.Errorf("code: Python interpreter: %s lies at %q", name, p)
		}
		expose = append(expose, p)
	}
	t.executable, t.expose = paths[0], expose
	return nil
}

func (t *pythonTools) command(ctx context.Context, name, program, function string) (sandbox.Command, error) {
	if err := t.find(ctx, name); err != nil {
		return sandbox.Command{}, err
	}
	c := sandbox.Command{
		// No user's packages, no compiled files; the environment counts, for PYTHONHASHSEED.
		Argv:   []string{t.executable, "-s", "-B", "-X", "utf8", sandbox.ProgramDir + "/main.py"},
		Env:    []string{"PYTHONHASHSEED=0"}, // sets have the same order in every run
		Files:  map[string][]byte{"main.py": []byte(program)},
		Expose: t.expose,
	}
	if function != "" {
		c.Argv[len(c.Argv)-1] = sandbox.ProgramDir + "/call.py"
		c.Argv = append(c.Argv, function)
		c.Files["call.py"] = pythonCall
	}
	return c, nil
}
