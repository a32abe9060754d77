package curves

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	nan = math.NaN()
	inf = math.Inf(1)
)

// read decodes a PNG file.
func read(t *testing.T, path string) image.Image {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// count returns the number of pixels of a part of img that is says yes to.
func count(img image.Image, part image.Rectangle, is func(r, g, b uint32) bool) int {
	n := 0
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			r, g, b, _ := img.At(x, y).RGBA()
			if is(r>>8, g>>8, b>>8) {
				n++
			}
		}
	}
	return n
}

func blue(r, g, b uint32) bool  { return r < 0x60 && b > 0x80 && b > r+0x40 }
func grey(r, g, b uint32) bool  { return r == 0xa0 && g == 0xa0 && b == 0xa0 }
func white(r, g, b uint32) bool { return r == 0xff && g == 0xff && b == 0xff }

// chart returns the rectangle of the chart at a place of the grid.
func chart(column, row int) image.Rectangle {
	return image.Rect(0, 0, ChartWidth, ChartHeight).Add(image.Pt(column*ChartWidth, row*ChartHeight))
}

// run returns the figure of a run of the given number of steps.
func run(steps int) Figure {
	var f Figure
	var rows []map[string]float64
	for i := range steps {
		rows = append(rows, map[string]float64{
			"step": float64(i), "reward": 1 - math.Exp(-float64(i)/10),
			"completions/mean_length": 60 + 10*math.Sin(float64(i)/6),
			"entropy":                 0.3 / (1 + float64(i)/20), "frac_reward_zero_std": 0.005 * float64(i),
		})
		if i%10 == 0 {
			rows[i]["eval_accuracy"] = 0.3 + 0.005*float64(i)
		}
	}
	for _, name := range []string{"reward", "eval_accuracy", "completions/mean_length", "entropy",
		"frac_reward_zero_std"} {
		f.Panels = append(f.Panels, Series(rows, "step", name))
	}
	load := HeatMap{Title: "expert load"}
	for e := range 8 {
		load.Z = append(load.Z, make([]float64, steps))
		for i := range steps {
			load.Z[e][i] = 0.125 + 0.1*math.Sin(float64(e))*math.Exp(-float64(i)/20)
		}
	}
	f.Maps = []HeatMap{load}
	return f
}

func TestPNGHasOneChartInEachPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "curves.png")
	for _, test := range []struct{ columns, wantColumns, wantRows int }{{0, 3, 2}, {2, 2, 3}, {4, 4, 2}} {
		f := run(60)
		f.Columns = test.columns
		if err := PNG(path, f); err != nil {
			t.Fatal(err)
		}
		img := read(t, path)
		want := image.Pt(test.wantColumns*ChartWidth, test.wantRows*ChartHeight)
		if got := img.Bounds().Size(); got != want {
			t.Fatalf("%d columns: size %v, want %v", test.columns, got, want)
		}
		for i := range test.wantColumns * test.wantRows {
			place := chart(i%test.wantColumns, i/test.wantColumns)
			line, drawn := count(img, place, blue), ChartWidth*ChartHeight-count(img, place, white)
			switch {
			case i < 5 && line < 100:
				t.Errorf("%d columns: %d pixels of panel %d's line", test.columns, line, i)
			case i == 5 && drawn < ChartWidth*ChartHeight/2:
				t.Errorf("%d columns: %d pixels of the heat map", test.columns, drawn)
			case i > 5 && drawn > 0:
				t.Errorf("%d columns: %d pixels in the empty place %d", test.columns, drawn, i)
			}
		}
	}
}

func TestSeriesLeavesOutRowsWithoutTheMetric(t *testing.T) {
	rows := []map[string]float64{{"step": 1, "a": 5}, {"step": 2}, {"a": 7}, {"step": 4, "a": 8}}
	want := Panel{Title: "a", XLabel: "step", X: []float64{1, 4}, Y: []float64{5, 8}}
	if diff := cmp.Diff(want, Series(rows, "step", "a")); diff != "" {
		t.Errorf("Series (-want +got):\n%s", diff)
	}
}

