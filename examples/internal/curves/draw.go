package curves

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Sizes of charts in pixels, the resolution, and sizes of fonts in points. Letters are
// large enough to be read when the picture is shown at half its size.
const (
	ChartWidth  = 480
	ChartHeight = 330
	dotsPerInch = 96

	titleSize      = 20 // points
	subtitleSize   = 14
	chartSize      = 15 // for the title of a chart
	labelSize      = 13
	titleHeight    = 44 // pixels
	subtitleHeight = 32
)

// colours are colours that colour-blind people can distinguish (Okabe and Ito 2008).
var colours = []color.Color{
	color.RGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff}, // blue
	color.RGBA{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff}, // vermilion
	color.RGBA{R: 0x00, G: 0x9e, B: 0x73, A: 0xff}, // green
}

var shapes = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{}}

// colour returns the colour of line or mark i of a chart.
func colour(i int) color.Color { return colours[i%len(colours)] }

// pixels returns the length of n pixels.
func pixels(n float64) vg.Length { return vg.Length(n) * vg.Inch / dotsPerInch }

// PNG draws f to a file and replaces the file atomically: a reader sees the old picture
// or the new one, never a part. Each chart has ChartWidth × ChartHeight pixels; the titles
// are above the charts. If a chart cannot be drawn, PNG returns an error that names it
// and writes no file.
func PNG(path string, f Figure) error {
	if err := f.validate(); err != nil {
		return err
	}
	canvas, err := f.draw()
	if err != nil {
		return err
	}
	return replace(path, vgimg.PngCanvas{Canvas: canvas})
}

// head returns the height of the titles in pixels.
func (f Figure) head() int {
	height := 0
	if f.Title != "" {
		height += titleHeight
	}
	if f.Subtitle != "" {
		height += subtitleHeight
	}
	return height
}

// draw renders f, which must be valid.
func (f Figure) draw() (*vgimg.Canvas, error) {
	columns, rows := f.grid()
	canvas := vgimg.NewWith(
		vgimg.UseWH(pixels(float64(columns*ChartWidth)), pixels(float64(rows*ChartHeight+f.head()))),
		vgimg.UseDPI(dotsPerInch),
	)
	all := draw.New(canvas)
	middle, top := all.Center().X, all.Max.Y
	line := func(s string, size vg.Length, height float64) {
		if s != "" {
			style := sans(size)
			style.XAlign, style.YAlign = draw.XCenter, draw.YCenter
			all.FillText(style, vg.Point{X: middle, Y: top - pixels(height/2)}, s)
			top -= pixels(height)
		}
	}
	line(f.Title, titleSize, titleHeight)
	line(f.Subtitle, subtitleSize, subtitleHeight)

	// Align needs a full grid; cells after the last chart stay nil.
	grid := make([][]*plot.Plot, rows)
	for i := range grid {
		grid[i] = make([]*plot.Plot, columns)
	}
	for i, c := range f.Charts {
		p, err := c.plot()
		if err != nil {
			return nil, fmt.Errorf("curves: chart %q: %w", c.title(), err)
		}
		grid[i/columns][i%columns] = p
	}
	tiles := draw.Tiles{
		Cols: columns, Rows: rows,
		PadTop: 6, PadBottom: 6, PadLeft: 6, PadRight: 12, PadX: 14, PadY: 14,
	}
	places := plot.Align(grid, tiles, draw.Crop(all, 0, 0, 0, top-all.Max.Y))
	for i, c := range f.Charts {
		c.draw(places[i/columns][i%columns], grid[i/columns][i%columns])
	}
	return canvas, nil
}

// sans returns a style with a sans-serif font.
func sans(size vg.Length) text.Style {
	return text.Style{
		Color: color.Black, Font: font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, size),
		Handler: plot.DefaultTextHandler,
	}
}

// labelled returns an empty plot with a title and axis labels.
func labelled(title, x, y string) *plot.Plot {
	p := plot.New()
	set := func(s *text.Style, size vg.Length) { s.Font = sans(size).Font }
	p.Title.Text = title
	p.Title.Padding = 6
	set(&p.Title.TextStyle, chartSize)
	set(&p.Legend.TextStyle, labelSize)
	for _, axis := range []struct {
		*plot.Axis
		label string
	}{{&p.X, x}, {&p.Y, y}} {
		axis.Label.Text = axis.label
		set(&axis.Label.TextStyle, labelSize)
		set(&axis.Tick.Label, labelSize)
		axis.Tick.Marker = roundTicks(0)
	}
	return p
}

// or returns s, or byDefault if s is empty.
func or(s, byDefault string) string {
	if s == "" {
		return byDefault
	}
	return s
}

// cover widens the y axis of p, to which all points have been added, so that it includes the
// range from low to high, unless they are equal, and ends at ticks.
func cover(p *plot.Plot, low, high float64) {
	if low != high {
		p.Y.Min, p.Y.Max = min(p.Y.Min, low), max(p.Y.Max, high)
	}
	if p.Y.Min == p.Y.Max { // widen by 1 on both sides, as plot does
		p.Y.Min, p.Y.Max = p.Y.Min-1, p.Y.Max+1
	}
	p.Y.Min, p.Y.Max = roundRange(p.Y.Min, p.Y.Max)
}

// whole reports whether the x of all points are whole numbers, such as steps.
func (p Panel) whole() bool {
	for _, l := range p.Lines {
		for _, x := range l.X {
			if x != math.Trunc(x) {
				return false
			}
		}
	}
	return true
}

// plot returns a plot with a line through each run of finite points, and a dot for a run of
// one point.
func (p Panel) plot() (*plot.Plot, error) {
	chart := labelled("", or(p.XLabel, "step"), p.YLabel)
	if p.whole() {
		chart.X.Tick.Marker = roundTicks(1)
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color = color.Gray{Y: 0xe0}
	grid.Horizontal.Color = color.Gray{Y: 0xe0}
	chart.Add(grid)
	gaps := 0
	for i, l := range p.Lines {
		runs, missing := l.runs()
		gaps += missing
		for j, run := range runs {
			line, dot, err := plotter.NewLinePoints(run)
			if err != nil {
				return nil, err
			}
			line.Color, line.Width = colour(i), 2
			if len(run) > 1 {
				chart.Add(line)
			} else {
				dot.GlyphStyle = draw.GlyphStyle{Color: colour(i), Radius: 2, Shape: draw.CircleGlyph{}}
				chart.Add(dot)
			}
			if j == 0 && len(p.Lines) > 1 {
				chart.Legend.Add(l.Name, line)
			}
		}
	}
	cover(chart, p.YMin, p.YMax)
	chart.Legend.Top = true
	chart.Title.Text = p.Title
	if gaps > 0 {
		chart.Title.Text += fmt.Sprintf(" (%d not finite)", gaps)
	}
	return chart, nil
}

func (Panel) draw(c draw.Canvas, p *plot.Plot) { p.Draw(c) }

// runs returns the runs of consecutive finite points, and the number of other points.
func (l Line) runs() (runs []plotter.XYs, gaps int) {
	open := false
	for i, y := range l.Y {
		if !finite(y) {
			gaps++
			open = false
			continue
		}
		if !open {
			runs = append(runs, nil)
			open = true
		}
		last := len(runs) - 1
		runs[last] = append(runs[last], plotter.XY{X: l.X[i], Y: y})
	}
	return runs, gaps
}
