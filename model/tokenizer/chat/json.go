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

// python writes JSON as Python's json.dumps does: the same order, ", " and ": " as separators, and
// nothing escaped but quotes, backslashes and control characters.
func python(text []byte) (string, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var w strings.Builder
	if err := pythonValue(&w, d, 0); err != nil {
		return "", fmt.Errorf("JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return "", fmt.Errorf("JSON: text after the value")
	}
	return w.String(), nil
}

// pythonValue copies the next value of d.
func pythonValue(w *strings.Builder, d *json.Decoder, depth int) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch v := token.(type) {
	case json.Delim:
		if depth > 1000 {
			return fmt.Errorf("nested deeper than 1000")
		}
		w.WriteString(v.String())
		for n := 0; d.More(); n++ {
			if n > 0 {
				w.WriteString(", ")
			}
			if v == '{' {
				key, err := d.Token()
				if err != nil {
					return err
				}
				w.WriteString(quote(key.(string)) + ": ")
			}
			if err := pythonValue(w, d, depth+1); err != nil {
				return err
			}
		}
		end, err := d.Token()
		if err != nil {
			return err
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

// number writes integers as they are and others as Python's repr does.
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
