package dynlib

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/aha-go/aha/backend/cuda/internal/ctest"
)

// override is an environment variable that only these tests use.
const override = "AHA_DYNLIB_TEST"

func answer(t *testing.T, l *Library) int {
	t.Helper()
	fn, err := l.Symbol("answer")
	if err != nil {
		t.Fatal(err)
	}
	return int(int32(Call(fn)))
}

// place writes a library to path whose function answer returns n.
func place(t *testing.T, path string, n string) {
	t.Helper()
	data, err := os.ReadFile(ctest.Build(t, "testdata/answer.c", "-DANSWER="+n))
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, data)
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func test(places ...Place) Spec {
	return Spec{
		Title: "libanswer, a test", Override: override, Names: []string{"libanswer.so.2", "libanswer.so.1"},
		Places: places, Install: "install the answer",
	}
}

func TestTheOverrideComesFirst(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mine.so")
	place(t, path, "7")
	place(t, filepath.Join(dir, "libanswer.so.2"), "2")
	t.Setenv(override, path)
	l, err := Open(test(Place{"", dir}))
	if err != nil {
		t.Fatal(err)
	}
	if l.Path != path || answer(t, l) != 7 {
		t.Errorf("opened %s", l.Path)
	}
}

func TestAnOverrideThatDoesNotOpenIsAnError(t *testing.T) {
	dir := t.TempDir()
	place(t, filepath.Join(dir, "libanswer.so.2"), "2")
	path := filepath.Join(dir, "absent.so")
	t.Setenv(override, path)
	_, err := Open(test(Place{"", dir}))
	var e *OpenError
	if !errors.As(err, &e) || len(e.Tries) != 1 || !strings.Contains(err.Error(), "$"+override+" = "+path) {
		t.Errorf("got %v", err)
	}
}

func TestPlacesAreSearchedInOrderAndNewestFirst(t *testing.T) {
	dir := t.TempDir()
	at := func(elem ...string) string { return filepath.Join(append([]string{dir}, elem...)...) }
	place(t, at("cuda-12.4", "libanswer.so.1"), "124")
	place(t, at("cuda-12.10", "libanswer.so.1"), "1210")
	place(t, at("last", "libanswer.so.2"), "99")
	write(t, at("broken", "libanswer.so.2"), []byte("no library"))
	place(t, at("broken", "libanswer.so.1"), "1")
	for _, c := range []struct {
		places []Place
		answer int
	}{
		{[]Place{{"", at("none")}, {"$UNSET", ""}, {"", at("last")}}, 99},
		{[]Place{{"", at("cuda-*")}, {"", at("last")}}, 1210},
		{[]Place{{"", at("broken")}, {"", at("last")}}, 1},
	} {
		l, err := Open(test(c.places...))
		if err != nil {
			t.Error(err)
		} else if got := answer(t, l); got != c.answer {
			t.Errorf("%v: opened %s, which answers %d, want %d", c.places, l.Path, got, c.answer)
		}
	}
}

func TestTheErrorListsEveryPlaceAndWhy(t *testing.T) {
	if !supported {
		t.Skip("SKIP: no libraries are opened on " + runtime.GOOS)
	}
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken", "libanswer.so.1")
	write(t, broken, []byte("this is no library"))
	_, err := Open(test(
		Place{"$UNSET", ""}, Place{"", filepath.Join(dir, "none")}, Place{"", dir}, Place{"", filepath.Dir(broken)}))
	if err == nil {
		t.Fatal("opened something")
	}
	text := err.Error()
	want := []string{
		"cannot open libanswer, a test; tried:\n", "\t$" + override + ": not set\n", "\t$UNSET: not set\n",
		"\t" + filepath.Join(dir, "none") + ": no such folder\n",
		"\t" + dir + ": no libanswer.so.2 or libanswer.so.1 there\n", "\t" + broken + ": ",
		"\ninstall the answer",
	}
	if loaderSearches {
		want = append(want, "\tlibanswer.so.2: ", "\tlibanswer.so.1: ")
	}
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in\n%s", w, text)
		}
	}
	if n := strings.Count(text, broken); n != 1 {
		t.Errorf("%s occurs %d times in\n%s", broken, n, text)
	}
}

