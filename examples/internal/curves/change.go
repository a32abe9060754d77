package curves

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"
)

// Change is a chart of metrics before and after a training: two marks for each metric, with
// their values, and a line between them.
type Change struct {
	Title  string
	XLabel string // what happens between before and after
	YLabel string
	Marks  []Mark
	// YMin and YMax are a range that the y axis covers at least. If they are equal, they are
	// ignored.
	YMin, YMax float64
}

// Mark is a metric before and after.
type Mark struct {
	Name          string
	Before, After float64 // After is NaN if it is not known yet
}

func (c Change) title() string { return c.Title }

func (c Change) validate() error {
	if len(c.Marks) == 0 {
		return errors.New("no marks")
	}
	for _, m := range c.Marks {
		if !finite(m.Before) || math.IsInf(m.After, 0) {
			return fmt.Errorf("%s is %g before, %g after", m.Name, m.Before, m.After)
		}
	}
	return nil
}

func (c Change) plot() (*plot.Plot, error) {
	p := labelled(c.Title, c.XLabel, c.YLabel)
	for i, m := range c.Marks {
		points := plotter.XYs{{X: 0, Y: m.Before}}
		if !math.IsNaN(m.After) {
			points = append(points, plotter.XY{X: 1, Y: m.After})
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = colour(i), 1.5
		dots.GlyphStyle = draw.GlyphStyle{Color: colour(i), Radius: 4, Shape: shapes[i%len(shapes)]}
		p.Add(line, dots)
	}
	cover(p, c.YMin, c.YMax)
	for _, after := range []bool{false, true} {
		if labels := c.labels(p, after); labels != nil {
			p.Add(labels)
		}
	}
	p.X.Min, p.X.Max = -0.5, 1.9
	p.X.Tick.Marker = plot.ConstantTicks{{Value: 0, Label: "before"}, {Value: 1, Label: "after"}}
	return p, nil
}

func (Change) draw(c draw.Canvas, p *plot.Plot) { p.Draw(c) }

// labels returns the labels of the marks before or after, or nil if there are none. They show
// the values. The names are shown after, or before if the value after is not known. p is the
// plot with the marks.
func (c Change) labels(p *plot.Plot, after bool) *plotter.Labels {
	var at []float64
	var texts []string
	var of []int
	x, align, offset := 0., draw.XRight, -7.
	if after {
		x, align, offset = 1, draw.XLeft, 7
	}
	for i, m := range c.Marks {
		switch y, text := m.Before, fmt.Sprintf("%.1f", m.Before); {
		case after && math.IsNaN(m.After):
			continue
		case after:
			at, texts, of = append(at, m.After), append(texts, fmt.Sprintf("%.1f  %s", m.After, m.Name)), append(of, i)
		default:
			if math.IsNaN(m.After) {
				text = m.Name + "  " + text
			}
			at, texts, of = append(at, y), append(texts, text), append(of, i)
		}
	}
	if len(at) == 0 {
		return nil
	}
	var xy plotter.XYs
	for _, y := range spread(at, (p.Y.Max-p.Y.Min)*0.09) {
		xy = append(xy, plotter.XY{X: x, Y: y})
	}
	labels, err := plotter.NewLabels(plotter.XYLabels{XYs: xy, Labels: texts})
	if err != nil {
		panic(err) // all points are finite
	}
	for i := range labels.TextStyle {
		labels.TextStyle[i] = p.X.Tick.Label
		labels.TextStyle[i].Color = colour(of[i])
		labels.TextStyle[i].XAlign, labels.TextStyle[i].YAlign = align, draw.YCenter
	}
	labels.Offset.X = pixels(offset)
	return labels
}

// spread moves values down until each is at least gap from the next. It keeps their order and
// the greatest value.
func spread(values []float64, gap float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	// Equal values keep the order in which they are given, from the top.
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case values[a] > values[b]:
			return -1
		case values[a] < values[b]:
			return 1
		}
		return 0
	})
	apart := slices.Clone(values)
	for i := 1; i < len(order); i++ {
		apart[order[i]] = min(apart[order[i]], apart[order[i-1]]-gap)
	}
	return apart
}
