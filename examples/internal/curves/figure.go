// Package curves draws the metrics of a run to one PNG file: line charts, heat maps and
// charts of changes from before to after, in a grid under a title.
package curves

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg/draw"
)

// Figure is a grid of charts, filled row by row.
type Figure struct {
	Title    string // if "", there is none
	Subtitle string // below the title, in smaller letters; if "", there is none
	Charts   []Chart
	Columns  int // charts per row; 0 means 3, or fewer if there are fewer charts
}

// Chart is a Panel, a HeatMap or a Change.
type Chart interface {
	title() string
	// validate returns an error if the chart cannot be drawn.
	validate() error
	// plot returns the axes and their contents.
	plot() (*plot.Plot, error)
	// draw draws p, the result of plot, and what is outside its axes.
	draw(c draw.Canvas, p *plot.Plot)
}

// Panel is a chart of lines over the same axes.
type Panel struct {
	Title  string
	XLabel string // "" means "step"
	YLabel string
	Lines  []Line
	// YMin and YMax are a range that the y axis covers at least. If they are equal, they are
	// ignored.
	YMin, YMax float64
}

// Line is a metric over the steps.
type Line struct {
	Name string // for the legend, which is shown if a panel has several lines
	// X and Y are the coordinates of the points. A Y that is NaN or infinite leaves a
	// gap; the title of the panel shows how many such points there are.
	X, Y []float64
}

// Series returns the line of row[name] over row[x]. Rows that lack either are left out,
// such as steps without an evaluation.
func Series(rows []map[string]float64, x, name string) Line {
	var l Line
	for _, row := range rows {
		at, ok := row[x]
		value, ok2 := row[name]
		if ok && ok2 {
			l.X = append(l.X, at)
			l.Y = append(l.Y, value)
		}
	}
	return l
}

// Mean returns a line of the means of n successive points each, at the x of the last of
// them. The last mean is over the points that are left.
func (l Line) Mean(n int) Line {
	mean := Line{Name: l.Name}
	for from := 0; from < len(l.X); from += n {
		to := min(from+n, len(l.X))
		sum := 0.0
		for _, y := range l.Y[from:to] {
			sum += y
		}
		mean.X = append(mean.X, l.X[to-1])
		mean.Y = append(mean.Y, sum/float64(to-from))
	}
	return mean
}

// grid returns the figure's number of columns and rows.
func (f Figure) grid() (columns, rows int) {
	n := len(f.Charts)
	columns = f.Columns
	if columns == 0 {
		columns = min(3, n)
	}
	return columns, (n + columns - 1) / columns
}

// validate returns an error that names every chart that cannot be drawn.
func (f Figure) validate() error {
	var errs []error
	if f.Columns < 0 {
		errs = append(errs, fmt.Errorf("curves: %d columns", f.Columns))
	}
	if len(f.Charts) == 0 {
		errs = append(errs, errors.New("curves: the figure has no charts"))
	}
	for i, c := range f.Charts {
		if err := c.validate(); err != nil {
			errs = append(errs, fmt.Errorf("curves: chart %d, %q: %w", i, c.title(), err))
		}
	}
	return errors.Join(errs...)
}

// finite reports whether v is neither NaN nor infinite.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func (p Panel) title() string { return p.Title }

func (p Panel) validate() error {
	drawn, points := 0, 0
	for i, l := range p.Lines {
		if len(l.X) != len(l.Y) {
			return fmt.Errorf("line %d, %q: %d x for %d y", i, l.Name, len(l.X), len(l.Y))
		}
		points += len(l.X)
		for j, x := range l.X {
			if !finite(x) {
				return fmt.Errorf("line %d, %q: x[%d] is %g", i, l.Name, j, x)
			}
			if finite(l.Y[j]) {
				drawn++
			}
		}
	}
	if drawn == 0 {
		return fmt.Errorf("none of its %d points is finite", points)
	}
	return nil
}
