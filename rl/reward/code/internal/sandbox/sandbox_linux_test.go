//go:build amd64 || arm64

package sandbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aha-go/aha/rl/reward/code/internal/sandbox/sandboxtest"
)

// The untrusted program of these tests is the test binary itself. Its arguments are "hostile",
// the name of a deed (one of the actions in deeds_linux_test.go), a marker that no other process
// has, and the arguments of the deed.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 3 && os.Args[1] == "hostile":
		deeds[os.Args[2]](os.Args[3:])
		os.Exit(0)
	case len(os.Args) > 3 && os.Args[1] == "caller":
		c := deed(os.Args[3], os.Args[2])
		c.Limits.Wall = long
		Run(context.Background(), c)
		os.Exit(0)
	case os.Getenv(refuse) != "":
		if err := sandboxtest.RefuseNamespaces(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// refuse is an environment variable that makes the test process refuse namespaces.
const refuse = "AHA_TEST_REFUSE_NAMESPACES"

var executable = sync.OnceValue(func() string {
	p, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return p
})

const (
	// long is a limit that no working test reaches.
	long = 10 * time.Minute
	// slack is the time, in addition to its limit, that a busy machine may need to start and to
	// end a program.
	slack = 30 * time.Second
)

var limits = Limits{Wall: time.Minute, CPU: 2 * time.Second, Memory: 256 << 20, Disk: 1 << 20}

func deed(name, marker string, args ...string) Command {
	limits := limits
	if name == "loop" || name == "sleep" || name == "fork bomb" {
		limits.Wall = 4 * time.Second
	}
	return Command{
		Argv:   append([]string{executable(), "hostile", name, marker}, args...),
		Env:    []string{"GOMAXPROCS=1"},
		Files:  map[string][]byte{"test.txt": []byte("the tests")},
		Expose: []string{executable(), "/lib", "/lib64", "/usr/lib"}, // -race needs the libraries
		Limits: limits, AcceptLess: os.Getenv(refuse) != "",
	}
}

// sandboxed runs a deed and checks that it leaves no processes and files.
func sandboxed(t *testing.T, name string, args ...string) *Result {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	marker := "marker-" + rand.Text()
	begin := time.Now()
	c := deed(name, marker, args...)
	result, err := Run(t.Context(), c)
	var none *UnavailableError
	if errors.As(err, &none) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if took := time.Since(begin); took > c.Limits.Wall+slack {
		t.Errorf("%s took %v under a limit of %v", name, took, c.Limits.Wall)
	}
	if left := processes(t, marker); len(left) > 0 {
		t.Errorf("%s left processes %q", name, left)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("%s left files %v (%v)", name, left, err)
	}
	if wantLess := os.Getenv(refuse) != ""; wantLess != (len(result.Missing) > 0) {
		t.Errorf("%s lacks %q", name, result.Missing)
	}
	return result
}

// processes lists the command lines with a marker.
func processes(t *testing.T, marker string) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d processes: %v", len(files), err)
	}
	for _, f := range files {
		// A process may have exited meanwhile.
		if line, err := os.ReadFile(f); err == nil && bytes.Contains(line, []byte(marker)) {
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
		}
	}
	return found
}

// lines returns the lines of a deed's output, by the name before the colon.
func lines(r *Result) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(string(r.Stdout)) {
		what, outcome, _ := strings.Cut(strings.TrimSpace(line), ": ")
		m[what] += outcome
	}
	return m
}

func allFail(t *testing.T, r *Result, at int) {
	t.Helper()
	said := 0
	for line := range strings.Lines(string(r.Stdout)) {
		said++
		if strings.HasSuffix(line, ": <nil>\n") {
			t.Errorf("succeeded at %s", line)
		}
	}
	if said < at || r.ExitCode != 0 {
		t.Errorf("%d attempts, want %d; %+v: %s", said, at, r, r.Stderr)
	}
}

func TestLimitsEndAProgram(t *testing.T) {
	for name, want := range map[string][]Limit{
		"loop":             {CPUTime, WallTime}, // on a busy machine
		"sleep":            {WallTime},
		"fork bomb":        {CPUTime, WallTime, Memory},
		"allocate in many": {Memory},
		"share memory":     {Memory},
		"print":            {Output},
		"print data":       {Output},
	} {
		if os.Getenv(refuse) != "" && (name == "allocate in many" || name == "share memory") {
			continue // one process has RLIMIT_DATA and RLIMIT_AS
		}
		if r := sandboxed(t, name); !slices.Contains(want, r.Exceeded) || r.ExitCode == 0 {
			t.Errorf("%s: %+v, want the limit on %s", name, r, want)
		} else if int64(len(r.Stdout)) > 1<<20 || int64(len(r.Data)) > 1<<20 {
			t.Errorf("%s: kept %d and %d bytes", name, len(r.Stdout), len(r.Data))
		}
	}
}

