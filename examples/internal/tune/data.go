package tune

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/aha-go/aha/model"
)

// Lines calls read with each line of the data file that is not blank, and returns the file's
// SHA-256. Errors name the file and the line.
func Lines(file string, read func(row []byte) error) (sum string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("-data: %w", err)
	}
	n := 0
	for row := range bytes.Lines(text) {
		if n++; len(bytes.TrimSpace(row)) == 0 {
			continue
		}
		if err := read(row); err != nil {
			return "", fmt.Errorf("%s: line %d: %w", file, n, err)
		}
	}
	return fmt.Sprintf("%x", sha256.Sum256(text)), nil
}

// Split holds out the fraction part of all, which must have at least two elements: at least
// one of them is held out, and at least one is not. seed chooses which.
func Split[T any](all []T, part float64, seed uint64) (rest, held []T) {
	n := len(all)
	order := rand.New(rand.NewPCG(model.DeriveSeed(seed, "held out"), 0)).Perm(n)
	out := min(max(int(part*float64(n)+0.5), 1), n-1)
	for i, at := range order {
		if i < out {
			held = append(held, all[at])
		} else {
			rest = append(rest, all[at])
		}
	}
	return rest, held
}
