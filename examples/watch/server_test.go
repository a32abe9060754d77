package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// write writes text to a file and creates its folder.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// extend appends text to a file.
func extend(t testing.TB, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// begin serves folders until the test ends.
func begin(t testing.TB, dirs ...string) *httptest.Server {
	t.Helper()
	f, err := newFolders(dirs)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(newServer(f, true))
	t.Cleanup(s.Close)
	return s
}

// get requests a path and decodes the response.
func get[T any](t testing.TB, s *httptest.Server, path string, query ...string) (v T) {
	t.Helper()
	code, body := ask(t, s, path, query...)
	if code != http.StatusOK {
		t.Fatalf("%s %q: %d, %s", path, query, code, body)
	}
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%s %q: %v in %s", path, query, err, body)
	}
	return v
}

// ask requests a path; query alternates names and values.
func ask(t testing.TB, s *httptest.Server, path string, query ...string) (code int, body []byte) {
	t.Helper()
	values := url.Values{}
	for pair := range slices.Chunk(query, 2) {
		values.Set(pair[0], pair[1])
	}
	r, err := s.Client().Get(s.URL + path + "?" + values.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if body, err = io.ReadAll(r.Body); err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, body
}

// found is the response of /api/runs.
type found struct {
	Runs  []runInfo
	Notes []string
}

func (f found) ids() []string {
	var ids []string
	for _, r := range f.Runs {
		ids = append(ids, r.ID)
	}
	return ids
}

func TestRunsAreFoundAlsoLater(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	write(t, filepath.Join(one, "base", "metrics.jsonl"), "")
	write(t, filepath.Join(one, "grpo", "metrics.jsonl"), "")
	write(t, filepath.Join(one, ".git", "metrics.jsonl"), "")
	write(t, filepath.Join(one, "a/b/c/d/e", "metrics.jsonl"), "")
	s := begin(t, one, two)
	got := get[found](t, s, "/api/runs")
	if want := []string{"0/base", "0/grpo"}; !slices.Equal(got.ids(), want) {
		t.Errorf("runs %q, want %q", got.ids(), want)
	}
	if len(got.Notes) != 1 || got.Notes[0] != two+" does not exist yet" {
		t.Errorf("notes %q", got.Notes)
	}
	if want := filepath.Join(one, "grpo"); got.Runs[1].Name != want || got.Runs[1].Age < 0 || got.Runs[1].Age > 60 {
		t.Errorf("run %+v, want the name %s", got.Runs[1], want)
	}
	write(t, filepath.Join(two, "metrics.jsonl"), "")
	got = get[found](t, s, "/api/runs")
	if want := []string{"0/base", "0/grpo", "1"}; !slices.Equal(got.ids(), want) || len(got.Notes) > 0 {
		t.Errorf("runs %q, notes %q, want %q", got.ids(), got.Notes, want)
	}
	if c := get[chunk](t, s, "/api/lines", "run", "1", "file", "metrics.jsonl"); len(c.Rows) > 0 || c.Offset != 0 {
		t.Errorf("an empty file has %+v", c)
	}
}

// steps returns the steps of the rows of a chunk.
func steps(t testing.TB, c chunk) (all []int) {
	t.Helper()
	for _, row := range c.Rows {
		var at struct{ Step int }
		if err := json.Unmarshal(row, &at); err != nil {
			t.Fatal(err)
		}
		all = append(all, at.Step)
	}
	return all
}

func TestLinesOfAFileThatGrowsIsCutOffAndReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "metrics.jsonl")
	s := begin(t, dir)
	at := place{}
	// next requests the new lines and checks the response.
	next := func(what string, reset bool, damaged int, want ...int) {
		t.Helper()
		c := get[chunk](t, s, "/api/lines", "run", "0", "file", "metrics.jsonl", "offset", fmt.Sprint(at.Offset),
			"mark", at.Mark)
		at = c.place
		if got := steps(t, c); !slices.Equal(got, want) || c.Reset != reset || c.Damaged != damaged || c.More {
			t.Errorf("%s: steps %v, reset %v, %d damaged, more %v; want %v, %v, %d", what, got, c.Reset, c.Damaged, c.More,
				want, reset, damaged)
		}
	}
	next("missing", false, 0)
	write(t, path, `{"step":1}`+"\n"+`{"step":2}`+"\n"+`{"st`)
	next("incomplete line", false, 0, 1, 2)
	next("unchanged", false, 0)
	extend(t, path, `ep":3}`+"\n")
	next("completed line", false, 0, 3)
	extend(t, path, "\x00\x00\n{\"step\":4}\nnull\n")
	next("damaged lines", false, 2, 4)
	// A resumed run truncates the file and writes the later steps again.
	write(t, path, `{"step":1}`+"\n")
	next("cut off", true, 0, 1)
	// Another run replaces the file by one of the same length, or a longer one.
	write(t, path, `{"step":7}`+"\n")
	next("replaced by one of the same length", true, 0, 7)
	write(t, path, `{"step":8}`+"\n"+`{"step":9}`+"\n")
	next("replaced by a longer one", true, 0, 8, 9)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	next("removed", true, 0)
	next("removed", false, 0)
}