func TestTooLargeAnAllocationFails(t *testing.T) {
	r := sandboxed(t, "allocate")
	if len(r.Stdout) > 0 || r.ExitCode == 0 || r.Exceeded == "" && !bytes.Contains(r.Stderr, []byte("out of memory")) {
		t.Errorf("%+v: %s", r, r.Stderr)
	}
}

func TestNothingIsWrittenOutside(t *testing.T) {
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	dir, name := t.TempDir(), "aha-marker-"+rand.Text()
	theirs := filepath.Join(dir, "theirs")
	if err := errors.Join(os.WriteFile(theirs, []byte("intact"), 0o666), os.Chmod(theirs, 0o666),
		os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	paths := []string{theirs}
	for _, d := range []string{dir, home, "/", "/tmp", "/var/tmp", "/dev/shm", "/etc", "/dev", ProgramDir} {
		paths = append(paths, filepath.Join(d, name))
	}
	allFail(t, sandboxed(t, "write outside", paths...), 4*len(paths)+8)
	for _, p := range paths[1:] {
		if _, err := os.Lstat(p); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", p, err)
		}
	}
	if text, err := os.ReadFile(theirs); string(text) != "intact" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestEnvironmentAndHostFilesCannotBeRead(t *testing.T) {
	t.Setenv("AHA_TEST_SECRET", "secret")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	parent := fmt.Sprintf("/proc/%d/", os.Getpid())
	r := sandboxed(t, "read", secret, "/etc/passwd", "/etc/hostname", "/proc/1/environ", "/proc/self/environ",
		parent+"environ", parent+"mem", "/sys/kernel/uevent_seqnum", "/dev/mem", "/root/.bashrc")
	allFail(t, r, 11)
	if env := strings.SplitN(string(r.Stdout), "\n", 2)[0]; env != "environment [GOMAXPROCS=1]" {
		t.Error(env)
	}
}

func TestInheritedFilesDoNotReachTheProgram(t *testing.T) {
	folder, err := unix.Open("/etc", unix.O_RDONLY|unix.O_DIRECTORY, 0) // without O_CLOEXEC, like a shell
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(folder)
	const fd = 200 // the program itself opens fewer files
	if err := unix.Dup3(folder, fd, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	allFail(t, sandboxed(t, "use an inherited file", strconv.Itoa(fd)), 3)
}

func TestThereIsNoNetwork(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	allFail(t, sandboxed(t, "connect", l.Addr().String()), 3)
	select {
	case err := <-accepted:
		t.Errorf("accepted a connection: %v", err)
	default:
	}
}

func TestLinksLeadNowhere(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := errors.Join(os.WriteFile(secret, []byte("secret"), 0o666), os.Chmod(secret, 0o666)); err != nil {
		t.Fatal(err)
	}
	got := lines(sandboxed(t, "link", secret))
	for _, what := range []string{"read", "write", "link", "dots"} {
		if got[what] == "" || got[what] == "<nil>" {
			t.Errorf("%s: %q", what, got[what])
		}
	}
	if text, err := os.ReadFile(secret); string(text) != "secret" {
		t.Errorf("%q, %v", text, err)
	}
	c := deed("lead out", "marker-"+rand.Text(), secret)
	c.Outputs = []string{"result"}
	if r, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "result") {
		t.Errorf("%+v, %v: returned a linked file", r, err)
	}
}

func TestSignalsReachNobodyOutside(t *testing.T) {
	witness := exec.Command("sleep", "600")
	if err := witness.Start(); err != nil {
		t.Skip(err)
	}
	r := sandboxed(t, "signal", strconv.Itoa(witness.Process.Pid))
	if string(r.Stdout) != "alive\n" || r.ExitCode != 0 {
		t.Errorf("%+v: %s", r, r.Stdout)
	}
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(witness.Process.Pid, &status, syscall.WNOHANG|syscall.WUNTRACED, nil); pid != 0 {
		t.Errorf("the process outside ended or stopped: %#x, %v", status, err)
	} else if err := errors.Join(err, witness.Process.Kill()); err != nil {
		t.Error(err)
	}
	witness.Wait()
}

func TestChildrenDoNotOutliveTheProgram(t *testing.T) {
	r := sandboxed(t, "outlive")
	if r.ExitCode != 0 || r.Exceeded != "" {
		t.Errorf("%+v", r)
	}
	if started := lines(r)["start"] == "<nil>"; started != (os.Getenv(refuse) == "") {
		t.Errorf("started a child: %t", started)
	}
}

func TestProcessesAreBounded(t *testing.T) {
	r := sandboxed(t, "start many")
	n, err := strconv.Atoi(strings.TrimSpace(string(r.Stdout)))
	if alone := os.Getenv(refuse) != ""; err != nil || r.ExitCode != 0 || alone && n > 0 || !alone && (n < 1 || n > 48) {
		t.Errorf("started %d processes (%v), want at most those of the limit: %+v", n, err, r)
	}
}

func TestTheWorkingFolderIsBounded(t *testing.T) {
	if os.Getenv(refuse) != "" {
		t.Skip("a single process has a limit for each file")
	}
	r := sandboxed(t, "fill the disk")
	if !strings.Contains(lines(r)["write"], "no space left") {
		t.Errorf("%+v: %s", r, r.Stdout)
	}
}

func TestPrivilegesCannotBeRegained(t *testing.T) {
	allFail(t, sandboxed(t, "break out"), 11)
}

func TestResultsComeBack(t *testing.T) {
	c := deed("answer", "marker", "x", "y", "z")
	c.Stdin, c.Outputs = []byte("input"), []string{"result"}
	for _, status := range []int{3, 0} {
		r, err := Run(t.Context(), c)
		var none *UnavailableError
		if errors.As(err, &none) {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		if string(r.Stdout) != "got inputresult: <nil>\n" || string(r.Stderr) != "aside" || string(r.Data) != "data" ||
			r.ExitCode != status || r.Signal != "" || r.Exceeded != "" {
			t.Errorf("%+v: %s", r, r.Stdout)
		}
		if returned := string(r.Outputs["result"]) == "output"; returned != (status == 0) {
			t.Errorf("status %d returns %q", status, r.Outputs)
		}
		c.Argv = c.Argv[:4]
	}
}

func TestManyRunAtOnce(t *testing.T) {
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			c := deed("answer", "marker")
			c.Stdin, c.Limits.Wall = []byte(strconv.Itoa(i)), time.Minute
			r, err := Run(t.Context(), c)
			var none *UnavailableError
			if errors.As(err, &none) {
				return
			}
			if err != nil || string(r.Stdout) != fmt.Sprintf("got %dresult: <nil>\n", i) {
				t.Errorf("run %d: %+v, %v", i, r, err)
			}
		})
	}
	all.Wait()
}

