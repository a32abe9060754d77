package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sample returns a small checkpoint of a step: weights, and a state written in two pieces.
func sample(step int) (map[string]func(io.Writer) error, map[string]json.RawMessage) {
	files := map[string]func(io.Writer) error{
		SingleFile: func(w io.Writer) error {
			return Write(w, []Tensor{{Name: "w", DType: I32, Shape: []int{1}, Data: []byte{byte(step), 0, 0, 0}}}, nil)
		},
		"train_state.json": func(w io.Writer) error {
			_, err := fmt.Fprintf(w, `{"step": %d}`, step)
			return err
		},
	}
	return files, map[string]json.RawMessage{"seed": json.RawMessage(`18446744073709551615`),
		"html": json.RawMessage(`"<&>"`)}
}

func save(s Store, step int) error {
	files, meta := sample(step)
	return s.Save(step, files, meta)
}

func mustSave(t testing.TB, s Store, steps ...int) {
	t.Helper()
	for _, step := range steps {
		if err := save(s, step); err != nil {
			t.Fatal(err)
		}
	}
}

// wantLatest checks that the newest complete checkpoint is that of the given step.
func wantLatest(t testing.TB, s Store, step int) Snapshot {
	t.Helper()
	snapshot, err := s.LatestComplete()
	if err != nil {
		t.Fatal(err)
	}
	if snapshot.Step != step {
		t.Fatalf("latest is step %d, want %d; refused: %v", snapshot.Step, step, snapshot.Refused)
	}
	r, err := Open(snapshot.Path(SingleFile))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w, err := r.Read("w")
	if err != nil || !bytes.Equal(w, []byte{byte(step), 0, 0, 0}) {
		t.Fatalf("step %d has weights %v, %v", step, w, err)
	}
	state, err := os.ReadFile(snapshot.Path("train_state.json"))
	if err != nil || string(state) != fmt.Sprintf(`{"step": %d}`, step) {
		t.Fatalf("step %d has state %s, %v", step, state, err)
	}
	return snapshot
}

func list(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestSavedCheckpointIsFoundAndHasItsMetadata(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "new", "run")}
	mustSave(t, s, 3, 1_000_000, 20)
	snapshot := wantLatest(t, s, 1_000_000)
	_, want := sample(0)
	if diff := cmp.Diff(want, snapshot.Meta, cmp.Transformer("text", func(r json.RawMessage) string {
		var b bytes.Buffer
		json.HTMLEscape(&b, r)
		return b.String()
	})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"step-000003", "step-000020", "step-1000000"}, list(t, s.Dir)); diff != "" {
		t.Error(diff)
	}
}

func TestSameStateIsTheSameBytes(t *testing.T) {
	var previous []byte
	for range 3 {
		s := Store{Dir: t.TempDir()}
		mustSave(t, s, 7)
		b, err := os.ReadFile(filepath.Join(s.Dir, "step-000007", ManifestFile))
		if err != nil {
			t.Fatal(err)
		}
		if previous != nil && !bytes.Equal(previous, b) {
			t.Errorf("two saves differ:\n%s\n%s", previous, b)
		}
		previous = b
	}
}

func TestNoCheckpointIsNotTheSameAsOnlyDamagedOnes(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "absent")}
	if _, err := s.LatestComplete(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("want fs.ErrNotExist, got %v", err)
	}
	mustSave(t, s, 1)
	if err := os.Remove(filepath.Join(s.Dir, "step-000001", ManifestFile)); err != nil {
		t.Fatal(err)
	}
	_, err := s.LatestComplete()
	if !errors.Is(err, ErrIncomplete) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "step-000001") {
		t.Errorf("want ErrIncomplete with the directory's name, got %v", err)
	}
}

func TestCompleteCheckpointIsNotOverwritten(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	mustSave(t, s, 1)
	if err := save(s, 1); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	wantLatest(t, s, 1)
}

func TestIncompleteCheckpointOfTheSameStepIsReplaced(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	mustSave(t, s, 1, 2)
	if err := os.Truncate(filepath.Join(s.Dir, "step-000002", SingleFile), 3); err != nil {
		t.Fatal(err)
	}
	mustSave(t, s, 2)
	wantLatest(t, s, 2)
	if diff := cmp.Diff([]string{"step-000001", "step-000002"}, list(t, s.Dir)); diff != "" {
		t.Error(diff)
	}
}

