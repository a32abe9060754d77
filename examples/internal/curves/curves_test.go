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
	"gonum.org/v1/plot"
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

// count returns the number of pixels in a part of img for which is returns true.
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

// blue reports whether a colour is close to that of the first line, red and lightGrey whether it is close to the end
// and to the middle of a heat map's scale.
func blue(r, g, b uint32) bool { return r < 0x60 && b > 0x80 && b > r+0x40 }
func red(r, g, b uint32) bool  { return r > 0xa0 && g < 0x40 && b < 0x60 }
func lightGrey(r, g, b uint32) bool {
	return 0xd0 < min(r, g, b) && max(r, g, b) < 0xe8
}
func white(r, g, b uint32) bool { return r == 0xff && g == 0xff && b == 0xff }

// chart returns the rectangle of the chart in a column and row of the grid.
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
		f.Charts = append(f.Charts, Panel{Title: name, Lines: []Line{Series(rows, "step", name)}})
	}
	load := HeatMap{Title: "expert load", High: 2}
	for e := range 8 {
		load.Z = append(load.Z, make([]float64, steps))
		for i := range steps {
			load.Z[e][i] = 1 + 0.8*math.Sin(float64(e))*math.Exp(-float64(i)/20)
		}
	}
	f.Charts = append(f.Charts, load)
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
			case i == 5 && drawn < ChartWidth*ChartHeight*2/5:
				t.Errorf("%d columns: %d pixels of the heat map", test.columns, drawn)
			case i > 5 && drawn > 0:
				t.Errorf("%d columns: %d pixels in the empty cell %d", test.columns, drawn, i)
			}
		}
	}
}

func TestSeriesLeavesOutRowsWithoutTheMetric(t *testing.T) {
	rows := []map[string]float64{{"step": 1, "a": 5}, {"step": 2}, {"a": 7}, {"step": 4, "a": 8}}
	want := Line{X: []float64{1, 4}, Y: []float64{5, 8}}
	if diff := cmp.Diff(want, Series(rows, "step", "a")); diff != "" {
		t.Errorf("Series (-want +got):\n%s", diff)
	}
}

