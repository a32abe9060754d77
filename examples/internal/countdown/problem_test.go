package countdown

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// enumerate counts the ways to reach each target from three numbers by two operations
// + and −. It is written from the definition, independently of tries.
func enumerate(n [3]int) (reached map[int]int, total int) {
	reached = make(map[int]int)
	inside := func(v int) bool { return v >= 1 && v <= 99 }
	for c := range 3 {
		a, b := n[(c+1)%3], n[(c+2)%3]
		for _, pair := range []int{a + b, int(math.Abs(float64(a - b)))} {
			for _, v := range []int{pair + n[c], int(math.Abs(float64(pair - n[c])))} {
				if inside(pair) && inside(v) {
					reached[v]++
					total++
				}
			}
		}
	}
	return reached, total
}

func TestProblemsAreThoseOfTheDefinition(t *testing.T) {
	all := Task{}.Problems()
	if got, want := len(all), 14662; got != want {
		t.Errorf("%d problems, want %d", got, want)
	}
	var problems, totalTries, hitShare float64
	i := 0
	for a := 1; a <= 30; a++ {
		for b := a; b <= 30; b++ {
			for c := b; c <= 30; c++ {
				reached, total := enumerate([3]int{a, b, c})
				if got := len(tries([3]int{a, b, c})); got != total {
					t.Fatalf("%d tries of %d %d %d, want %d", got, a, b, c, total)
				}
				for target := 10; target <= 99; target++ {
					if reached[target] == 0 {
						continue
					}
					if want := (Problem{[3]int{a, b, c}, target}); i >= len(all) || all[i] != want {
						t.Fatalf("problem %d is not %v", i, want)
					}
					i++
					problems++
					totalTries += float64(total)
					hitShare += float64(reached[target]) / float64(total)
				}
			}
		}
	}
	if i != len(all) {
		t.Errorf("%d problems, the definition has %d", len(all), i)
	}
	if got, want := fmt.Sprintf("%.1f", totalTries/problems), "11.6"; got != want {
		t.Errorf("%s tries a problem, want %s", got, want)
	}
	if got, want := fmt.Sprintf("%.0f%%", 100*hitShare/problems), "27%"; got != want {
		t.Errorf("%s of a problem's tries hit, want %s", got, want)
	}
}

func TestPromptShowsNumbersInTheGivenOrder(t *testing.T) {
	p := Problem{[3]int{16, 19, 29}, 32}
	if got, want := p.Prompt([3]int{1, 2, 0}), "19 29 16:32"; got != want {
		t.Errorf("Prompt = %q, want %q", got, want)
	}
	if got, want := Decode(p.PromptTokens([3]int{1, 2, 0})), "<bos>19 29 16:32"; got != want {
		t.Errorf("PromptTokens = %q, want %q", got, want)
	}
}

func TestOrderIsUniformAndRepeatable(t *testing.T) {
	const seed, n = 5, 6000
	counts := make(map[[3]int]int)
	for i := range n {
		first := Order(seed, i)
		counts[first]++
		if Order(seed, i) != first {
			t.Fatalf("order %d differs between calls", i)
		}
	}
	if len(counts) != 6 {
		t.Errorf("%d orders of three numbers, want 6", len(counts))
	}
	for order, count := range counts {
		// 1000 expected, standard deviation 29.
		if count < 850 || count > 1150 {
			t.Errorf("order %v comes %d times in %d, want about 1000", order, count, n)
		}
	}
}

func TestSplitSharesNoMultiset(t *testing.T) {
	splitSharesNoMultiset(t, Task{}, 512, 256)
	splitSharesNoMultiset(t, small, 128, 64)
}

func splitSharesNoMultiset(t *testing.T, task Task, test, validation int) {
	t.Helper()
	all := task.Problems()
	for _, seed := range []uint64{0, 1, 2026} {
		s := task.Split(seed)
		if len(s.Test) != test || len(s.Validation) != validation {
			t.Errorf("seed %d: %d test and %d validation problems, want %d and %d", seed, len(s.Test), len(s.Validation),
				test, validation)
		}
		// Only the rest of the last multiset of each held-out part belongs to no part: at
		// most 11 problems each, since a multiset has at most 12 tries.
		total := len(s.Train) + len(s.Validation) + len(s.Test)
		if lost := len(all) - total; lost < 0 || lost > 22 {
			t.Errorf("seed %d: %d problems belong to no part", seed, lost)
		}
		owner := make(map[[3]int]string)
		seen := make(map[Problem]bool)
		for name, part := range map[string][]Problem{"train": s.Train, "validation": s.Validation, "test": s.Test} {
			for _, p := range part {
				if was, ok := owner[p.Numbers]; ok && was != name {
					t.Errorf("seed %d: %v is in %s and %s", seed, p.Numbers, was, name)
				}
				owner[p.Numbers] = name
				if seen[p] {
					t.Errorf("seed %d: %v occurs twice", seed, p)
				}
				seen[p] = true
				if _, ok := slices.BinarySearchFunc(all, p, compareProblems); !ok {
					t.Errorf("seed %d: %v is no problem", seed, p)
				}
			}
		}
	}
}

func compareProblems(a, b Problem) int {
	return slices.Compare(append(a.Numbers[:], a.Target), append(b.Numbers[:], b.Target))
}

func TestSplitDependsOnSeedAlone(t *testing.T) {
	if diff := cmp.Diff(Task{}.Split(7), Task{}.Split(7)); diff != "" {
		t.Errorf("two splits of one seed differ:\n%s", diff)
	}
	if cmp.Equal(Task{}.Split(7).Test, Task{}.Split(8).Test) {
		t.Error("seeds 7 and 8 hold out the same problems")
	}
}

func TestSmallTaskHasTheProblemsOfTheFullOneWithSmallNumbers(t *testing.T) {
	var want []Problem
	for _, p := range (Task{}).Problems() {
		if p.Numbers[2] <= small.MaxNumber && p.Target <= small.MaxTarget {
			want = append(want, p)
		}
	}
	if diff := cmp.Diff(want, small.Problems()); diff != "" || len(want) != 643 {
		t.Errorf("%d problems, want 643 (-want +got):\n%s", len(want), diff)
	}
}
