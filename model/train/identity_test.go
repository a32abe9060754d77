package train

import (
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

// A checkpoint from before the Drafter's gates had a balance loss lacks the key that
// records this loss, and is refused as that of another run.
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