func TestPointsThatAreNotFiniteLeaveAGap(t *testing.T) {
	dir := t.TempDir()
	draw := func(y ...float64) (int, []byte) {
		path := filepath.Join(dir, "p.png")
		x := []float64{0, 1, 2, 3, 4, 5, 6, 7, 8}
		if err := PNG(path, Figure{Charts: []Chart{Panel{Title: "loss", Lines: []Line{{X: x, Y: y}}}}}); err != nil {
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
	// A point between gaps is drawn as a dot.
	if dot, _ := draw(nan, nan, 1, nan, nan, nan, nan, nan, nan); dot < 4 {
		t.Errorf("%d pixels of a point between gaps", dot)
	}
	// The title counts the gaps.
	chart, err := Panel{Title: "loss", Lines: []Line{{X: []float64{0, 1, 2}, Y: []float64{1, nan, -inf}}}}.plot()
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

func TestMeanIsOfSuccessivePoints(t *testing.T) {
	l := Line{Name: "loss", X: []float64{1, 2, 3, 4, 5}, Y: []float64{4, 2, 6, 0, 7}}
	want := Line{Name: "loss", X: []float64{2, 4, 5}, Y: []float64{3, 3, 7}}
	if diff := cmp.Diff(want, l.Mean(2)); diff != "" {
		t.Errorf("means of 2 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(l, l.Mean(1)); diff != "" {
		t.Errorf("means of 1 (-want +got):\n%s", diff)
	}
}

// labels returns the texts of the ticks of an axis.
func labels(a plot.Axis) (texts []string) {
	for _, tick := range a.Tick.Marker.Ticks(a.Min, a.Max) {
		texts = append(texts, tick.Label)
	}
	return texts
}

func TestAxesSayWhatAndHowMuch(t *testing.T) {
	p, err := Panel{Title: "Solved", XLabel: "step of GRPO", YLabel: "% of completions", YMax: 100,
		Lines: []Line{{Name: "all", X: []float64{1, 2, 3}, Y: []float64{30, 40, 41}},
			{Name: "hard", X: []float64{1, 2, 3}, Y: []float64{10, 11, 12}}}}.plot()
	if err != nil {
		t.Fatal(err)
	}
	got := []string{p.Title.Text, p.X.Label.Text, p.Y.Label.Text}
	if diff := cmp.Diff([]string{"Solved", "step of GRPO", "% of completions"}, got); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	// Ticks of steps are whole numbers, and the y axis covers the range up to YMax.
	if diff := cmp.Diff([]string{"1", "2", "3"}, labels(p.X)); diff != "" {
		t.Errorf("ticks of x (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"0", "20", "40", "60", "80", "100"}, labels(p.Y)); diff != "" {
		t.Errorf("ticks of y (-want +got):\n%s", diff)
	}
	p, err = Panel{Title: "loss", Lines: []Line{{X: []float64{0, 1}, Y: []float64{0.52, 0.58}}}}.plot()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields("0.52 0.53 0.54 0.55 0.56 0.57 0.58")
	if diff := cmp.Diff(want, labels(p.Y)); diff != "" || p.X.Label.Text != "step" {
		t.Errorf("x label %q, ticks of y (-want +got):\n%s", p.X.Label.Text, diff)
	}
}

func TestHeatMapLabelsEveryExpertAndItsScale(t *testing.T) {
	z := make([][]float64, 8)
	for e := range z {
		z[e] = []float64{1, 1.5}
	}
	m := HeatMap{Title: "load", Z: z, X: []float64{1, 2}, High: 2}
	scale := func() (texts []string) {
		for _, mark := range m.marks() {
			texts = append(texts, mark.Label)
		}
		return texts
	}
	p, err := m.plot()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Fields("0 1 2 3 4 5 6 7"), labels(p.Y)); diff != "" {
		t.Errorf("experts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"1", "2"}, labels(p.X)); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(strings.Fields("0 0.5 1 1.5 2"), scale()); diff != "" {
		t.Errorf("scale (-want +got):\n%s", diff)
	}
	z[3][0] = 3.1
	if diff := cmp.Diff(strings.Fields("0 0.5 1 1.5 ≥2"), scale()); diff != "" {
		t.Errorf("scale with a value above it (-want +got):\n%s", diff)
	}
}

func TestColoursOfAHeatMapAreThoseOfItsScale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "map.png")
	draw := func(v float64, is func(r, g, b uint32) bool) int {
		m := HeatMap{Title: "load", Z: [][]float64{{v, v}, {v, v}}, High: 2}
		if math.IsNaN(v) {
			m.Z[0][0] = 1
		}
		if err := PNG(path, Figure{Charts: []Chart{m}}); err != nil {
			t.Fatal(err)
		}
		return count(read(t, path), chart(0, 0), is)
	}
	const most = ChartWidth * ChartHeight / 3
	for _, v := range []float64{2, 2.5, 1e20} { // values above the scale have the colour of its end
		if n := draw(v, red); n < most {
			t.Errorf("%d red pixels in a map of %g", n, v)
		}
	}
	if n := draw(1, lightGrey); n < most {
		t.Errorf("%d grey pixels in a map of loads that are uniform", n)
	}
	if n := draw(-1, blue); n < most {
		t.Errorf("%d blue pixels in a map of values below the scale", n)
	}
	if n, of := draw(nan, white), draw(1, white); n < of+ChartWidth*ChartHeight/4 {
		t.Errorf("%d white pixels where three quarters are NaN, %d without", n, of)
	}
}

func TestCellsOfAHeatMapLeaveNoSeams(t *testing.T) {
	path := filepath.Join(t.TempDir(), "map.png")
	m := HeatMap{Title: "load", Z: make([][]float64, 7), High: 2}
	for i := range m.Z {
		m.Z[i] = make([]float64, 61)
		for j := range m.Z[i] {
			m.Z[i][j] = 2
		}
	}
	if err := PNG(path, Figure{Charts: []Chart{m}}); err != nil {
		t.Fatal(err)
	}
	seams := 0 // number of pixels of another colour
	img := read(t, path)
	for y := 100; y < 200; y++ {
		for x := 150; x < 350; x++ {
			if img.At(x, y) != img.At(150, 100) {
				seams++
			}
		}
	}
	if r, g, b, _ := img.At(150, 100).RGBA(); seams > 0 || !red(r>>8, g>>8, b>>8) {
		t.Errorf("%d pixels of other colours inside of a map of one colour", seams)
	}
}

func TestChangeMarksValuesAndNames(t *testing.T) {
	c := Change{Title: "Held-out problems", XLabel: "GRPO", YLabel: "% solved", YMax: 100, Marks: []Mark{
		{"pass@1", 42.24, 82.7}, {"pass@16", 100, 100}, {"maj@16", 82.03, 99.8}}}
	p, err := c.plot()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"before", "after"}, labels(p.X)); diff != "" {
		t.Errorf("x (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"42.2", "100.0", "82.0"}, c.labels(p, false).Labels); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	after := c.labels(p, true)
	if diff := cmp.Diff([]string{"82.7  pass@1", "100.0  pass@16", "99.8  maj@16"}, after.Labels); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
	if d := after.XYs[1].Y - after.XYs[2].Y; d < 8 {
		t.Errorf("the labels of 100 and 99.8 are %g apart: they cover each other", d)
	}
	// Until the values after are known, the names are shown with the values before.
	for i := range c.Marks {
		c.Marks[i].After = nan
	}
	if p, err = c.plot(); err != nil {
		t.Fatal(err)
	}
	if got := c.labels(p, false).Labels[0]; got != "pass@1  42.2" || c.labels(p, true) != nil {
		t.Errorf("label %q of a mark without after", got)
	}
}

func TestSpreadKeepsTheOrder(t *testing.T) {
	for _, test := range []struct{ values, want []float64 }{
		{[]float64{10, 50, 90}, []float64{10, 50, 90}},
		{[]float64{99.8, 100, 100, 50}, []float64{84, 100, 92, 50}},
		{[]float64{5}, []float64{5}},
	} {
		if diff := cmp.Diff(test.want, spread(test.values, 8)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.values, diff)
		}
	}
}

func TestTitlesStandAboveTheCharts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "curves.png")
	f := run(10)
	height := func() int {
		if err := PNG(path, f); err != nil {
			t.Fatal(err)
		}
		return read(t, path).Bounds().Dy()
	}
	plain := height()
	f.Title, f.Subtitle = "Countdown", "seed 1"
	if got := height(); got != plain+titleHeight+subtitleHeight {
		t.Errorf("%d pixels high with titles, %d without", got, plain)
	}
	head := image.Rect(ChartWidth, 0, 2*ChartWidth, titleHeight)
	if n := head.Dx()*head.Dy() - count(read(t, path), head, white); n < 200 {
		t.Errorf("%d pixels of a title", n)
	}
}

