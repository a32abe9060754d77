package physics

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Trajectory is a motion as a table with a row for each time, in base units of the SI. If
// there are several bodies, each has its own coordinates.
type Trajectory struct {
	T []float64   // [N], ascending
	X [][]float64 // [N][D] positions
	V [][]float64 // [N][D] velocities; nil if there are none
}

// maxRows is the maximum number of rows of a trajectory.
const maxRows = 10000

// ParseTrajectory reads a table: a line of column names and lines of numbers, separated by
// commas, white space or "|". The columns are t, positions and velocities in any order. A name
// may have a unit in brackets or parentheses after it; otherwise the column is in base units:
//
//	t [s], x [m], y [m], vx [km/h], vy [km/h]
//
// coordinates lists the names of the positions. The name of a velocity is "v" and the name of
// its coordinate. There must be velocities for all coordinates or for none. Times must ascend.
func ParseTrajectory(text string, coordinates []string) (Trajectory, error) {
	var tr Trajectory
	var columns []column
	for n, line := range strings.Split(strings.TrimSpace(text), "\n") {
		line = strings.Trim(strings.TrimSpace(line), "|")
		if strings.Trim(line, "-:| ") == "" {
			continue // the line below the header of a Markdown table
		}
		if columns == nil {
			var err error
			if columns, err = parseHead(line, coordinates); err != nil {
				return tr, err
			}
			continue
		}
		if len(tr.T) == maxRows {
			return tr, fmt.Errorf("physics: trajectory of more than %d rows", maxRows)
		}
		fields := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(",| \t\r", r) })
		if len(fields) != len(columns) {
			return tr, fmt.Errorf("physics: line %d of the trajectory has %d numbers, want %d", n+1, len(fields), len(columns))
		}
		x, v := make([]float64, len(coordinates)), make([]float64, len(coordinates))
		for i, c := range columns {
			value, err := strconv.ParseFloat(fields[i], 64)
			value *= c.factor
			switch {
			case err != nil || math.IsNaN(value) || math.IsInf(value, 0):
				return tr, fmt.Errorf("physics: line %d of the trajectory: %s is not a number", n+1, strconv.Quote(fields[i]))
			case c.of < 0:
				if k := len(tr.T); k > 0 && value <= tr.T[k-1] {
					return tr, fmt.Errorf("physics: line %d of the trajectory: time does not ascend", n+1)
				}
				tr.T = append(tr.T, value)
			case c.velocity:
				v[c.of] = value
			default:
				x[c.of] = value
			}
		}
		tr.X = append(tr.X, x)
		if len(columns) > 1+len(coordinates) {
			tr.V = append(tr.V, v)
		}
	}
	if len(tr.T) == 0 {
		return tr, errors.New("physics: the trajectory has no rows")
	}
	return tr, nil
}

// column is a column of a table: the time, or the position or velocity of a coordinate.
type column struct {
	of       int // index of the coordinate, -1 for time
	velocity bool
	factor   float64
}

func parseHead(line string, coordinates []string) ([]column, error) {
	known := map[string]column{"t": {of: -1}}
	for i, name := range coordinates {
		known[name], known["v"+name] = column{of: i}, column{of: i, velocity: true}
	}
	var columns []column
	rest := strings.TrimSpace(line)
	for rest != "" {
		end := strings.IndexAny(rest, ",|[( \t")
		if end < 0 {
			end = len(rest)
		}
		name := rest[:end]
		rest = strings.TrimLeft(rest[end:], " \t")
		c, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("physics: column %s of the trajectory, want each of t, %s once, and perhaps velocities",
				strconv.Quote(name), strings.Join(coordinates, ", "))
		}
		delete(known, name)
		c.factor = 1
		if rest != "" && (rest[0] == '[' || rest[0] == '(') {
			unit, after, closed := cutUnit(rest)
			u, err := ParseUnit(unit)
			if err == nil && !closed {
				err = errors.New("physics: unit without its closing bracket")
			}
			if err == nil && u.Offset != 0 {
				err = fmt.Errorf("physics: unit %q has an offset", unit)
			}
			want := length
			if c.of < 0 {
				want = duration
			} else if c.velocity {
				want = speed
			}
			if err == nil && u.Dimension != want && !(c.of >= 0 && u.Dimension == want.times(length, -1)) {
				err = &DimensionError{u.Dimension, want} // coordinates may be lengths or angles
			}
			if err != nil {
				return nil, fmt.Errorf("column %s of the trajectory: %w", name, err)
			}
			c.factor, rest = u.Factor, after
		}
		rest = strings.TrimLeft(rest, ",| \t")
		columns = append(columns, c)
	}
	velocities := 0
	for _, c := range columns {
		if c.velocity {
			velocities++
		}
	}
	if len(columns)-velocities != 1+len(coordinates) || velocities != 0 && velocities != len(coordinates) {
		return nil, fmt.Errorf("physics: columns %q of the trajectory, want each of t, %s, and velocities of all or none",
			line, strings.Join(coordinates, ", "))
	}
	return columns, nil
}

// cutUnit returns the text inside the bracket at the beginning of text, and the text after it.
func cutUnit(text string) (unit, after string, ok bool) {
	depth := 0
	for i, r := range text {
		switch r {
		case '[', '(':
			depth++
		case ']', ')':
			depth--
		}
		if depth == 0 {
			return text[1:i], text[i+1:], true
		}
	}
	return text[1:], "", false
}