func TestPointsThatAreNotFiniteLeaveAGap(t *testing.T) {
	dir := t.TempDir()
	draw := func(y ...float64) (int, []byte) {
		path := filepath.Join(dir, "p.png")
		x := []float64{0, 1, 2, 3, 4, 5, 6, 7, 8}
		if err := PNG(path, Figure{Panels: []Panel{{Title: "loss", X: x, Y: y}}}); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return count(read(t, path), chart(0, 0), blue), data
	}
	whole, _ := draw(1, 1, 1, 1, 1, 1, 1, 1, 2)
	gap, withGap := draw(1, 1, 1, nan, inf, 1, 1, 1, 2)
	if gap < whole/3 || gap > whole*9/10 {
		t.Errorf("%d pixels of the line with a gap, %d without", gap, whole)
	}
	// A lone point is a dot.
	if dot, _ := draw(nan, nan, 1, nan, nan, nan, nan, nan, nan); dot < 4 {
		t.Errorf("%d pixels of a lone point", dot)
	}
	// The title counts the gaps.
	chart, err := Panel{Title: "loss", X: []float64{0, 1, 2}, Y: []float64{1, nan, -inf}}.chart()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := chart.Title.Text, "loss (2 not finite)"; got != want {
		t.Errorf("title %q, want %q", got, want)
	}
	if _, again := draw(1, 1, 1, nan, inf, 1, 1, 1, 2); !bytes.Equal(withGap, again) {
		t.Error("the same figure gives different files")
	}
}

func TestHeatMapShowsNaNGreyAndAConstantInColour(t *testing.T) {
	path := filepath.Join(t.TempDir(), "map.png")
	draw := func(z [][]float64) int {
		if err := PNG(path, Figure{Maps: []HeatMap{{Title: "load", Z: z}}}); err != nil {
			t.Fatal(err)
		}
		return count(read(t, path), chart(0, 0), grey)
	}
	if n := draw([][]float64{{1, 2}, {3, nan}}); n < ChartWidth*ChartHeight/10 {
		t.Errorf("%d grey pixels for a quarter of NaN", n)
	}
	for _, v := range []float64{0, 0.125, -1e20} {
		if n := draw([][]float64{{v, v}, {v, v}}); n > 100 {
			t.Errorf("%d grey pixels in a map of %g", n, v)
		}
	}
}

func TestChartsWithNothingToDrawAreErrorsThatNameThem(t *testing.T) {
	xy := []float64{0, 1}
	good := Panel{Title: "good", X: xy, Y: xy}
	for want, f := range map[string]Figure{
		"the figure has no charts": {},
		"-1 columns":               {Panels: []Panel{good}, Columns: -1},
		`panel 1, "kl": none of its 0 points is finite`:  {Panels: []Panel{good, {Title: "kl"}}},
		`panel 0, "kl": none of its 2 points is finite`:  {Panels: []Panel{{Title: "kl", X: xy, Y: []float64{nan, inf}}}},
		`panel 0, "kl": 2 x for 1 y`:                     {Panels: []Panel{{Title: "kl", X: xy, Y: xy[:1]}}},
		`panel 0, "kl": x[1] is NaN`:                     {Panels: []Panel{{Title: "kl", X: []float64{0, nan}, Y: xy}}},
		`heat map 0, "load": it is empty`:                {Panels: []Panel{good}, Maps: []HeatMap{{Title: "load"}}},
		`heat map 0, "load": all of it is NaN`:           {Maps: []HeatMap{{Title: "load", Z: [][]float64{{nan}}}}},
		`heat map 0, "load": z[1][0] is +Inf`:            {Maps: []HeatMap{{Title: "load", Z: [][]float64{{1}, {inf}}}}},
		`heat map 0, "load": row 1 has 2 columns, row 0`: {Maps: []HeatMap{{Title: "load", Z: [][]float64{{1}, xy}}}},
		`heat map 0, "load": 2 x for 1 columns`:          {Maps: []HeatMap{{Title: "load", X: xy, Z: [][]float64{{1}}}}},
		`heat map 0, "load": x[1] is 0`: {Maps: []HeatMap{{Title: "load", X: []float64{0, 0},
			Z: [][]float64{xy}}}},
	} {
		path := filepath.Join(t.TempDir(), "curves.png")
		err := PNG(path, f)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%q: a file was written", want)
		}
	}
}

// failing writes a part of its content.
type failing struct{}

var errDisk = errors.New("disk full")

func (failing) WriteTo(w io.Writer) (int64, error) {
	n, _ := w.Write([]byte("part"))
	return int64(n), errDisk
}

func TestFailedWriteKeepsTheOldFileAndLeavesNoOther(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "curves.png")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := replace(path, failing{}); !errors.Is(err, errDisk) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want %v with the path", err, errDisk)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("the file holds %q, error %v", got, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%d files, want 1; error %v", len(entries), err)
	}
	if err := PNG(filepath.Join(dir, "missing", "curves.png"), run(3)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing folder: error %v", err)
	}
}
