package driver

import (
	"errors"
	"runtime"
	"sync"
	"testing"
)

func TestAPinnedGoroutineSeesItsContext(t *testing.T) {
	s := openStub(t)
	s.silence()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			ctx := Context(g + 1)
			for range 20 {
				p, err := s.Pin(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				for range 20 {
					runtime.Gosched()
					if got, err := s.CtxGetCurrent(); err != nil || got != ctx {
						t.Errorf("context %#x, %v inside a pin of %#x", got, err, ctx)
						return
					}
				}
				if err := p.Release(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestPinsNestAndRestoreTheContext(t *testing.T) {
	s := openStub(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fine(t, s.CtxSetCurrent(9))
	outer, err := s.Pin(1)
	fine(t, err)
	same, err := s.Pin(1)
	fine(t, err)
	inner, err := s.Pin(2)
	fine(t, err)
	ctx, err := s.CtxGetCurrent()
	want(t, "innermost context", ctx, err, 2)
	fine(t, inner.Release())
	fine(t, same.Release())
	ctx, err = s.CtxGetCurrent()
	want(t, "outer context", ctx, err, 1)
	fine(t, outer.Release())
	ctx, err = s.CtxGetCurrent()
	want(t, "context before all pins", ctx, err, 9)
	fine(t, s.CtxSetCurrent(0))
}

func TestAPinThatFailsReportsIt(t *testing.T) {
	s := openStub(t)
	for _, call := range []string{"cuCtxGetCurrent", "cuCtxSetCurrent"} {
		s.failOnce(call, 201)
		if _, err := s.Pin(1); !errors.Is(err, Result(201)) {
			t.Errorf("%s failed and Pin gave %v", call, err)
		}
	}
	p, err := s.Pin(1)
	fine(t, err)
	s.failOnce("cuCtxSetCurrent", 201)
	if err := p.Release(); !errors.Is(err, Result(201)) {
		t.Errorf("Release gave %v", err)
	}
}