func TestOtherSystemsSayUnsupported(t *testing.T) {
	_, err := Open(test())
	if err == nil || errors.Is(err, errors.ErrUnsupported) == supported {
		t.Errorf("on %s/%s: %v", runtime.GOOS, runtime.GOARCH, err)
	}
}

func TestLibrariesBesideAreLoadedFirst(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "libanswer.so.2")
	place(t, path, "5")
	s := test(Place{"", dir})
	s.Beside = "libfirst-*.so"
	write(t, filepath.Join(dir, "libfirst-1.so"), []byte("no library"))
	_, err := Open(s)
	if err == nil || !strings.Contains(err.Error(), "libfirst-1.so") {
		t.Errorf("a library beside that does not load gave %v", err)
	}
	place(t, filepath.Join(dir, "libfirst-1.so"), "1")
	if l, err := Open(s); err != nil || answer(t, l) != 5 {
		t.Errorf("got %v, %v", l, err)
	}
}

func TestTheLoadersOwnSearchGivesTheFile(t *testing.T) {
	if !loaderSearches {
		t.Skip("SKIP: only the loader of Linux searches")
	}
	s := test()
	s.Names = []string{"libanswer.so.2", "libc.so.6"}
	l, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Symbol("getpid"); err != nil || !filepath.IsAbs(l.Path) || filepath.Base(l.Path) != "libc.so.6" {
		t.Errorf("opened %s, %v", l.Path, err)
	}
}

func TestBindListsAllMissingSymbols(t *testing.T) {
	path := filepath.Join(t.TempDir(), "libanswer.so.1")
	place(t, path, "3")
	l, err := Open(test(Place{"", filepath.Dir(path)}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.Bind([]string{"one", "answer", "two"})
	if err == nil || !strings.HasPrefix(err.Error(), path+" lacks one, two:") {
		t.Errorf("got %v", err)
	}
	if _, err := l.Symbol("one"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestCallPassesArgumentsAndText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "libanswer.so.1")
	place(t, path, "3")
	l, err := Open(test(Place{"", filepath.Dir(path)}))
	if err != nil {
		t.Fatal(err)
	}
	fn, err := l.Bind([]string{"digits", "greeting"})
	if err != nil {
		t.Fatal(err)
	}
	out := new(int64)
	Call(fn[0], uintptr(unsafe.Pointer(out)), 1, 2, 3, 4, 5, 6, 7, 8, 9)
	if *out != 123456789 {
		t.Errorf("digits = %d", *out)
	}
	if got := GoString(Call(fn[1])); got != "hello" {
		t.Errorf("greeting = %q", got)
	}
	if got := GoString(0); got != "" {
		t.Errorf("NULL = %q", got)
	}
}

func TestToolkitPlacesFollowTheEnvironment(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIP: the folders are those of Unix")
	}
	for _, name := range []string{"CUDA_HOME", "CUDA_PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONUSERBASE"} {
		t.Setenv(name, "/of/"+name)
	}
	var dirs []string
	for _, p := range ToolkitPlaces("cuda_nvrtc") {
		dirs = append(dirs, p.Dir)
	}
	last := -1
	for _, dir := range []string{
		"/of/CUDA_HOME/lib64", "/of/CUDA_HOME/targets/*/lib", "/of/CUDA_PATH/lib64",
		"/usr/local/cuda/lib64", "/usr/local/cuda-*/lib64", "/usr/local/cuda*/targets/*/lib",
		"/of/VIRTUAL_ENV/lib/python3*/site-packages/nvidia/cu13/lib",
		"/of/VIRTUAL_ENV/lib/python3*/site-packages/nvidia/cuda_nvrtc/lib",
		"/of/CONDA_PREFIX/lib", "/of/CONDA_PREFIX/lib/python3*/site-packages/nvidia/cu13/lib",
		"/of/PYTHONUSERBASE/lib/python3*/site-packages/nvidia/cuda_nvrtc/lib",
	} {
		i := slices.Index(dirs, dir)
		if i <= last {
			t.Errorf("%s is place %d, after place %d, of\n%s", dir, i, last, strings.Join(dirs, "\n"))
		}
		last = i
	}
	t.Setenv("CUDA_HOME", "")
	if p := ToolkitPlaces("cuda_nvrtc")[0]; p != (Place{From: "$CUDA_HOME"}) {
		t.Errorf("an unset variable is %+v", p)
	}
}
