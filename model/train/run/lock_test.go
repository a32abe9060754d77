package run

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// holdEnv names a folder. If set, the test binary acts as a separate process that locks it
// until standard input ends.
const holdEnv = "RUN_TEST_HOLD"

func TestMain(m *testing.M) {
	dir := os.Getenv(holdEnv)
	if dir == "" {
		os.Exit(m.Run())
	}
	if _, err := Lock(dir); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("locked")
	io.Copy(io.Discard, os.Stdin)
}

// hold starts a process that locks dir.
func hold(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self)
	c.Env = append(os.Environ(), holdEnv+"="+dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("the process says %q, %v", line, err)
	}
	return c
}

func kill(t *testing.T, c *exec.Cmd) {
	t.Helper()
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Wait()
}

func mustLock(t *testing.T, dir string) io.Closer {
	t.Helper()
	l, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustClose(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSecondProcessIsToldWhoHoldsTheFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	c := hold(t, dir)
	_, err := Lock(dir)
	want := fmt.Sprintf("%s is in use by process %d on host %s (%s, since ", dir, c.Process.Pid, self().Host,
		filepath.Base(c.Path))
	if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(),
		"); wait for it or choose another folder") {
		t.Errorf("error is %v, want it to begin with %q", err, want)
	}
	kill(t, c)
	mustClose(t, mustLock(t, dir)) // a dead process holds no lock
	mustClose(t, mustLock(t, dir))
}

func TestSameProcessIsRefusedUntilClose(t *testing.T) {
	dir := t.TempDir()
	l := mustLock(t, dir)
	if _, err := Lock(dir); err == nil || !strings.Contains(err.Error(), dir+" is in use by this process (since ") {
		t.Errorf("error is %v", err)
	}
	mustClose(t, mustLock(t, filepath.Join(dir, "below"))) // another folder can be locked
	mustClose(t, l)
	mustClose(t, mustLock(t, dir))
}

// A lock that its caller drops without Close is not released by garbage collection.
func TestLockThatIsDroppedIsHeld(t *testing.T) {
	dir := t.TempDir()
	if _, err := Lock(dir); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		runtime.GC()
		time.Sleep(time.Millisecond) // let finalizers run
	}
	if _, err := Lock(dir); err == nil || !strings.Contains(err.Error(), "in use by this process") {
		t.Errorf("after a collection: %v", err)
	}
	held.Range(func(l, _ any) bool { // close the lock, so that Windows can remove the folder
		mustClose(t, l.(*FolderLock))
		return true
	})
}

func TestLongCommandLinesAreCutInTheName(t *testing.T) {
	args := os.Args
	defer func() { os.Args = args }()
	os.Args = []string{"run", strings.Repeat("x", 1<<17)}
	dir := t.TempDir()
	defer mustClose(t, mustLock(t, dir))
	file, err := os.Open(filepath.Join(dir, lockFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if h, err := readHolder(file); err != nil || h.PID != os.Getpid() || !strings.HasPrefix(h.Command, "run xxx") {
		t.Errorf("holder %d, %v", h.PID, err)
	}
}

// A holder locks the file before it writes its name. Until then the file has the name of a
// killed holder, which Lock must not report.
func TestNameOfADeadHolderIsNotReported(t *testing.T) {
	dir := t.TempDir()
	c := hold(t, dir)
	kill(t, c)
	path := filepath.Join(dir, lockFile)
	killed, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(killed, fmt.Append(nil, c.Process.Pid)) {
		t.Fatalf("the killed process left %q, %v", killed, err)
	}
	l := mustLock(t, dir)
	defer l.Close()
	signed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, killed, 0o666); err != nil {
		t.Fatal(err)
	}
	late := make(chan error)
	go func() {
		time.Sleep(100 * time.Millisecond)
		late <- os.WriteFile(path, signed, 0o666)
	}()
	_, err = Lock(dir)
	if err == nil || !strings.Contains(err.Error(), "in use by this process") {
		t.Errorf("error is %v", err)
	}
	if err := <-late; err != nil {
		t.Error(err)
	}
}

// A shorter text replaces a longer one completely.
func TestLockFileHoldsOneTextOrNone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, lockFile)
	write(t, path, "\x00{\"pid\":1,\"host\":\"other\"}"+strings.Repeat("-", 5000))
	l := mustLock(t, dir)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var h holder
	if err := json.Unmarshal(text[textAt:], &h); err != nil || h.PID != os.Getpid() {
		t.Errorf("%v in %q", err, text)
	}
	mustClose(t, l)
	if text, err = os.ReadFile(path); err != nil || len(bytes.TrimSpace(text[textAt:])) > 0 {
		t.Errorf("%v, left %q", err, text)
	}
}

func TestFolderThatCannotBeMadeIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "")
	_, err := Lock(path)
	if _, ok := errors.AsType[*fs.PathError](err); !ok || !strings.Contains(err.Error(), path) {
		t.Errorf("error is %v", err)
	}
}
