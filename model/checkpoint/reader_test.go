package checkpoint

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// writeShards makes a directory of files with the given contents.
func writeShards(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func one(name string, value byte) string {
	return string(file(`{"__metadata__":{"of":"`+name+`"},"`+name+`":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`,
		value))
}

func TestShardsAreMerged(t *testing.T) {
	dir := writeShards(t, map[string]string{
		"s2": one("a", 7), "s1": one("b", 8),
		IndexFile:  `{"metadata":{"total_size":2},"weight_map":{"a":"s2","b":"s1"}}`,
		SingleFile: "ignored, since there is an index",
	})
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	infos := r.Tensors()
	if len(infos) != 2 || infos[0].Name != "a" || infos[1].Name != "b" || infos[0].File != filepath.Join(dir, "s2") {
		t.Errorf("got %+v", infos)
	}
	a, errA := r.Read("a")
	b, errB := r.Read("b")
	if errA != nil || errB != nil || !bytes.Equal(a, []byte{7}) || !bytes.Equal(b, []byte{8}) {
		t.Errorf("got %v %v, %v %v", a, errA, b, errB)
	}
	if got := r.Metadata()["of"]; got != "b" {
		t.Errorf("the metadata must be the first shard's, got %q", got)
	}
}

func TestDirectoryWithASingleFile(t *testing.T) {
	r, err := Open(writeShards(t, map[string]string{SingleFile: one("a", 1)}))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, ok := r.Lookup("a"); !ok || len(r.Tensors()) != 1 {
		t.Errorf("got %+v", r.Tensors())
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), SingleFile) {
		t.Errorf("an empty directory: got %v", err)
	}
}

func TestBadIndexesAreRefused(t *testing.T) {
	for _, c := range []struct{ name, index, message string }{
		{"not JSON", `{`, "not JSON"},
		{"no map", `{"metadata":{}}`, "no weight_map"},
		{"unknown key", `{"weights":{}}`, "unknown key"},
		{"repeated tensor", `{"weight_map":{"a":"s","a":"s"}}`, "more than once"},
		{"number", `{"weight_map":{"a":1}}`, "want a string"},
		{"parent directory", `{"weight_map":{"a":"../s"}}`, "not the name of a file"},
		{"absolute path", `{"weight_map":{"a":"/etc/passwd"}}`, "not the name of a file"},
		{"subdirectory", `{"weight_map":{"a":"d/s"}}`, "not the name of a file"},
		{"Windows path", `{"weight_map":{"a":"..\\s"}}`, "not the name of a file"},
		{"Windows drive", `{"weight_map":{"a":"c:s"}}`, "not the name of a file"},
		{"dot", `{"weight_map":{"a":"."}}`, "not the name of a file"},
		{"dots", `{"weight_map":{"a":".."}}`, "not the name of a file"},
		{"no name", `{"weight_map":{"a":""}}`, "not the name of a file"},
		{"tensor in another shard", `{"weight_map":{"a":"s","b":"s"}}`, `tensor "b": bad index: s does not have it`},
		{"tensor not listed", `{"weight_map":{"b":"s"}}`, `tensor "a": bad index`},
	} {
		_, err := Open(writeShards(t, map[string]string{IndexFile: c.index, "s": one("a", 1)}))
		if !errors.Is(err, ErrIndex) || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: want %q, got %v", c.name, c.message, err)
		}
	}
	if _, err := Open(writeShards(t, map[string]string{IndexFile: `{"weight_map":{"a":"missing"}}`})); !errors.Is(err,
		fs.ErrNotExist) {
		t.Errorf("missing shard: got %v", err)
	}
}

func TestFileCutAfterOpeningIsNoticed(t *testing.T) {
	dir := writeShards(t, map[string]string{SingleFile: one("a", 1)})
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(filepath.Join(dir, SingleFile), 9); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read("a"); !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("got %v", err)
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{"total_size":2},"weight_map":{"a":"s","b":"t"}}`))
	f.Add([]byte(`{"weight_map":{"a":"../../etc/passwd"}}`))
	f.Add([]byte(`{"metadata":[` + strings.Repeat("[],", 20_000) + `0],"weight_map":{"a":"s"}}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		shards, err := readIndex(bytes.NewReader(b), int64(len(b)), IndexFile)
		runtime.ReadMemStats(&after)
		if n, limit := after.TotalAlloc-before.TotalAlloc, uint64(1<<20+64*len(b)); n > limit {
			t.Fatalf("%d bytes allocated for an index of %d, want at most %d", n, len(b), limit)
		}
		if err != nil {
			if !errors.Is(err, ErrIndex) {
				t.Fatalf("an unnamed error: %v", err)
			}
			return
		}
		for _, file := range shards {
			if rel, err := filepath.Rel(dir, filepath.Join(dir, file)); err != nil || rel != file || filepath.Dir(rel) != "." {
				t.Fatalf("%q leaves the directory", file)
			}
		}
	})
}
