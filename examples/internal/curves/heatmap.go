package curves

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/palette"
	"gonum.org/v1/plot/palette/moreland"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// HeatMap is a chart that shows values by colour, such as the load of each expert at each
// step. The colour scale is fixed and drawn beside the map: blue at Low, grey halfway, red
// at High. Values outside the scale have the colour of its nearest end.
type HeatMap struct {
	Title  string
	XLabel string // label of the columns; "" means "step"
	YLabel string // label of the rows, which are numbered from 0 at the bottom; "" means "expert"
	// X holds the coordinates of the columns in ascending order; nil means 0, 1, 2, …
	X []float64
	// Z[row][column] is the value. NaN is drawn white; infinite values are errors.
	Z         [][]float64
	Low, High float64 // ends of the colour scale; Low must be less than High
}

func (m HeatMap) title() string { return m.Title }

func (m HeatMap) validate() error {
	if len(m.Z) == 0 || len(m.Z[0]) == 0 {
		return errors.New("no values")
	}
	if !finite(m.Low) || !finite(m.High) || m.Low >= m.High {
		return fmt.Errorf("the scale is %g to %g, want finite, ascending", m.Low, m.High)
	}
	columns := len(m.Z[0])
	if m.X != nil && len(m.X) != columns {
		return fmt.Errorf("%d x for %d columns", len(m.X), columns)
	}
	for i, x := range m.X {
		if !finite(x) || i > 0 && x <= m.X[i-1] {
			return fmt.Errorf("x[%d] is %g, after %g: want finite, ascending", i, x, m.X[max(i-1, 0)])
		}
	}
	drawn := 0
	for r, row := range m.Z {
		if len(row) != columns {
			return fmt.Errorf("row %d has %d columns, row 0 has %d", r, len(row), columns)
		}
		for c, z := range row {
			if math.IsInf(z, 0) {
				return fmt.Errorf("z[%d][%d] is %g", r, c, z)
			}
			if !math.IsNaN(z) {
				drawn++
			}
		}
	}
	if drawn == 0 {
		return errors.New("all values are NaN")
	}
	return nil
}

// plot returns the plot. It labels every row, or some of them if there are more than 16.
func (m HeatMap) plot() (*plot.Plot, error) {
	p := labelled(m.Title, or(m.XLabel, "step"), or(m.YLabel, "expert"))
	p.X.Tick.Marker = roundTicks(1)
	p.Y.Tick.Marker = roundTicks(1)
	if rows := len(m.Z); rows <= 16 {
		var ticks plot.ConstantTicks
		for row := range rows {
			ticks = append(ticks, plot.Tick{Value: float64(row), Label: strconv.Itoa(row)})
		}
		p.Y.Tick.Marker = ticks
	}
	p.Add(cells{m, m.scale()})
	return p, nil
}

// scale returns the colour scale from Low to High.
func (m HeatMap) scale() palette.ColorMap {
	s := moreland.SmoothBlueRed()
	s.SetMin(m.Low)
	s.SetMax(m.High)
	s.SetConvergePoint((m.Low + m.High) / 2)
	return s
}

const (
	barStrip = 50 // pixels to the right of the axes, for the colour bar
	barWidth = 14 // pixels
)

// draw draws the axes with the map, and the colour scale to the right.
func (m HeatMap) draw(c draw.Canvas, p *plot.Plot) {
	left := draw.Crop(c, 0, -pixels(barStrip), 0, 0)
	p.Draw(left)
	area := p.DataCanvas(left)
	bar := draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{
		Min: vg.Point{X: area.Max.X + pixels(10), Y: area.Min.Y},
		Max: vg.Point{X: area.Max.X + pixels(10+barWidth), Y: area.Max.Y},
	}}
	scale := m.scale()
	const shades = 128
	for i := range shades {
		fill(bar, bar.Min.X, bar.Max.X, bar.Y(float64(i)/shades), bar.Y(float64(i+1)/shades),
			shade(scale, m.Low+(m.High-m.Low)*(float64(i)+0.5)/shades))
	}
	style := p.Y.Tick.Label
	style.XAlign, style.YAlign = draw.XLeft, draw.YCenter
	for _, tick := range m.marks() {
		at := (tick.Value - m.Low) / (m.High - m.Low)
		bar.FillText(style, vg.Point{X: bar.Max.X + pixels(5), Y: bar.Y(at)}, tick.Label)
	}
}

// marks returns labels for the ends, the middle and the quarters of the scale. If values
// exceed an end, its label begins with ≤ or ≥.
func (m HeatMap) marks() []plot.Tick {
	low, high := m.Low, m.High
	for _, row := range m.Z {
		for _, z := range row {
			if !math.IsNaN(z) {
				low, high = min(low, z), max(high, z)
			}
		}
	}
	var marks []plot.Tick
	for i := range 5 {
		at := m.Low + (m.High-m.Low)*float64(i)/4
		marks = append(marks, plot.Tick{Value: at, Label: strconv.FormatFloat(at, 'g', 4, 64)})
	}
	if low < m.Low {
		marks[0].Label = "≤" + marks[0].Label
	}
	if high > m.High {
		marks[4].Label = "≥" + marks[4].Label
	}
	return marks
}

// shade returns the colour of v or, if v is outside the scale, that of the nearest end.
func shade(scale palette.ColorMap, v float64) color.Color {
	c, err := scale.At(max(scale.Min(), min(v, scale.Max())))
	if err != nil {
		panic(err) // At fails only for NaN and values outside the scale
	}
	return c
}

// cells is a plotter that draws the values as rectangles of whole pixels, since antialiased
// edges would leave visible seams.
type cells struct {
	HeatMap
	colours palette.ColorMap
}

func (m cells) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for row := range m.Z {
		for column, z := range m.Z[row] {
			if !math.IsNaN(z) {
				fill(c, x(m.edge(column)), x(m.edge(column+1)), y(float64(row)-0.5), y(float64(row)+0.5),
					shade(m.colours, z))
			}
		}
	}
}

// DataRange returns the range of the cells with their edges.
func (m cells) DataRange() (xmin, xmax, ymin, ymax float64) {
	return m.edge(0), m.edge(len(m.Z[0])), -0.5, float64(len(m.Z)) - 0.5
}

// edge returns the left edge of a column, halfway to the column before.
func (m HeatMap) edge(column int) float64 {
	if m.X == nil {
		return float64(column) - 0.5
	}
	last := len(m.X) - 1
	switch {
	case last == 0:
		return m.X[0] - 0.5 + float64(column)
	case column == 0:
		return m.X[0] - (m.X[1]-m.X[0])/2
	case column > last:
		return m.X[last] + (m.X[last]-m.X[last-1])/2
	}
	return (m.X[column-1] + m.X[column]) / 2
}

// fill fills a rectangle whose edges it rounds to whole pixels.
func fill(c draw.Canvas, left, right, bottom, top vg.Length, with color.Color) {
	whole := func(l vg.Length) vg.Length { return vg.Length(math.Round(float64(l/pixels(1)))) * pixels(1) }
	left, right, bottom, top = whole(left), whole(right), whole(bottom), whole(top)
	c.FillPolygon(with, []vg.Point{{X: left, Y: bottom}, {X: right, Y: bottom}, {X: right, Y: top}, {X: left, Y: top}})
}