func TestChartsWithNothingToDrawAreErrorsThatNameThem(t *testing.T) {
	xy := []float64{0, 1}
	panel := func(x, y []float64) Figure {
		return Figure{Charts: []Chart{Panel{Title: "kl", Lines: []Line{{X: x, Y: y}}}}}
	}
	heat := func(m HeatMap) Figure {
		m.Title, m.High = "load", 2
		return Figure{Charts: []Chart{m}}
	}
	good := Panel{Title: "good", Lines: []Line{{X: xy, Y: xy}}}
	for want, f := range map[string]Figure{
		"the figure has no charts": {},
		"-1 columns":               {Charts: []Chart{good}, Columns: -1},
		`chart 1, "kl": none of its 0 points is finite`: {Charts: []Chart{good, Panel{Title: "kl"}}},
		`chart 0, "kl": none of its 2 points is finite`: panel(xy, []float64{nan, inf}),
		`chart 0, "kl": line 0, "": 2 x for 1 y`:        panel(xy, xy[:1]),
		`chart 0, "kl": line 0, "": x[1] is NaN`:        panel([]float64{0, nan}, xy),
		`chart 0, "load": no values`:                    heat(HeatMap{}),
		`chart 0, "load": all values are NaN`:           heat(HeatMap{Z: [][]float64{{nan}}}),
		`chart 0, "load": z[1][0] is +Inf`:              heat(HeatMap{Z: [][]float64{{1}, {inf}}}),
		`chart 0, "load": row 1 has 2 columns, row 0`:   heat(HeatMap{Z: [][]float64{{1}, xy}}),
		`chart 0, "load": 2 x for 1 columns`:            heat(HeatMap{X: xy, Z: [][]float64{{1}}}),
		`chart 0, "load": x[1] is 0`:                    heat(HeatMap{X: []float64{0, 0}, Z: [][]float64{xy}}),
		`chart 0, "load": the scale is 2 to 2`:          heat(HeatMap{Z: [][]float64{xy}, Low: 2}),
		`chart 0, "held": no marks`:                     {Charts: []Chart{Change{Title: "held"}}},
		`chart 0, "held": pass@1 is NaN before`: {Charts: []Chart{Change{Title: "held",
			Marks: []Mark{{"pass@1", nan, 1}}}}},
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

// failing is a WriterTo that fails after a part of its content.
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
