package lab

import (
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aha-go/aha/model/train/run"
)

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
	dead := map[string]any{"step": 1.0, "reward": 0.0, "rewards/countdown/mean": 0.0, "completions/mean_length": 50.0,
		"frac_reward_zero_std": 1.0}
	var heights []int
	for _, rows := range []run.Rows{{dead}, {dead, whole}} {
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
