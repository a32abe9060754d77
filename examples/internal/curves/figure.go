// Package curves draws a run's metrics: a grid of line charts and heat maps in
// one PNG.
package curves

import (
	"errors"
	"fmt"
	"math"
)

// Panel is a line chart of one metric.
type Panel struct {
	Title  string
	XLabel string // "" means "step"
	YLabel string
	// X and Y are the points, of equal number. A Y that is NaN or infinite leaves
	// a gap, and the title says how many there are.
	X, Y []float64
}

// HeatMap shows a value by colour, such as the load of each expert at each step.
type HeatMap struct {
	Title  string // the range of the colours is added to it
	XLabel string // of the columns; "" means "step"
	YLabel string // of the rows; "" means "expert"
	// X holds the columns' ascending coordinates; nil means 0, 1, 2, …
	X []float64
	// Z[row][column] is the value. NaN is drawn grey; infinities are an error.
	Z [][]float64
}

// Figure is a grid of charts, filled row by row: the panels, then the maps.
type Figure struct {
	Panels  []Panel
	Maps    []HeatMap
	Columns int // charts in a row; 0 means 3, or fewer if there are fewer charts
}

// Series returns the chart of metrics[name] over metrics[x]. Rows that lack
// either are left out, as an evaluation every tenth step leaves the others.
func Series(rows []map[string]float64, x, name string) Panel {
	p := Panel{Title: name, XLabel: x}
	for _, row := range rows {
		at, ok := row[x]
		value, ok2 := row[name]
		if ok && ok2 {
			p.X = append(p.X, at)
			p.Y = append(p.Y, value)
		}
	}
	return p
}

// grid returns the figure's number of columns and rows.
func (f Figure) grid() (columns, rows int) {
	n := len(f.Panels) + len(f.Maps)
	columns = f.Columns
	if columns == 0 {
		columns = min(3, n)
	}
	return columns, (n + columns - 1) / columns
}

// validate reports every chart that cannot be drawn.
func (f Figure) validate() error {
	var errs []error
	if f.Columns < 0 {
		errs = append(errs, fmt.Errorf("curves: %d columns", f.Columns))
	}
	if len(f.Panels)+len(f.Maps) == 0 {
		errs = append(errs, errors.New("curves: the figure has no charts"))
	}
	for i, p := range f.Panels {
		if err := p.validate(); err != nil {
			errs = append(errs, fmt.Errorf("curves: panel %d, %q: %w", i, p.Title, err))
		}
	}
	for i, m := range f.Maps {
		if err := m.validate(); err != nil {
			errs = append(errs, fmt.Errorf("curves: heat map %d, %q: %w", i, m.Title, err))
		}
	}
	return errors.Join(errs...)
}

// finite reports whether v is a number to draw.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func (p Panel) validate() error {
	if len(p.X) != len(p.Y) {
		return fmt.Errorf("%d x for %d y", len(p.X), len(p.Y))
	}
	drawn := 0
	for i, x := range p.X {
		if !finite(x) {
			return fmt.Errorf("x[%d] is %g", i, x)
		}
		if finite(p.Y[i]) {
			drawn++
		}
	}
	if drawn == 0 {
		return fmt.Errorf("none of its %d points is finite", len(p.Y))
	}
	return nil
}

func (m HeatMap) validate() error {
	if len(m.Z) == 0 || len(m.Z[0]) == 0 {
		return errors.New("it is empty")
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
		return errors.New("all of it is NaN")
	}
	return nil
}
