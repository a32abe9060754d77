package code

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// compareOutput returns nil if the output got agrees with want.
func compareOutput(got, want string, tolerance float64) error {
	if tolerance > 0 {
		g, w := strings.Fields(got), strings.Fields(want)
		for i := range min(len(g), len(w)) {
			if g[i] != w[i] && !closeNumbers(g[i], w[i], tolerance) {
				return fmt.Errorf("word %d is %s, want %s", i+1, quote(g[i]), quote(w[i]))
			}
		}
		if len(g) != len(w) {
			return fmt.Errorf("prints %d words, want %d", len(g), len(w))
		}
		return nil
	}
	g, w := trimmedLines(got), trimmedLines(want)
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Errorf("line %d is %s, want %s", i+1, quote(g[i]), quote(w[i]))
		}
	}
	if len(g) != len(w) {
		return fmt.Errorf("prints %d lines, want %d", len(g), len(w))
	}
	return nil
}

func trimmedLines(text string) []string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \t\r")
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// quote quotes at most the first 80 bytes of text.
func quote(text string) string {
	if len(text) > 80 {
		return strconv.Quote(text[:80]) + "…"
	}
	return strconv.Quote(text)
}

// decode decodes one JSON value, with numbers as json.Number.
func decode(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("no JSON value: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return v, nil
}

// compareResult returns nil if the result got of a function agrees with want. Both are JSON.
func compareResult(got, want []byte, tolerance float64) error {
	if len(got) == 0 {
		return errors.New("the function did not return")
	}
	g, err := decode(got)
	if err != nil {
		return fmt.Errorf("returns %w", err)
	}
	w, err := decode(want)
	if err != nil {
		return err
	}
	if !equal(g, w, tolerance) {
		return fmt.Errorf("returns %s, want %s", quote(string(bytes.TrimSpace(got))), quote(string(want)))
	}
	return nil
}

func equal(got, want any, tolerance float64) bool {
	switch w := want.(type) {
	case json.Number:
		g, ok := got.(json.Number)
		return ok && (equalNumbers(string(g), string(w)) || tolerance > 0 && closeNumbers(string(g), string(w), tolerance))
	case []any:
		g, ok := got.([]any)
		return ok && slices.EqualFunc(g, w, func(a, b any) bool { return equal(a, b, tolerance) })
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for key, value := range w {
			if other, ok := g[key]; !ok || !equal(other, value, tolerance) {
				return false
			}
		}
		return true
	}
	return got == want // nil, bool, string
}

// equalNumbers compares integers exactly and other numbers as float64. If an integer is
// compared with another number, such as 5e+18, that number must equal the integer exactly,
// either as it is written or as float64.
func equalNumbers(a, b string) bool {
	if a == b {
		return true
	}
	m, isInt := new(big.Int).SetString(a, 10)
	n, isIntToo := new(big.Int).SetString(b, 10)
	if isInt && isIntToo {
		return m.Cmp(n) == 0
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	if errX != nil || errY != nil || x != y {
		return false
	}
	if isIntToo {
		m, b = n, a
	}
	if !isInt && !isIntToo || math.Abs(x) < 1<<53 { // float64 represents all integers below 2^53
		return true
	}
	integer := new(big.Rat).SetInt(m)
	written, ok := new(big.Rat).SetString(b)
	return ok && written.Cmp(integer) == 0 || new(big.Rat).SetFloat64(x).Cmp(integer) == 0
}

func closeNumbers(got, want string, tolerance float64) bool {
	g, errG := strconv.ParseFloat(got, 64)
	w, errW := strconv.ParseFloat(want, 64)
	return errG == nil && errW == nil && math.Abs(g-w) <= tolerance*max(1, math.Abs(w))
}
