package lab

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBalanceAveragesWindowsOfEnoughAssignments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	// There are two layers with two experts each. A window of 8192 assignments takes two
	// steps, and the fifth step is left over. MaxVio is max/mean − 1.
	lines := `{"step":1,"moe/1/load":[4096,0],"moe/2/load":[2048,2048]}
{"step":2,"moe/1/load":[2048,2048],"moe/2/load":[2048,2048]}
{"step":3,"moe/1/load":[2048,2048],"moe/2/load":[2048,2048]}
{"step":4,"moe/1/load":[2048,2048],"moe/2/load":[3072,1024]}
{"step":5,"moe/1/load":[4096,0],"moe/2/load":[4096,0]}
`
	write(t, path, lines)
	b, err := ReadBalance(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{0.25, 0.125}, b.Windows); diff != "" {
		t.Error(diff)
	}
	if b.First(1) != 0.25 || b.Last(1) != 0.125 || b.First(10) != 0.1875 {
		t.Errorf("first %g, last %g, mean %g", b.First(1), b.Last(1), b.First(10))
	}
	var none Balance
	if none.First(3) != 0 || none.Last(3) != 0 {
		t.Error("the mean of no windows is not 0")
	}
}
