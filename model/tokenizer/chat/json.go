package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// python writes JSON as Python's json.dumps does: in the same order, with ", " and ": " as
// separators, and escaping only quotes, backslashes and control characters. With an indent,
// every member is on a separate line.
func python(text []byte, indent int) (string, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	w := pythonWriter{d: d, indent: indent}
	if err := w.value(0); err != nil {
		return "", fmt.Errorf("JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return "", fmt.Errorf("JSON: text after the value")
	}
	return w.String(), nil
}

// python returns the arguments of a call.
func (c ToolCall) python() (string, error) {
	arguments, err := python([]byte(c.Arguments), 0)
	if err != nil {
		return "", fmt.Errorf("arguments of %s: %w", c.Name, err)
	}
	return arguments, nil
}

// pythonWriter writes the values that d reads.
type pythonWriter struct {
	strings.Builder
	d      *json.Decoder
	indent int // spaces per level; 0 means one line
}

// newLine begins the line of a member, or of the end of a list or object.
func (w *pythonWriter) newLine(depth int) {
	if w.indent > 0 {
		w.WriteString("\n" + strings.Repeat(" ", w.indent*depth))
	}
}

// value writes the next value.
func (w *pythonWriter) value(depth int) error {
	token, err := w.d.Token()
	if err != nil {
		return err
	}
	switch v := token.(type) {
	case json.Delim:
		if depth > 1000 {
			return fmt.Errorf("nested deeper than 1000")
		}
		w.WriteString(v.String())
		n := 0
		for ; w.d.More(); n++ {
			if n > 0 && w.indent > 0 {
				w.WriteString(",")
			} else if n > 0 {
				w.WriteString(", ")
			}
			w.newLine(depth + 1)
			if v == '{' {
				key, err := w.d.Token()
				if err != nil {
					return err
				}
				w.WriteString(quote(key.(string)) + ": ")
			}
			if err := w.value(depth + 1); err != nil {
				return err
			}
		}
		end, err := w.d.Token()
		if err != nil {
			return err
		}
		if n > 0 {
			w.newLine(depth)
		}
		w.WriteString(end.(json.Delim).String())
	case string:
		w.WriteString(quote(v))
	case json.Number:
		w.WriteString(number(v.String()))
	case bool:
		w.WriteString(strconv.FormatBool(v))
	default:
		w.WriteString("null")
	}
	return nil
}

// number writes integers unchanged and other numbers as Python's repr does.
func number(text string) string {
	if !strings.ContainsAny(text, ".eE") {
		if text == "-0" {
			return "0"
		}
		return text
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil && math.IsInf(x, 0) {
		return strings.Replace(strconv.FormatFloat(x, 'g', -1, 64), "Inf", "Infinity", 1)
	}
	if a := math.Abs(x); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(x, 'e', -1, 64)
	}
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// quote writes a string.
func quote(s string) string {
	var w strings.Builder
	w.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.WriteString(`\` + string(r))
		case r >= 0x20:
			w.WriteRune(r)
		default:
			if i := strings.IndexRune("\b\f\n\r\t", r); i >= 0 {
				w.WriteString(`\` + "bfnrt"[i:i+1])
			} else {
				fmt.Fprintf(&w, `\u%04x`, r)
			}
		}
	}
	w.WriteByte('"')
	return w.String()
}