// A file larger than maxChunk is read in several chunks, and each line once.
func TestLongFilesComeInChunks(t *testing.T) {
	dir := t.TempDir()
	filler := strings.Repeat("x", 1<<20)
	var text strings.Builder
	for step := 1; step <= 40; step++ {
		fmt.Fprintf(&text, `{"step":%d,"text":"%s"}`+"\n", step, filler)
	}
	write(t, filepath.Join(dir, "metrics.jsonl"), text.String())
	write(t, filepath.Join(dir, "samples.jsonl"), text.String())
	s := begin(t, dir)
	var got []int
	c, asked := chunk{}, 0
	for more := true; more; more = c.More {
		c = get[chunk](t, s, "/api/lines", "run", "0", "file", "metrics.jsonl", "offset", fmt.Sprint(c.Offset),
			"mark", c.Mark)
		got = append(got, steps(t, c)...)
		asked++
	}
	if len(got) != 40 || got[0] != 1 || got[39] != 40 || asked != 3 {
		t.Errorf("steps %v in %d requests", got, asked)
	}
	if v := get[sampled](t, s, "/api/samples", "run", "0"); v.Step != 40 || len(v.Steps) != 40 {
		t.Errorf("samples of step %d, of steps %v", v.Step, v.Steps)
	}
	write(t, filepath.Join(dir, "metrics.jsonl"), strings.Repeat("x", maxChunk+1))
	if code, body := ask(t, s, "/api/lines", "run", "0", "file", "metrics.jsonl"); code != 500 ||
		!bytes.Contains(body, []byte("is longer than")) {
		t.Errorf("an endless line: %d %s", code, body)
	}
}

func TestSamplesOfAStep(t *testing.T) {
	dir := t.TempDir()
	s := begin(t, dir)
	if v := get[sampled](t, s, "/api/samples", "run", "0"); v.Step != 0 || len(v.Steps) != 0 {
		t.Errorf("without a file: %+v", v)
	}
	write(t, filepath.Join(dir, "samples.jsonl"), `{"step":1,"groups":[]}`+"\n"+`{"step":`+"\n"+
		`{"step":2,"groups":[{"prompt":"p"}]}`+"\n"+`{"step":3,"gr`)
	get[sampled](t, s, "/api/samples", "run", "0") // the lines so far are not parsed again
	extend(t, filepath.Join(dir, "samples.jsonl"), `oups":[]}`+"\n"+`{"step":4,"gr`)
	for step, want := range map[string]sampled{
		"":  {[]int{1, 2, 3}, 3, json.RawMessage(`{"step":3,"groups":[]}`), 1},
		"1": {[]int{1, 2, 3}, 1, json.RawMessage(`{"step":1,"groups":[]}`), 1},
		"2": {[]int{1, 2, 3}, 2, json.RawMessage(`{"step":2,"groups":[{"prompt":"p"}]}`), 1},
		"4": {[]int{1, 2, 3}, 0, json.RawMessage(`null`), 1},
	} {
		got := get[sampled](t, s, "/api/samples", "run", "0", "step", step)
		if !slices.Equal(got.Steps, want.Steps) || got.Step != want.Step || string(got.Line) != string(want.Line) ||
			got.Damaged != want.Damaged {
			t.Errorf("step %q: %+v, want %+v", step, got, want)
		}
	}
	// A resumed run removes the later steps.
	write(t, filepath.Join(dir, "samples.jsonl"), `{"step":1,"groups":[]}`+"\n")
	v := get[sampled](t, s, "/api/samples", "run", "0")
	if !slices.Equal(v.Steps, []int{1}) || v.Step != 1 || v.Damaged != 0 {
		t.Errorf("cut off: %+v", v)
	}
}

func TestTextsOfARun(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config.json"), `{"seed":1}`)
	write(t, filepath.Join(dir, "grpo", "preflight.txt"), "prompt: 2 tokens")
	s := begin(t, dir, filepath.Join(dir, "grpo"))
	for run, want := range map[string]map[string]string{
		"0":      {"preflight": "", "config": `{"seed":1}`},
		"0/grpo": {"preflight": "prompt: 2 tokens", "config": `{"seed":1}`},
		"1":      {"preflight": "prompt: 2 tokens", "config": ""}, // the parent folder is not served
	} {
		if got := get[map[string]string](t, s, "/api/texts", "run", run); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("run %s: %v, want %v", run, got, want)
		}
	}
}