func TestCheckpointOfANewerVersionIsRefusedAndKept(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	dir := filepath.Join(s.Dir, "step-000001")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	m := `{"format":"aha.checkpoint","version":2,"shards":[]}`
	if err := os.WriteFile(filepath.Join(dir, ManifestFile), []byte(m), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.LatestComplete(); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("got %v", err)
	}
	if err := save(s, 1); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("got %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, ManifestFile)); err != nil || string(got) != m {
		t.Errorf("the newer checkpoint was touched: %s, %v", got, err)
	}
}

// damage applies change to every byte of every file of a checkpoint in turn, and checks
// that the checkpoint is rejected, with an error that names the damaged file, and that the
// previous checkpoint is found.
func damage(t *testing.T, change func(content []byte, at int) []byte) {
	s := Store{Dir: t.TempDir()}
	mustSave(t, s, 1, 2)
	dir := filepath.Join(s.Dir, "step-000002")
	for _, name := range list(t, dir) {
		path := filepath.Join(dir, name)
		intact, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := range intact {
			if err := os.WriteFile(path, change(bytes.Clone(intact), at), 0o600); err != nil {
				t.Fatal(err)
			}
			snapshot, err := s.LatestComplete()
			if err != nil {
				t.Fatal(err)
			}
			if snapshot.Step != 1 || len(snapshot.Refused) != 1 {
				t.Fatalf("%s damaged at byte %d of %d: step %d was accepted", name, at, len(intact), snapshot.Step)
			}
			if why := snapshot.Refused[0].Error(); !strings.Contains(why, dir) || !strings.Contains(why, name) {
				t.Fatalf("the refusal does not name %s: %s", path, why)
			}
		}
		if err := os.WriteFile(path, intact, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantLatest(t, s, 2)
}

func TestCheckpointCutAtAnyByteIsRefused(t *testing.T) {
	damage(t, func(content []byte, at int) []byte { return content[:at] })
}

func TestCheckpointWithAnyByteChangedIsRefused(t *testing.T) {
	damage(t, func(content []byte, at int) []byte { content[at] ^= 1; return content })
}

func TestCheckpointUnderAnotherStepsNameIsRefused(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	mustSave(t, s, 1, 2)
	if err := os.Rename(filepath.Join(s.Dir, "step-000002"), filepath.Join(s.Dir, "step-000009")); err != nil {
		t.Fatal(err)
	}
	if refused := wantLatest(t, s, 1).Refused; len(refused) != 1 || !strings.Contains(refused[0].Error(), "of step 2") {
		t.Errorf("got %v", refused)
	}
}

// failAt makes the n-th step of a save fail, and counts the steps.
type failAt struct {
	n, seen int
	op      string // operation that failed
}

func (f *failAt) before(op, path string) error {
	f.seen++
	if f.seen-1 != f.n {
		return nil
	}
	f.op = op
	return &fs.PathError{Op: op, Path: path, Err: syscall.ENOSPC}
}

func TestFailureOfAnyStepLeavesTheLastCheckpointAndNoTrace(t *testing.T) {
	ops := map[string]bool{}
	for n := 0; ; n++ {
		s := Store{Dir: t.TempDir()}
		mustSave(t, s, 1)
		f := &failAt{n: n}
		s.Before = f.before
		err := save(s, 2)
		s.Before = nil
		if f.op == "" {
			if err != nil {
				t.Fatal(err)
			}
			break // the save has fewer than n steps, so all were tried
		}
		ops[f.op] = true
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "step-000002") {
			t.Errorf("failing %s: got %v", f.op, err)
		}
		// Only the flush of the parent directory comes after the checkpoint is in place.
		want, names := 1, []string{"step-000001"}
		if snapshot, err := s.LatestComplete(); err == nil && snapshot.Step == 2 && f.op == "syncdir" {
			want, names = 2, append(names, "step-000002")
		}
		wantLatest(t, s, want)
		if diff := cmp.Diff(names, list(t, s.Dir)); diff != "" {
			t.Errorf("failing %s leaves: %s", f.op, diff)
		}
	}
	if len(ops) != 6 {
		t.Errorf("a save must create, write, sync, rename, sync directories and make one, tried %v", ops)
	}
}

func TestPanickingWriterLeavesNoTrace(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	mustSave(t, s, 1)
	func() {
		defer func() { _ = recover() }()
		_ = s.Save(2, map[string]func(io.Writer) error{"a": func(io.Writer) error { panic("shape") }}, nil)
	}()
	if diff := cmp.Diff([]string{"step-000001"}, list(t, s.Dir)); diff != "" {
		t.Error(diff)
	}
}

func TestSaveRefusesBadArguments(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "run")}
	nothing := func(io.Writer) error { return nil }
	for _, name := range []string{"", ".", "..", "../x", "a/b", "/x", `a\b`, "c:x", ManifestFile} {
		if err := s.Save(1, map[string]func(io.Writer) error{name: nothing}, nil); err == nil {
			t.Errorf("the file name %q was accepted", name)
		}
	}
	if err := s.Save(-1, nil, nil); err == nil {
		t.Error("a negative step was accepted")
	}
	if err := s.Save(1, nil, map[string]json.RawMessage{"a": json.RawMessage("{")}); err == nil {
		t.Error("metadata that is not JSON was accepted")
	}
	if _, err := s.LatestComplete(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestPruneKeepsTheNewestCompleteOnes(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	mustSave(t, s, 1, 2, 3, 4, 5)
	if err := os.Remove(filepath.Join(s.Dir, "step-000004", SingleFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.Dir, ".step-000006.tmp-0"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "metrics.jsonl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Prune(2); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"metrics.jsonl", "step-000003", "step-000004", "step-000005"}, list(t,
		s.Dir)); diff != "" {
		t.Error(diff)
	}
	if err := s.Prune(0); err == nil {
		t.Error("keeping no checkpoint was accepted")
	}
	wantLatest(t, s, 5)
}

func TestKeepOnlyLeavesOneCompleteCheckpoint(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	mustSave(t, s, 1, 2, 3, 4)
	if err := os.Remove(filepath.Join(s.Dir, "step-000004", SingleFile)); err != nil {
		t.Fatal(err)
	}
	if err := s.KeepOnly(2); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"step-000002", "step-000004"}, list(t, s.Dir)); diff != "" {
		t.Error(diff)
	}
	for range 2 { // the second call finds none to remove
		if err := s.Remove(4); err != nil {
			t.Fatal(err)
		}
	}
	wantLatest(t, s, 2)
}

func TestWriteAtomicReplacesOrLeavesTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.json")
	write := func(content string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, content); return err }
	}
	for _, content := range []string{"first", "second"} {
		if err := WriteAtomic(path, write(content)); err != nil {
			t.Fatal(err)
		}
	}
	for n := 0; ; n++ {
		f := &failAt{n: n}
		err := writeAtomic(path, write("third"), f.before)
		content, readErr := os.ReadFile(path)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if f.op == "" {
			if err != nil || string(content) != "third" {
				t.Fatalf("got %q, %v", content, err)
			}
			break
		}
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), path) {
			t.Errorf("failing %s: got %v", f.op, err)
		}
		if want := "second"; string(content) != want && f.op != "syncdir" {
			t.Errorf("failing %s: the file holds %q", f.op, content)
		}
		if diff := cmp.Diff([]string{"config.json"}, list(t, dir)); diff != "" {
			t.Errorf("failing %s leaves: %s", f.op, diff)
		}
	}
}

func ExampleStore() {
	dir, err := os.MkdirTemp("", "run")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	run := Store{Dir: dir}
	weights := []Tensor{{Name: "lm_head.weight", DType: U8, Shape: []int{1, 3}, Data: []byte{1, 2, 3}}}
	for _, step := range []int{100, 200} {
		err = run.Save(step, map[string]func(io.Writer) error{
			SingleFile: func(w io.Writer) error { return Write(w, weights, nil) },
		}, map[string]json.RawMessage{"seed": json.RawMessage("42")})
		if err != nil {
			panic(err)
		}
	}
	// Simulate a power failure while the weights of step 200 were being written.
	if err := os.Truncate(filepath.Join(dir, "step-000200", SingleFile), 10); err != nil {
		panic(err)
	}

	last, err := run.LatestComplete()
	if err != nil {
		panic(err)
	}
	r, err := Open(last.Dir)
	if err != nil {
		panic(err)
	}
	defer r.Close()
	t := r.Tensors()[0]
	fmt.Println(last.Step, string(last.Meta["seed"]), len(last.Refused), t.Name, t.DType, t.Shape)
	// Output:
	// 100 42 1 lm_head.weight U8 [1 3]
}
