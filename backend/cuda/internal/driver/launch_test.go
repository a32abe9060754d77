package driver

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func kernel(t testing.TB, d *Driver, name string) *Function {
	t.Helper()
	f, err := d.ModuleGetFunction(1, name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// shape has the layout of struct shape in testdata/stub.c.
type shape struct {
	rows  int32
	scale float32
	eps   float64
	tag   uint8
	_     [7]uint8
}

func TestLaunchPassesEachTypeOfParameter(t *testing.T) {
	s := openStub(t)
	f := kernel(t, s.Driver, "typed")
	s.log()
	sh := shape{rows: -7, scale: 0.25, eps: 1e-6, tag: 200}
	for range 2 { // the second time, with memory from the pool
		a := Struct(s.Args().Ptr(0xdead0000beef).U64(1<<63).I64(-5).I32(-6).F32(1.5).F64(2.5), &sh)
		fine(t, s.Launch(f, Dim{10, 20, 30}, Dim{X: 256, Y: 2}, 1024, 0x51, a))
		s.logged(t,
			"cuLaunchKernel 0xf001 10,20,30 256,2,1 1024 0x51 (nil)",
			"typed 0xdead0000beef 9223372036854775808 -5 -6 1.5 2.5 {-7 0.25 1e-06 200} end (nil)")
	}
}

func TestTooManyParametersPanic(t *testing.T) {
	d := openStub(t).Driver
	for name, fill := range map[string]func(a *Args){
		"number": func(a *Args) {
			for range maxParams + 1 {
				a.I32(0)
			}
		},
		"size": func(a *Args) { Struct(a.I32(0), new([paramBytes]byte)) },
	} {
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "64 parameters and 4096 bytes") {
					t.Errorf("%s: recovered %v", name, r)
				}
			}()
			fill(d.Args())
		}()
	}
}

func TestAFailedLaunchNamesItsKernel(t *testing.T) {
	s := openStub(t)
	f := kernel(t, s.Driver, "rmsnorm")
	s.failOnce("cuLaunchKernel", InvalidValue)
	err := s.Launch(f, Dim{X: 4}, Dim{X: 2048}, 16, 0x51, s.Args())
	if !errors.Is(err, InvalidValue) ||
		!strings.Contains(err.Error(), "cuLaunchKernel (rmsnorm<<<(4,1,1), (2048,1,1), 16>>> on stream 0x51): NAME_1 (1)") {
		t.Error(err)
	}
}

func TestAStickyErrorNamesTheRecentLaunches(t *testing.T) {
	s := openStub(t)
	launch := func(name string, q Stream) {
		t.Helper()
		fine(t, s.Launch(kernel(t, s.Driver, name), Dim{X: 1}, Dim{X: 32}, 0, q, s.Args()))
	}
	pending := func(code Result) string {
		t.Helper()
		s.failOnce("cuStreamSynchronize", code)
		var e *Error
		if err := s.StreamSynchronize(1); !errors.As(err, &e) {
			t.Fatal(err)
		}
		var names []string
		for _, l := range e.Launches {
			names = append(names, l.Kernel)
			if !strings.Contains(e.Error(), "\n\t"+l.String()) {
				t.Errorf("%v does not show %v", e, l)
			}
		}
		return strings.Join(names, " ")
	}
	launch("a", 1)
	launch("b", 2)
	want(t, "launches", pending(700), nil, "a b")
	want(t, "launches of an error that is not sticky", pending(2), nil, "")
	fine(t, s.StreamSynchronize(1))
	want(t, "launches after stream 1 ended well", pending(719), nil, "b")
	for i := range 20 {
		launch(fmt.Sprint("k", i), 1)
	}
	want(t, "launches", pending(700), nil, "k4 k5 k6 k7 k8 k9 k10 k11 k12 k13 k14 k15 k16 k17 k18 k19")
	fine(t, s.CtxSynchronize())
	want(t, "launches after the context ended well", pending(700), nil, "")
}

func TestSteadyCallsAllocateNothing(t *testing.T) {
	s := openStub(t)
	s.silence()
	f := kernel(t, s.Driver, "typed")
	sh := shape{rows: 1}
	host, err := s.MemHostAlloc(64, 0)
	fine(t, err)
	mem, err := s.MemAlloc(128)
	fine(t, err)
	for name, do := range map[string]func() error{
		"Launch": func() error {
			a := Struct(s.Args().Ptr(mem).U64(1).I64(2).I32(3).F32(4).F64(5), &sh)
			return s.Launch(f, Dim{X: 1}, Dim{X: 32}, 0, 1, a)
		},
		"MemcpyHtoDAsync":   func() error { return s.MemcpyHtoDAsync(mem, host, 1) },
		"MemcpyDtoHAsync":   func() error { return s.MemcpyDtoHAsync(host, mem, 1) },
		"MemcpyDtoDAsync":   func() error { return s.MemcpyDtoDAsync(mem, mem+64, 64, 1) },
		"MemsetD8Async":     func() error { return s.MemsetD8Async(mem, 1, 128, 1) },
		"EventRecord":       func() error { return s.EventRecord(1, 1) },
		"EventQuery":        func() error { _, err := s.EventQuery(1); return err },
		"EventSynchronize":  func() error { return s.EventSynchronize(1) },
		"StreamWaitEvent":   func() error { return s.StreamWaitEvent(1, 1) },
		"StreamQuery":       func() error { _, err := s.StreamQuery(1); return err },
		"StreamSynchronize": func() error { return s.StreamSynchronize(1) },
		"MemGetInfo":        func() error { _, _, err := s.MemGetInfo(); return err },
		"Pin": func() error {
			p, err := s.Pin(7)
			if err != nil {
				return err
			}
			return p.Release()
		},
	} {
		n := testing.AllocsPerRun(1000, func() {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func BenchmarkLaunch(b *testing.B) {
	s := openStub(b)
	s.silence()
	f := kernel(b, s.Driver, "plain")
	b.ReportAllocs()
	for b.Loop() {
		a := s.Args().Ptr(1).Ptr(2).Ptr(3).I32(4).I32(5).F32(6)
		if err := s.Launch(f, Dim{X: 1}, Dim{X: 32}, 0, 1, a); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPin(b *testing.B) {
	s := openStub(b)
	s.silence()
	b.ReportAllocs()
	for b.Loop() {
		p, err := s.Pin(7)
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Release(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEventRecord(b *testing.B) {
	s := openStub(b)
	s.silence()
	b.ReportAllocs()
	for b.Loop() {
		if err := s.EventRecord(1, 1); err != nil {
			b.Fatal(err)
		}
	}
}
