package train

import (
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

// A checkpoint written when the Drafter's gates had no balance loss lacks the key
// that now says they have, and is refused as another run's.
func TestIdentitySaysThatTheDraftersGatesAreBalanced(t *testing.T) {
	for _, alpha := range []float64{0, 1e-4} {
		m := newModel(t, backend.F32)
		tr := &Trainer{Model: m, Drafter: newMTP(t, m), Optimizer: AdamW{LR: 1e-3}, BalanceAlpha: alpha}
		defer tr.Close()
		identity, err := tr.identity()
		if err != nil {
			t.Fatal(err)
		}
		if has := strings.Contains(string(identity), `"balance_of_drafter":true`); has != (alpha != 0) {
			t.Errorf("BalanceAlpha %g: %s", alpha, identity)
		}
	}
}
