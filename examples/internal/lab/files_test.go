package lab

import (
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type settings struct {
	Seed  uint64         `json:"seed"`
	Scale Scale          `json:"scale"`
	More  map[string]any `json:"more,omitempty"`
}

func TestSettleListsEveryDifference(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	first := settings{Seed: 1<<63 + 1, Scale: Full}
	for range 2 {
		if err := Settle(path, first); err != nil {
			t.Fatal(err)
		}
	}
	other := settings{Seed: 1 << 63, Scale: Full, More: map[string]any{"new": true}}
	other.Scale.Group, other.Scale.MaxTokens = 16, 100
	err := Settle(path, other)
	if err == nil {
		t.Fatal("other settings were accepted")
	}
	for _, want := range []string{
		path, "seed: there 9223372036854775809, now 9223372036854775808",
		"scale.group: there 8, now 16", "scale.max_tokens: there 200, now 100", `more: there null, now {"new":true}`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "there "); n != 4 {
		t.Errorf("%d differences: %v", n, err)
	}
	if err := Settle(path, first); err != nil {
		t.Errorf("the refusal changed the file: %v", err)
	}
	write(t, path, "{")
	if err := Settle(path, first); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error for a damaged file: %v", err)
	}
}

func TestReadMetricsNamesTheBadLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	write(t, path, "{\"step\":1,\"reward\":0.5}\n{\"step\":2,\"reward\":null}\n")
	rows, err := ReadMetrics(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Rows{{"step": 1.0, "reward": 0.5}, {"step": 2.0, "reward": nil}}, rows); diff != "" {
		t.Error(diff)
	}
	write(t, path, "{\"step\":1}\n{\"step\"\n")
	if _, err := ReadMetrics(path); err == nil || !strings.Contains(err.Error(), path+": line 2") {
		t.Errorf("error is %v", err)
	}
}

func TestMaxIsOverTheRowsThatHaveTheMetric(t *testing.T) {
	for _, c := range []struct {
		rows Rows
		want float64
		ok   bool
	}{
		{Rows{{"a": -3.0}, {"b": 9.0}, {"a": -2.0}}, -2, true},
		{Rows{{"a": 1.0}, {"a": nil}, {"a": 2.0}}, math.NaN(), true},
		{Rows{{"b": 9.0}}, 0, false},
		{nil, 0, false},
	} {
		got, ok := c.rows.Max("a")
		if ok != c.ok || got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%v: %g, %v; want %g, %v", c.rows, got, ok, c.want, c.ok)
		}
	}
}

func TestBalanceAveragesWindowsOfEnoughAssignments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	// Layers 1 and 2 with two experts: each window of 8192 takes two steps; the
	// fifth step is left over. MaxVio is max/mean − 1.
	lines := `{"step":1,"moe/1/load":[4096,0],"moe/2/load":[2048,2048]}
{"step":2,"moe/1/load":[2048,2048],"moe/2/load":[2048,2048]}
{"step":3,"moe/1/load":[2048,2048],"moe/2/load":[2048,2048]}
{"step":4,"moe/1/load":[2048,2048],"moe/2/load":[3072,1024]}
{"step":5,"moe/1/load":[4096,0],"moe/2/load":[4096,0]}
`
	write(t, path, lines)
	b, err := ReadBalance(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{0.25, 0.125}, b.Windows); diff != "" {
		t.Error(diff)
	}
	if b.First(1) != 0.25 || b.Last(1) != 0.125 || b.First(10) != 0.1875 {
		t.Errorf("first %g, last %g, mean %g", b.First(1), b.Last(1), b.First(10))
	}
	var none Balance
	if none.First(3) != 0 || none.Last(3) != 0 {
		t.Error("the mean of no windows is not 0")
	}
}

// A step in which all groups are dead has neither entropy nor loads.
func TestDrawLeavesOutWhatNoStepHas(t *testing.T) {
	whole := map[string]any{
		"step": 2.0, "reward": 0.5, "rewards/countdown/mean": 0.5, "completions/mean_length": 50.0, "entropy": 1.0,
		"frac_reward_zero_std": 0.5, "grad_norm": 1.0, "moe/1/load": []any{3.0, 5.0},
	}
	dead := map[string]any{"step": 1.0, "reward": 0.0, "rewards/countdown/mean": 0.0, "completions/mean_length": 50.0, "frac_reward_zero_std": 1.0}
	var heights []int
	for _, rows := range []Rows{{dead}, {dead, whole}} {
		path := filepath.Join(t.TempDir(), "curves.png")
		if err := Draw(path, rows); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		shape, err := png.DecodeConfig(f)
		if err != nil {
			t.Fatal(err)
		}
		heights = append(heights, shape.Height)
	}
	if 3*heights[0] != 2*heights[1] { // 4 charts in two rows; 6 and a heat map in three
		t.Errorf("the figures are %v high", heights)
	}
}
