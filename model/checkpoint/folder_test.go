package checkpoint

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// link makes a symbolic link, or skips the test if the system does not allow it.
func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Skip(err)
	}
}

// A link in place of a shard or of the only file may not leave the folder.
func TestLinksOutOfTheFolderAreRefused(t *testing.T) {
	outside := writeShards(t, map[string]string{"s": one("a", 1), "i": `{"weight_map":{"a":"s"}}`})
	index := map[string]string{IndexFile: `{"weight_map":{"a":"shard"}}`}
	for _, c := range []struct {
		name   string
		files  map[string]string
		link   string
		target string
		want   error
	}{
		{"absolute", index, "shard", filepath.Join(outside, "s"), ErrLink},
		{"parent", index, "shard", "../s", ErrLink},
		{"parent, missing", index, "shard", "../missing", ErrLink},
		{"single file", nil, SingleFile, filepath.Join(outside, "s"), ErrLink},
		{"index", map[string]string{"s": one("a", 1)}, IndexFile, filepath.Join(outside, "i"), ErrLink},
		{"inside", map[string]string{IndexFile: index[IndexFile], "s": one("a", 1)}, "shard", "s", nil},
		{"inside, missing", index, "shard", "s", fs.ErrNotExist},
	} {
		dir := writeShards(t, c.files)
		link(t, c.target, filepath.Join(dir, c.link))
		r, err := Open(dir)
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
		fault, ok := errors.AsType[*FormatError](err)
		if c.want == ErrLink && (!ok || fault.File != filepath.Join(dir, c.link)) {
			t.Errorf("%s: error %v, want it to name the link", c.name, err)
		}
		if err == nil {
			r.Close()
		}
	}
	dir := writeShards(t, index)
	link(t, filepath.Join(outside, "s"), filepath.Join(dir, "shard"))
	r, err := OpenWith(dir, OpenOptions{FollowLinks: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := r.Read("a"); err != nil || b[0] != 1 {
		t.Errorf("FollowLinks: %v, %v", b, err)
	}
}

// In the Hugging Face cache, every file is a link to a blob outside of the snapshot's
// folder.
func TestSnapshotsOfTheHubsCacheAreRead(t *testing.T) {
	cache := t.TempDir()
	for _, c := range []struct {
		repository string
		want       error
	}{{"models--deepseek-ai--DeepSeek-V3", nil}, {"other", ErrLink}} {
		repository := filepath.Join(cache, c.repository)
		snapshot := filepath.Join(repository, "snapshots", "0123abcd")
		for _, dir := range []string{snapshot, filepath.Join(repository, "blobs")} {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(repository, "blobs", "f00d"), []byte(one("a", 7)), 0o600); err != nil {
			t.Fatal(err)
		}
		link(t, "../../blobs/f00d", filepath.Join(snapshot, SingleFile))
		link(t, snapshot, filepath.Join(cache, c.repository+"-model")) // the folder itself may be a link
		for _, dir := range []string{snapshot, filepath.Join(cache, c.repository+"-model")} {
			r, err := Open(dir)
			if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Errorf("%s: error %v, want %v", dir, err, c.want)
			}
			if err == nil {
				r.Close()
			}
		}
	}
	// Links to other repositories are errors.
	snapshot := filepath.Join(cache, "models--deepseek-ai--DeepSeek-V3", "snapshots", "0123abcd")
	if err := os.Remove(filepath.Join(snapshot, SingleFile)); err != nil {
		t.Fatal(err)
	}
	link(t, "../../../other/blobs/f00d", filepath.Join(snapshot, SingleFile))
	if _, err := Open(snapshot); !errors.Is(err, ErrLink) {
		t.Errorf("a link to another repository: %v", err)
	}
}

// A file that is truncated while it is read is an error that names the file.
func TestFileCutWhileItIsLoadedIsNoticed(t *testing.T) {
	const n = 1 << 23 // more pieces than are read ahead
	path := mustWrite(t, []Tensor{{Name: "w", DType: F8E4M3, Shape: []int{n / 1024, 1024}, Data: make([]byte, n)}})
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := newParams(t, backend.F32).Matrix("w", n/1024, 1024)
	calls := 0
	_, err = r.Load([]*tensor.Param{p}, LoadOptions{Progress: func(done, total int64) {
		if calls++; calls == 1 {
			if done <= 0 || total != n {
				t.Errorf("progress %d of %d, want some of %d", done, total, n)
			}
			if err := os.Truncate(path, n/2); err != nil {
				t.Error(err)
			}
		}
	}})
	fault, ok := errors.AsType[*FormatError](err)
	if !errors.Is(err, ErrTruncated) || !ok || fault.File != path || fault.Tensor != "w" {
		t.Errorf("error %v, want that %s is truncated in w", err, path)
	}
}

// ReadFile reads only regular, small files within the folder.
func TestReadFileRefusesWhatMayNotEnd(t *testing.T) {
	dir := writeShards(t, map[string]string{"config.json": "{}"})
	if text, err := ReadFile(dir, "config.json", OpenOptions{}); err != nil || string(text) != "{}" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := ReadFile(dir, "missing", OpenOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(dir, "folder", OpenOptions{}); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Error(err)
	}
	large := filepath.Join(dir, "large") // a sparse file, which takes no space
	if err := errors.Join(os.WriteFile(large, nil, 0o600), os.Truncate(large, maxText+1)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(dir, "large", OpenOptions{}); err == nil || !strings.Contains(err.Error(), large) {
		t.Error(err)
	}
	link(t, os.DevNull, filepath.Join(dir, "device"))
	if _, err := ReadFile(dir, "device", OpenOptions{}); !errors.Is(err, ErrLink) {
		t.Error(err)
	}
	if _, err := ReadFile(dir, "device", OpenOptions{FollowLinks: true}); err == nil ||
		!strings.Contains(err.Error(), "regular") {
		t.Error(err)
	}
}
