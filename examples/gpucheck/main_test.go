package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/backendtest"
)

// fault executes RMSNorm for the driver "faulty".
var fault func(b backend.Backend, op *backend.RMSNorm) error

// faulty is the CPU backend, except that fault executes RMSNorm.
type faulty struct{ backend.Decorator }

func (f faulty) Name() string { return "faulty" }

func (f faulty) Do(op backend.Op) error {
	if o, ok := op.(*backend.RMSNorm); ok {
		return fault(f.Backend, o)
	}
	return f.Backend.Do(op)
}

func init() {
	backend.Register("faulty", func(string) (backend.Backend, error) {
		b, err := backend.Open("cpu")
		return faulty{backend.Decorator{Backend: b}}, err
	})
}

// checked runs o and returns what it printed.
func checked(t *testing.T, o options) (string, error) {
	t.Helper()
	ops, err := o.ops()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	done := 0
	err = run(context.Background(), o, ops, &out, func(string) {}, func() { done++ })
	if done != len(ops) {
		t.Errorf("%d ops of %d are done; error %v", done, len(ops), err)
	}
	return out.String(), err
}

func TestEveryOpHasItsLines(t *testing.T) {
	out, err := checked(t, options{Device: "cpu", Quick: true, JSON: true})
	if err != nil {
		t.Fatal(err)
	}
	var checks, times, devices []string
	for text := range strings.Lines(out) {
		var kind struct{ Line string }
		if err := json.Unmarshal([]byte(text), &kind); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		switch kind.Line {
		case "device":
			var x device
			if err := d.Decode(&x); err != nil || !(x.Launch > 0 && x.Copy > 0) || len(x.MatMul) != 2*len(backend.Formats()) {
				t.Errorf("error %v: %s", err, text)
			}
			devices = append(devices, x.Device)
		case "check":
			var x check
			if err := d.Decode(&x); err != nil || x.Cases == 0 || x.Error > 1 || x.CPU != 0 ||
				(x.Worst == "") != (x.Error == 0) {
				t.Errorf("error %v: %s", err, text)
			}
			checks = append(checks, x.Op)
		case "time":
			var x timing
			if err := d.Decode(&x); err != nil || !(x.Seconds > 0 && x.GBs > 0 && x.Share > 0) || x.Limit == "" ||
				!strings.HasPrefix(x.Case, x.Op+"/"+x.DType+"/") {
				t.Errorf("error %v: %s", err, text)
			}
			times = append(times, x.Op)
		default:
			t.Errorf("line %q", text)
		}
	}
	if got := slices.Compact(checks); !slices.Equal(got, backendtest.Ops()) {
		t.Errorf("checked %v", got)
	}
	if got := slices.Compact(times); !slices.Equal(got, backendtest.Ops()) {
		t.Errorf("timed %v", got)
	}
	if !slices.Equal(devices, []string{"cpu"}) {
		t.Errorf("devices %q", devices)
	}
}

func TestMissesAreNamedAndFail(t *testing.T) {
	ones := func(b backend.Backend, op *backend.RMSNorm) error { return b.Do(&backend.Fill{Dst: op.Y, Value: 1}) }
	for _, x := range []struct {
		what  string
		fault func(b backend.Backend, op *backend.RMSNorm) error
		want  string // in the table
	}{
		{"wrong", ones, "largest error Rstd["},
		{"unsupported", func(b backend.Backend, op *backend.RMSNorm) error { return backend.Unsupported(b, op, "") },
			"not supported, and the CPU supports it"},
	} {
		fault = x.fault
		o := options{Device: "faulty", Ops: "RMSNorm,Copy", Quick: true}
		out, err := checked(t, o)
		if err == nil || !strings.HasPrefix(err.Error(), "faulty: ") || !strings.HasSuffix(err.Error(), " misses") {
			t.Errorf("%s: error %v", x.what, err)
		}
		if !strings.Contains(out, "MISS RMSNorm/F32/") || !strings.Contains(out, x.want) ||
			strings.Contains(out, "MISS Copy") {
			t.Errorf("%s: want %q in\n%s", x.what, x.want, out)
		}
		o.JSON = true
		if out, err = checked(t, o); err == nil || !strings.Contains(out, `"misses":["RMSNorm/F32/`) {
			t.Errorf("%s: error %v, lines\n%s", x.what, err, out)
		}
	}
}

