package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestComputeByHand(t *testing.T) {
	// With 1000 parameters, sampling 200 tokens costs 2·1000·200, and training on 100
	// tokens costs 6·1000·100.
	if got := reading(1000, 200); got != 400e3 {
		t.Errorf("reading costs %g, want 4e5", got)
	}
	if got := learning(1000, 100); got != 600e3 {
		t.Errorf("learning costs %g, want 6e5", got)
	}
	// A step with 10 completions of 20 tokens costs (2 + 6)·1000·200 = 1.6e6.
	for _, c := range []struct {
		budget float64
		want   int
	}{{0, 1}, {1.6e6, 1}, {1.6e6 + 1, 2}, {16e6, 10}, {17e6, 11}} {
		got := rlSteps(c.budget, 1000, 10, 20)
		if got != c.want {
			t.Errorf("a budget of %g pays for %d steps, want %d", c.budget, got, c.want)
		}
	}
}

func TestTableLinesUp(t *testing.T) {
	var text strings.Builder
	err := print(&text, []row{
		{Name: "base", Pass1: 0.351, Pass16: 1, Maj16: 0.744, Length: 50.47, Seconds: 120.4},
		{Name: "SFT, teacher's traces", Pass1: 0.70, Pass16: 0.998, Maj16: 0.95, Length: 78, Trained: 1234567,
			Sampled: 890, FLOP: 3.456e12, Seconds: 61.6},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `                student  pass@1  pass@16  maj@16  length  trained tokens  sampled tokens  TFLOP  seconds
                   base   35.1%   100.0%   74.4%    50.5               0               0   0.00      120
  SFT, teacher's traces   70.0%    99.8%   95.0%    78.0         1234567             890   3.46       62
`
	if text.String() != want {
		t.Errorf("table:\n%s\nwant:\n%s", text.String(), want)
	}
}

func TestDefaultFoldersMatchThoseOfR1Zero(t *testing.T) {
	for _, c := range []struct {
		o    options
		want string
	}{
		{options{Seed: 1}, "r1zero"},
		{options{Seed: 1, Quick: true}, "r1zero-quick"},
		{options{Seed: 4, Quick: true}, "r1zero-quick-seed4"},
	} {
		if got := folder("r1zero", c.o); got != filepath.Join("out", c.want) {
			t.Errorf("%+v: %s, want out/%s", c.o, got, c.want)
		}
	}
}