func TestPathsOutsideAreRefused(t *testing.T) {
	dir := t.TempDir()
	inside, secret := filepath.Join(dir, "inside"), filepath.Join(dir, "secret")
	const row = `{"step":1,"secret":true}` + "\n"
	write(t, filepath.Join(inside, "run", "metrics.jsonl"), `{"step":1}`+"\n")
	for _, name := range []string{"metrics.jsonl", "samples.jsonl", "preflight.txt", "config.json"} {
		write(t, filepath.Join(secret, name), row)
	}
	link := func(to, at string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(inside, at)); err != nil {
			if runtime.GOOS == "windows" {
				t.Skipf("skipped: no symbolic links: %v", err)
			}
			t.Fatal(err)
		}
	}
	link(secret, "folder")
	link("../secret", "relative")
	for _, name := range []string{"metrics.jsonl", "samples.jsonl", "preflight.txt"} {
		if err := os.MkdirAll(filepath.Join(inside, "file"), 0o777); err != nil {
			t.Fatal(err)
		}
		link(filepath.Join(secret, name), filepath.Join("file", name))
	}
	link("run", "again") // stays inside
	s := begin(t, inside)
	for _, run := range []string{"0/../secret", "0/..", "0/run/../../secret", "0//" + secret, "0/folder", "0/relative",
		"0/file", "1", "-1", "", "x", "../secret", secret} {
		for _, path := range []string{"/api/lines", "/api/samples", "/api/texts"} {
			code, body := ask(t, s, path, "run", run, "file", "metrics.jsonl")
			// 0//PATH names a folder inside that does not exist.
			missing := run == "0//"+secret && !bytes.Contains(body, []byte("secret\":true"))
			if code != http.StatusForbidden && !missing || bytes.Contains(body, []byte(`"secret"`)) {
				t.Errorf("%s of run %q: %d %s", path, run, code, body)
			}
		}
	}
	if c := get[chunk](t, s, "/api/lines", "run", "0/again", "file", "metrics.jsonl"); len(c.Rows) != 1 {
		t.Errorf("a link that stays inside: %+v", c)
	}
	if got := get[found](t, s, "/api/runs").ids(); !slices.Equal(got, []string{"0/run"}) {
		t.Errorf("runs %q", got)
	}
	for _, file := range []string{"config.json", "verdicts.jsonl", "../secret/metrics.jsonl", ""} {
		if code, body := ask(t, s, "/api/lines", "run", "0/run", "file", file); code != http.StatusBadRequest {
			t.Errorf("file %q: %d %s", file, code, body)
		}
	}
	for _, path := range []string{"/../secret/metrics.jsonl", "/%2e%2e/secret/metrics.jsonl", "/secret", "/main.go"} {
		if code, body := ask(t, s, path); code != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

func TestRequestsThatMeanNothingAreRefused(t *testing.T) {
	s := begin(t, t.TempDir())
	for _, offset := range []string{"-1", "x", "99999999999999999999"} {
		if code, _ := ask(t, s, "/api/lines", "run", "0", "file", "metrics.jsonl", "offset", offset); code != 400 {
			t.Errorf("offset %s: %d", offset, code)
		}
	}
	r, err := s.Client().Post(s.URL+"/api/runs", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", r.StatusCode)
	}
}

func TestOtherHostsAndPoliciesOfThePage(t *testing.T) {
	f, err := newFolders([]string{t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host  string
		local bool
		code  int
	}{
		{"127.0.0.1:7878", true, 200}, {"localhost:1", true, 200}, {"[::1]:1", true, 200}, {"[::1]", true, 200},
		{"rebound.example:7878", true, 403}, {"192.168.0.7:7878", true, 403}, {"", true, 403},
		{"my-machine:7878", false, 200},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = c.host
		w := httptest.NewRecorder()
		newServer(f, c.local).ServeHTTP(w, r)
		if w.Code != c.code {
			t.Errorf("host %q, local %v: %d, want %d", c.host, c.local, w.Code, c.code)
		}
		policy := w.Header().Get("Content-Security-Policy")
		if c.code == 200 && !strings.Contains(policy, "default-src 'self'") {
			t.Errorf("policy %q", policy)
		}
	}
}

func TestFoldersThatAreNoneAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	for _, c := range []struct {
		dirs []string
		want string
	}{{nil, "name the folders"}, {[]string{file}, file + " is a file"}} {
		err := serve(t.Context(), io.Discard, "127.0.0.1:0", c.dirs)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.dirs, err)
		}
	}
	if err := serve(t.Context(), io.Discard, "127.0.0.1:no", []string{t.TempDir()}); err == nil ||
		!strings.Contains(err.Error(), "-addr 127.0.0.1:no") {
		t.Errorf("a bad address: %v", err)
	}
}

// told is a writer that sends what is written to a channel.
type told chan string

func (c told) Write(p []byte) (int, error) {
	c <- string(p)
	return len(p), nil
}

func TestServeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, ended := make(told, 9), make(chan error, 1)
	go func() { ended <- serve(ctx, out, "127.0.0.1:0", []string{t.TempDir()}) }()
	address, _, ok := strings.Cut(<-out, " ")
	if !ok || !strings.HasPrefix(address, "http://127.0.0.1:") {
		t.Fatalf("address %q", address)
	}
	r, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	cancel()
	select {
	case err := <-ended:
		if err != nil || r.StatusCode != 200 {
			t.Errorf("%v, status %d", err, r.StatusCode)
		}
	case <-time.After(time.Minute):
		t.Fatal("the server did not stop")
	}
}
