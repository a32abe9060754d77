package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/aha-go/aha/model/checkpoint"
)

// WriteSettings writes a run's settings to path as JSON. An existing file is replaced
// atomically.
func WriteSettings(path string, settings any) error {
	text, err := json.MarshalIndent(settings, "", "  ")
	if err != nil {
		return err
	}
	return checkpoint.WriteAtomic(path, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}

// Settle compares a run's settings with those in the file at path, or writes the file if
// there is none. If they differ, Settle returns an error that lists all differences, and
// does not change the file.
func Settle(path string, settings any) error {
	have, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return WriteSettings(path, settings)
	} else if err != nil {
		return err
	}
	want, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	then, err := decode(have)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	now, err := decode(want)
	if err != nil {
		return err
	}
	if d := Differences(then, now); len(d) > 0 {
		return fmt.Errorf("%s is of a run with other settings (choose another folder, or those settings):\n  %s",
			path, strings.Join(d, "\n  "))
	}
	return nil
}

// decode preserves numbers as they are written, since a seed may have 64 bits.
func decode(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// Differences lists the differences of two decoded JSON values, sorted by path:
// "scale.group: 8 there, 16 now". A key that one of them lacks is shown as null.
func Differences(there, now any) []string {
	a, okA := there.(map[string]any)
	b, okB := now.(map[string]any)
	if okA && okB {
		keys := maps.Clone(a)
		maps.Copy(keys, b)
		var found []string
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			for _, d := range Differences(a[k], b[k]) {
				if !strings.HasPrefix(d, ":") { // a nested path
					d = "." + d
				}
				found = append(found, k+d)
			}
		}
		return found
	}
	textA, _ := json.Marshal(there) // decoded JSON can always be encoded
	textB, _ := json.Marshal(now)
	if bytes.Equal(textA, textB) {
		return nil
	}
	return []string{fmt.Sprintf(": %s there, %s now", textA, textB)}
}
