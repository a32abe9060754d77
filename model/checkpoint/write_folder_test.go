package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// someFolder returns a folder of two shards whose bytes are all n.
func someFolder(n byte) Folder {
	var f Folder
	for _, name := range []string{"a", "b"} {
		f.Tensors = append(f.Tensors, Tensor{Name: name, DType: U8, Shape: []int{3}, Data: []byte{n, n, n}})
	}
	f.ShardBytes = 4
	f.Files = map[string]func(io.Writer) error{"config.json": func(w io.Writer) error {
		_, err := fmt.Fprint(w, n)
		return err
	}}
	return f
}

// folderNumber checks that dir is a complete someFolder and returns its n.
func folderNumber(t *testing.T, dir string) byte {
	t.Helper()
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	config, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var n byte
	if _, err := fmt.Sscan(string(config), &n); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		x, err := r.Read(name)
		if err != nil || !slices.Equal(x, []byte{n, n, n}) {
			t.Fatalf("%s is %v, but the config is of folder %d; error %v", name, x, n, err)
		}
	}
	return n
}

// Whichever step fails, the folder is the old one or the new one.
func TestFailedFolderLeavesTheOldOne(t *testing.T) {
	broken := errors.New("disk on fire")
	for at := 0; ; at++ {
		parent := t.TempDir()
		dir := filepath.Join(parent, "model")
		if err := WriteFolder(dir, someFolder(1)); err != nil {
			t.Fatal(err)
		}
		left, renamed := at, false
		err := writeFolder(dir, someFolder(2), func(op, path string) error {
			if left--; left < 0 {
				return broken
			}
			renamed = renamed || op == "rename"
			return nil
		})
		want := byte(1)
		if renamed {
			want = 2
		}
		if got := folderNumber(t, dir); got != want {
			t.Errorf("step %d fails: folder %d, want %d", at, got, want)
		}
		if names := list(t, parent); len(names) != 1 {
			t.Errorf("step %d fails: left behind %v", at, names)
		}
		if err == nil {
			if at < 15 {
				t.Errorf("done after %d steps", at)
			}
			return
		}
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
	}
}

func TestFolderIsCheckedBeforeItAppears(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	f := someFolder(1)
	bad := errors.New("bad")
	f.Check = func(at string) error {
		if folderNumber(t, at) != 1 {
			t.Error("Check was called with the wrong folder")
		}
		return bad
	}
	if err := WriteFolder(dir, f); !errors.Is(err, bad) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the folder exists although Check failed")
	}
}

func TestFolderReplacesModelsOnly(t *testing.T) {
	dir := t.TempDir()
	if err := WriteFolder(dir, someFolder(1)); err != nil { // an empty folder
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Skip(err)
	}
	if err := WriteFolder(link, someFolder(2)); err != nil || folderNumber(t, dir) != 2 {
		t.Errorf("through a link: error %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "notes"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := WriteFolder(dir, someFolder(3)); err == nil || !strings.Contains(err.Error(), "notes") {
		t.Errorf("error %v", err)
	}
	for _, name := range []string{"../x", SingleFile, IndexFile, "model-00001-of-00002.safetensors"} {
		f := someFolder(1)
		f.Files = map[string]func(io.Writer) error{name: nil}
		err := WriteFolder(filepath.Join(t.TempDir(), "model"), f)
		if err == nil || !strings.Contains(err.Error(), "cannot name") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// The files of tokenizer, generation and remote classes are copied; links out of the folder
// are errors.
func TestCompanionsAreCopied(t *testing.T) {
	from, dir := t.TempDir(), filepath.Join(t.TempDir(), "model")
	for _, name := range []string{
		"tokenizer.json", "tiktoken.model", "tokenization_moonshot.py", "secret.txt", "setup.py",
	} {
		if err := os.WriteFile(filepath.Join(from, name), []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	f := someFolder(1)
	var err error
	if f.Files, err = CompanionFiles(from, false); err != nil {
		t.Fatal(err)
	}
	if err := WriteFolder(dir, f); err != nil {
		t.Fatal(err)
	}
	names := list(t, dir)
	if !slices.Contains(names, "tokenizer.json") || !slices.Contains(names, "tiktoken.model") ||
		!slices.Contains(names, "tokenization_moonshot.py") || slices.Contains(names, "secret.txt") ||
		slices.Contains(names, "setup.py") {
		t.Errorf("files %v", names)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(from, "vocab.json")); err != nil {
		t.Skip(err)
	}
	if _, err := CompanionFiles(from, false); !errors.Is(err, ErrLink) {
		t.Errorf("a link out of the folder: error %v", err)
	}
}

// Leftovers of an interrupted call are removed first, to free their space. The old folder
// of an interrupted replacement is kept until the new folder is complete.
func TestLeftFoldersAreRemovedFirst(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "model")
	left, old := filepath.Join(parent, tempName("model")), filepath.Join(parent, replacedName("model")+"1")
	for _, d := range []string{left, old} {
		if err := os.Mkdir(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	full := errors.New("disk full")
	err := writeFolder(dir, someFolder(1), func(op, path string) error {
		if _, err := os.Stat(left); op == "write" && err == nil {
			t.Error("the leftovers of an interrupted call still exist")
		}
		if op == "write" {
			return full
		}
		return nil
	})
	if names := list(t, parent); !errors.Is(err, full) || !slices.Equal(names, []string{filepath.Base(old)}) {
		t.Errorf("%v; left behind %v", err, names)
	}
	if err := WriteFolder(dir, someFolder(2)); err != nil {
		t.Fatal(err)
	}
	if names := list(t, parent); !slices.Equal(names, []string{"model"}) {
		t.Errorf("left behind %v", names)
	}
}

// If folders cannot be exchanged in one step, two renames do it; if one fails, nothing
// changes.
func TestSwapInTwo(t *testing.T) {
	parent := t.TempDir()
	dir, temp := filepath.Join(parent, "model"), filepath.Join(parent, tempName("model"))
	if err := errors.Join(WriteFolder(dir, someFolder(1)), WriteFolder(temp, someFolder(2))); err != nil {
		t.Fatal(err)
	}
	if err := swapInTwo(temp, dir); err != nil || folderNumber(t, dir) != 2 || folderNumber(t, temp) != 1 {
		t.Errorf("folders %d and %d: %v", folderNumber(t, dir), folderNumber(t, temp), err)
	}
	if err := swapInTwo(temp+"-missing", dir); err == nil || folderNumber(t, dir) != 2 {
		t.Errorf("after a failed swap: folder %d, %v", folderNumber(t, dir), err)
	}
	if names := list(t, parent); len(names) != 2 {
		t.Errorf("left behind %v", names)
	}
}
