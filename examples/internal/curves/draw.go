package curves

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/palette/moreland"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// The size of a chart in pixels, and the resolution that turns pixels into the
// points in which fonts and lines are measured.
const (
	ChartWidth  = 420
	ChartHeight = 300
	dotsPerInch = 96
)

var (
	lineColour = color.RGBA{R: 0x1f, G: 0x5f, B: 0xa8, A: 0xff}
	gapColour  = color.Gray{Y: 0xa0}
)

// PNG draws f to a file, replacing it at once: a reader sees the old picture or
// the new one, never a part. Each chart is ChartWidth × ChartHeight pixels. A
// chart without anything to draw is an error that names it, and no file is
// written.
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

// draw renders the valid figure.
func (f Figure) draw() (*vgimg.Canvas, error) {
	var charts []*plot.Plot
	for _, p := range f.Panels {
		chart, err := p.chart()
		if err != nil {
			return nil, fmt.Errorf("curves: panel %q: %w", p.Title, err)
		}
		charts = append(charts, chart)
	}
	for _, m := range f.Maps {
		charts = append(charts, m.chart())
	}

	columns, rows := f.grid()
	pixels := func(n int) vg.Length { return vg.Length(n) * vg.Inch / dotsPerInch }
	canvas := vgimg.NewWith(
		vgimg.UseWH(pixels(columns*ChartWidth), pixels(rows*ChartHeight)),
		vgimg.UseDPI(dotsPerInch),
	)
	tiles := draw.Tiles{
		Cols: columns, Rows: rows,
		PadTop: 6, PadBottom: 6, PadLeft: 6, PadRight: 12, PadX: 14, PadY: 12,
	}
	// Align wants a full grid; its places past the last chart stay nil.
	grid := make([][]*plot.Plot, rows)
	for r := range grid {
		grid[r] = make([]*plot.Plot, columns)
		copy(grid[r], charts[r*columns:])
	}
	for r, places := range plot.Align(grid, tiles, draw.New(canvas)) {
		for c, place := range places {
			if grid[r][c] != nil {
				grid[r][c].Draw(place)
			}
		}
	}
	return canvas, nil
}

// labelled returns an empty chart with its labels.
func labelled(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = 4
	p.X.Label.Text = x
	p.Y.Label.Text = y
	p.X.Tick.Marker = roundTicks(0)
	p.Y.Tick.Marker = roundTicks(0)
	return p
}

// or returns s, or its default if it is empty.
func or(s, byDefault string) string {
	if s == "" {
		return byDefault
	}
	return s
}

// chart draws a line through each run of finite points, and a dot for a run of
// one.
func (p Panel) chart() (*plot.Plot, error) {
	var runs []plotter.XYs
	gaps := 0
	open := false
	for i, y := range p.Y {
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
		runs[last] = append(runs[last], plotter.XY{X: p.X[i], Y: y})
	}

	title := p.Title
	if gaps > 0 {
		title += fmt.Sprintf(" (%d not finite)", gaps)
	}
	chart := labelled(title, or(p.XLabel, "step"), p.YLabel)
	grid := plotter.NewGrid()
	grid.Vertical.Color = color.Gray{Y: 0xe0}
	grid.Horizontal.Color = color.Gray{Y: 0xe0}
	chart.Add(grid)
	for _, run := range runs {
		if len(run) == 1 {
			dot, err := plotter.NewScatter(run)
			if err != nil {
				return nil, err
			}
			dot.GlyphStyle = draw.GlyphStyle{Color: lineColour, Radius: 2, Shape: draw.CircleGlyph{}}
			chart.Add(dot)
			continue
		}
		line, err := plotter.NewLine(run)
		if err != nil {
			return nil, err
		}
		line.Color = lineColour
		line.Width = 1.5
		chart.Add(line)
	}
	return chart, nil
}

// chart draws the map with its range in the title.
func (m HeatMap) chart() *plot.Plot {
	low, high := math.Inf(1), math.Inf(-1)
	for _, row := range m.Z {
		for _, z := range row {
			if !math.IsNaN(z) {
				low, high = min(low, z), max(high, z)
			}
		}
	}
	cells := plotter.NewHeatMap(cellGrid{m}, moreland.ExtendedBlackBody().Palette(256))
	cells.NaN = gapColour
	cells.Min, cells.Max = low, high
	if low == high {
		// A single value needs a range, or it would be drawn like NaN.
		cells.Max = low + max(1, math.Abs(low))
	}
	title := fmt.Sprintf("%s (dark %.3g, light %.3g)", m.Title, low, high)
	chart := labelled(title, or(m.XLabel, "step"), or(m.YLabel, "expert"))
	chart.Y.Tick.Marker = roundTicks(1) // rows are whole
	chart.Add(cells)
	return chart
}

// cellGrid is a heat map as the plotter reads it.
type cellGrid struct{ m HeatMap }

func (g cellGrid) Dims() (columns, rows int) { return len(g.m.Z[0]), len(g.m.Z) }
func (g cellGrid) Z(column, row int) float64 { return g.m.Z[row][column] }
func (g cellGrid) Y(row int) float64         { return float64(row) }
func (g cellGrid) X(column int) float64 {
	if g.m.X == nil {
		return float64(column)
	}
	return g.m.X[column]
}