func TestCancellationEndsTheProgram(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	marker := "marker-" + rand.Text()
	if r, err := Run(ctx, deed("sleep", marker)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%+v, %v", r, err)
	}
	if left := processes(t, marker); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

func TestProgramsDieWithTheirCaller(t *testing.T) {
	sandboxed(t, "answer")
	marker := "marker-" + rand.Text()
	caller := exec.Command(executable(), "caller", marker, "sleep")
	caller.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	if err := caller.Start(); err != nil {
		t.Fatal(err)
	}
	running := func() bool {
		return slices.ContainsFunc(processes(t, marker), func(line string) bool { return strings.Contains(line, "hostile") })
	}
	for begin := time.Now(); !running(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > slack {
			caller.Process.Kill()
			caller.Wait()
			t.Fatal("the program did not start")
		}
	}
	if err := caller.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	caller.Wait()
	for begin := time.Now(); len(processes(t, marker)) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > slack {
			t.Fatalf("left %q", processes(t, marker))
		}
	}
}

func TestIllFormedCommandsAreRefused(t *testing.T) {
	for want, c := range map[string]Command{
		"Command.Argv is []":      {},
		`Command.Argv is ["sh"]`:  {Argv: []string{"sh"}},
		`file name "../x"`:        {Argv: []string{"/x"}, Files: map[string][]byte{"../x": nil}},
		`file name "a/b"`:         {Argv: []string{"/x"}, Outputs: []string{"a/b"}},
		`Expose has "/"`:          {Argv: []string{"/x"}, Expose: []string{"/"}},
		`Expose has "/usr/../x"`:  {Argv: []string{"/x"}, Expose: []string{"/usr/../x"}},
		`Expose has "/proc/self"`: {Argv: []string{"/x"}, Expose: []string{"/proc/self"}},
		"Limits.Memory is -1":     {Argv: []string{"/x"}, Limits: Limits{Memory: -1}},
	} {
		if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestAMissingProgramIsAnError(t *testing.T) {
	c := deed("answer", "marker")
	c.Argv[0] = ProgramDir + "/none"
	_, err := Run(t.Context(), c)
	var none *UnavailableError
	if errors.As(err, &none) {
		t.Skip(err)
	}
	if err == nil || !strings.Contains(err.Error(), "/none: no such file") {
		t.Errorf("error %v, want one that names the program", err)
	}
}

// TestWithoutNamespaces runs these tests in a separate process in which namespaces are refused.
func TestWithoutNamespaces(t *testing.T) {
	if os.Getenv(refuse) != "" {
		if _, err := Run(t.Context(), Command{Argv: deed("answer", "x").Argv}); err == nil ||
			!strings.Contains(err.Error(), "sandbox: not available: namespaces:") {
			t.Errorf("error %v, want a refusal", err)
		}
		return
	}
	if _, err := landlockABI(); err != nil {
		t.Skipf("Landlock: %v", err)
	}
	c := exec.Command(executable(), "-test.v", "-test.timeout=10m")
	c.Env = append(os.Environ(), refuse+"=1")
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}
