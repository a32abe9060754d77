package lab

import (
	"encoding/json"
	"errors"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aha-go/aha/examples/internal/curves"
)

// drawn writes the settings and the files of a run, draws it, and returns its folder and the titles of the charts.
func drawn(t *testing.T, files map[string]string) (dir string, titles []string) {
	t.Helper()
	dir = t.TempDir()
	config, err := json.Marshal(story{Seed: 7, Scale: Full, Model: Teacher()})
	if err != nil {
		t.Fatal(err)
	}
	for _, phase := range []string{"base", "grpo"} {
		if err := os.Mkdir(filepath.Join(dir, phase), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "config.json"), string(config))
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	if err := Draw(dir); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "curves.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := png.DecodeConfig(f)
	if err != nil {
		t.Fatal(err)
	}
	s, err := readStory(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range s.figure().Charts {
		switch c := c.(type) {
		case curves.Panel:
			titles = append(titles, c.Title)
		case curves.HeatMap:
			titles = append(titles, c.Title)
		case curves.Change:
			titles = append(titles, c.Title)
		}
	}
	if columns := min(3, len(titles)); size.Width != columns*curves.ChartWidth {
		t.Errorf("%d charts in a figure %d pixels wide", len(titles), size.Width)
	}
	return dir, titles
}

const (
	baseLine = `{"step":1,"lm_loss":3.5,"moe/1/load":[6144,2048]}` + "\n"
	deadLine = `{"step":1,"reward":0,"rewards/countdown/mean":0,"completions/mean_length":50,` +
		`"frac_reward_zero_std":1}` + "\n"
	wholeLine = `{"step":2,"reward":0.5,"rewards/countdown/mean":0.25,"completions/mean_length":50,"entropy":1,` +
		`"frac_reward_zero_std":0.5,"grad_norm":1,"moe/1/load":[3,5]}` + "\n"
	before = `{"pass1_before":0.25,"pass16_before":1,"maj16_before":0.5,"transcript":"?"}`
	after  = `{"pass1_after":0.75,"pass16_after":1,"maj16_after":1}`
)

func TestCurvesShowBothPhasesAndBothEvaluations(t *testing.T) {
	dir, got := drawn(t, map[string]string{"base/metrics.jsonl": baseLine, "grpo/metrics.jsonl": deadLine + wholeLine,
		"base/evaluation.json": before, "grpo/evaluation.json": after})
	want := []string{"Held-out problems: 512 × 16 samples", "Reward", "Training problems solved", "Length of completions",
		"Entropy of the policy", "Dead groups: all rewards equal", "Base model: loss of the next token",
		"Base model: MaxVio of the experts", "Norm of the gradient", "Load of the experts of layer 1, × uniform"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("charts (-want +got):\n%s", diff)
	}
	s, err := readStory(dir)
	if err != nil {
		t.Fatal(err)
	}
	f := s.figure()
	if want := "Countdown with three numbers, learned by GRPO: pass@1 25.0% → 75.0%"; f.Title != want {
		t.Errorf("title %q, want %q", f.Title, want)
	}
	if want := "DeepSeek-V3 architecture, 2.27 M parameters, 0.84 M active per token  ·  seed 7  ·  " +
		"2000 steps of base training, 60 of GRPO with 64 × 8 completions"; f.Subtitle != want {
		t.Errorf("subtitle %q, want %q", f.Subtitle, want)
	}
	marks := []curves.Mark{{Name: "pass@1", Before: 25, After: 75}, {Name: "pass@16", Before: 100, After: 100},
		{Name: "maj@16", Before: 50, After: 100}}
	if diff := cmp.Diff(marks, f.Charts[0].(curves.Change).Marks); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	solved := f.Charts[2].(curves.Panel)
	if diff := cmp.Diff([]curves.Line{{X: []float64{1, 2}, Y: []float64{0, 25}}}, solved.Lines); diff != "" {
		t.Errorf("percents (-want +got):\n%s", diff)
	}
	if vio := f.Charts[7].(curves.Panel).Lines[0]; !cmp.Equal(vio.Y, []float64{0.5}) || !cmp.Equal(vio.X, []float64{1}) {
		t.Errorf("MaxVio %v", vio)
	}
	load := f.Charts[9].(curves.HeatMap)
	if diff := cmp.Diff([][]float64{{0.75}, {1.25}}, load.Z); diff != "" || load.Low != 0 || load.High != 2 {
		t.Errorf("scale %g to %g, loads (-want +got):\n%s", load.Low, load.High, diff)
	}
}

// A step without a group that has different rewards has neither entropy nor loads, and a run that was stopped has no
// evaluation.
func TestCurvesLeaveOutWhatIsNotThereYet(t *testing.T) {
	base := []string{"Base model: loss of the next token", "Base model: MaxVio of the experts"}
	if _, got := drawn(t, map[string]string{"base/metrics.jsonl": baseLine}); !cmp.Equal(got, base) {
		t.Errorf("charts of a base training: %q", got)
	}
	_, got := drawn(t, map[string]string{"grpo/metrics.jsonl": deadLine})
	want := []string{"Reward", "Training problems solved", "Length of completions", "Dead groups: all rewards equal"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("charts of a dead step (-want +got):\n%s", diff)
	}
	dir, _ := drawn(t, map[string]string{"base/metrics.jsonl": baseLine, "base/evaluation.json": before})
	s, err := readStory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if f := s.figure(); strings.Contains(f.Title, "→") || f.Charts[0].(curves.Change).Marks[0].Before != 25 {
		t.Errorf("before the evaluation after: title %q, charts %v", f.Title, f.Charts[0])
	}
}

func TestLongBaseTrainingsAreAveraged(t *testing.T) {
	var s story
	for i := range 401 {
		s.base = append(s.base, map[string]any{"step": float64(i + 1), "lm_loss": float64(i % 3)})
	}
	p := s.baseCharts()[0].(curves.Panel)
	if n := len(p.Lines[0].X); n != 134 || p.XLabel != baseStep+", means of 3" || p.Lines[0].Y[0] != 1 {
		t.Errorf("%d points, the first %g, under %q", n, p.Lines[0].Y[0], p.XLabel)
	}
}

func TestDrawNamesTheFileAtFault(t *testing.T) {
	dir := t.TempDir()
	if err := Draw(dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("no run: %v", err)
	}
	write(t, filepath.Join(dir, "config.json"), `{"seed":1}`)
	if err := Draw(dir); err == nil || !strings.Contains(err.Error(), "config.json: ") {
		t.Errorf("settings without a model: %v", err)
	}
	config, err := json.Marshal(story{Model: Teacher()})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "config.json"), string(config))
	if err := Draw(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("nothing to draw: %v", err)
	}
	for _, name := range []string{"base/metrics.jsonl", "grpo/evaluation.json", "config.json"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		write(t, path, "{\n")
		if err := Draw(dir); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("damaged %s: %v", name, err)
		}
		if name != "config.json" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
}