// lost is the CPU backend until it gets an RMSNorm; from then on every call fails.
type lost struct {
	backend.Decorator
	err error
}

func (l *lost) Do(op backend.Op) error {
	if _, ok := op.(*backend.RMSNorm); ok {
		l.err = errors.New("the device failed")
	}
	return cmp.Or(l.err, l.Backend.Do(op))
}

func (l *lost) Sync() error { return l.err }

func TestADeviceThatFailsEndsTheCheck(t *testing.T) {
	backend.Register("lost", func(string) (backend.Backend, error) {
		b, err := backend.Open("cpu")
		return &lost{Decorator: backend.Decorator{Backend: b}}, err
	})
	var out bytes.Buffer
	done := 0
	o := options{Device: "lost", Quick: true}
	err := run(context.Background(), o, []string{"Copy", "RMSNorm", "SwiGLU"}, &out, func(string) {}, func() { done++ })
	if err == nil || !strings.HasPrefix(err.Error(), "RMSNorm: RMSNorm/F32/") ||
		!strings.HasSuffix(err.Error(), ": the device failed") || done != 1 {
		t.Errorf("%d ops are done; error %v", done, err)
	}
	if !strings.Contains(out.String(), "Copy ") || strings.Contains(out.String(), "SwiGLU ") {
		t.Errorf("table\n%s", out.String())
	}
}

func TestUnknownOpsAreNamed(t *testing.T) {
	if _, err := (options{Ops: "RMSNorm,RMSnorm"}).ops(); err == nil ||
		!strings.Contains(err.Error(), `-op "RMSnorm", want some of Copy, `) {
		t.Errorf("error %v", err)
	}
	if ops, err := (options{Ops: "RMSNorm, Copy"}).ops(); err != nil || !slices.Equal(ops, []string{"RMSNorm", "Copy"}) {
		t.Errorf("ops %q, error %v", ops, err)
	}
}

func TestAFewCasesAreOfEveryOpAndDType(t *testing.T) {
	kinds := func(cases []backendtest.Case) map[string]int {
		n := map[string]int{}
		for _, c := range cases {
			n[c.Op+" "+c.DType.String()]++
		}
		return n
	}
	some := kinds(few(backendtest.Cases()))
	for kind := range kinds(backendtest.Cases()) {
		if n := some[kind]; n < 1 || n > 4 {
			t.Errorf("%d cases of %s", n, kind)
		}
	}
}

func TestInfiniteErrorsPrint(t *testing.T) {
	var text, object bytes.Buffer
	c := check{Op: "Copy", Cases: 1, Error: finite(math.Inf(1)), CPU: 0.25}
	if err := (&table{out: &text}).op(c, nil); err != nil || !strings.Contains(text.String(), " +Inf     0.25 ") {
		t.Errorf("error %v: %s", err, text.String())
	}
	if err := newLines(&object).op(c, nil); err != nil || !strings.Contains(object.String(),
		`"error":1.7976931348623157e+308`) {
		t.Errorf("error %v: %s", err, object.String())
	}
}

// The environment names CUDA libraries that do not exist, as on a machine without CUDA.
func TestWithoutCUDAItNamesWhatWasTried(t *testing.T) {
	program := filepath.Join(t.TempDir(), "gpucheck")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	missing := filepath.Join(t.TempDir(), "libcuda.so")
	c := exec.Command(program, "-device", "cuda:0")
	c.Env = append(c.Environ(), "AHA_CUDA_DRIVER="+missing, "AHA_NVRTC="+missing+"nvrtc")
	out, err := c.CombinedOutput()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 {
		t.Errorf("error %v, want exit code 1", err)
	}
	_, opened := backend.Open("cuda:0")
	for _, want := range []string{"gpucheck: ", "$AHA_CUDA_DRIVER = " + missing, "$AHA_NVRTC = " + missing + "nvrtc",
		"install the NVIDIA driver"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in the message:\n%s", want, out)
		}
	}
	if opened == nil {
		return // this machine has CUDA, so the command below would succeed
	}
	c = exec.Command(program)
	if out, err = c.CombinedOutput(); err == nil || strings.TrimSpace(string(out)) != "gpucheck: "+opened.Error() {
		t.Errorf("error %v, message\n%s\nwant\n%v", err, out, opened)
	}
}
