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

// pythonCall is the source of call.py, which calls the tested function of a program.
//
//go:embed call.py
var pythonCall []byte

// libraries lists the paths where dynamic executables find shared libraries.
var libraries = []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache"}

// pythonTools is the Python interpreter. Its fields are set when it is first used.
type pythonTools struct {
	mu         sync.Mutex
	executable string
	expose     []string
}

// pythonPaths is a Python program that prints the paths of its interpreter. In a virtual
// environment the first path stays a symbolic link, by which Python finds the environment.
const pythonPaths = `import json, os, sys
own = sys.executable if sys.prefix != sys.base_prefix else os.path.realpath(sys.executable)
print(json.dumps([own, os.path.realpath(own), sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix]))`

// find runs the interpreter once to ask for its paths. name may be a script that starts it.
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
		return fmt.Errorf("code: Python interpreter: %s returned the paths %q", name, out)
	}
	expose := append([]string{}, libraries...)
	for i, p := range paths {
		if p = path.Clean(p); p == "/usr" {
			continue // the interpreter of the distribution, which lies in /usr/lib
		}
		if i < 2 && (strings.HasPrefix(p, "/proc/") || !path.IsAbs(p)) {
			return fmt.Errorf("code: Python interpreter: %s has the path %q, want an absolute path outside of /proc", name, p)
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
		// No packages of the user, no .pyc files. Python reads PYTHONHASHSEED, so -E is not set.
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
