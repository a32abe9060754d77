package rl

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
)

func TestPassAtKEqualsBinomialRatio(t *testing.T) {
	binomial := func(n, k int) *big.Rat {
		return new(big.Rat).SetInt(new(big.Int).Binomial(int64(n), int64(k)))
	}
	for _, n := range []int{1, 2, 5, 16, 64, 200} {
		for c := 0; c <= n; c += 1 + n/40 {
			for k := 1; k <= n; k += 1 + n/40 {
				miss := new(big.Rat) // C(n−c,k) is 0 for k > n−c
				if k <= n-c {
					miss.Quo(binomial(n-c, k), binomial(n, k))
				}
				want, _ := miss.Sub(big.NewRat(1, 1), miss).Float64()
				if got := PassAtK(n, c, k); math.Abs(got-want) > 1e-13 {
					t.Errorf("PassAtK(%d, %d, %d) = %v, want %v", n, c, k, got, want)
				}
			}
		}
	}
}

func TestPassAtKByHand(t *testing.T) {
	for _, c := range []struct {
		n, c, k int
		want    float64
	}{
		{10, 3, 1, 0.3}, {4, 2, 2, 5. / 6}, {5, 1, 5, 1}, {7, 0, 3, 0}, {3, 3, 1, 1}, {5, 2, 3, 0.9},
	} {
		if got := PassAtK(c.n, c.c, c.k); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("PassAtK(%d, %d, %d) = %v, want %v", c.n, c.c, c.k, got, c.want)
		}
	}
}

func TestMajAtK(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers string // one letter for each sample, "." for an unreadable answer; "a" is correct
		k       int
		want    float64
	}{
		{"majority right", "baaba", 5, 1},
		{"majority wrong", "babba", 5, 0},
		{"tie goes to the first seen", "abba", 4, 1},
		{"tie goes to the first seen, wrong", "baab", 4, 0},
		{"unreadable answers do not vote", "...ab.a", 7, 1},
		{"no votes", "...", 3, 0},
		{"blocks of two", "ab ba aa .. .a", 2, 3. / 5},
		{"rest unused", "aab" + "bba" + "aa", 3, 1. / 2},
		{"k of one is pass@1", "aabb.", 1, 2. / 5},
	} {
		var answers []string
		var correct []bool
		for _, a := range strings.Split(strings.ReplaceAll(c.answers, " ", ""), "") {
			answers = append(answers, strings.TrimSuffix(a, "."))
			correct = append(correct, a == "a")
		}
		if got := MajAtK(answers, correct, c.k); got != c.want {
			t.Errorf("%s: maj@%d of %q = %v, want %v", c.name, c.k, c.answers, got, c.want)
		}
	}
}

func TestAvgAtKIsTheMean(t *testing.T) {
	if got := AvgAtK([]float64{1, 0, 0.1, 1}); got != 0.525 {
		t.Errorf("avg@4 = %v, want 0.525", got)
	}
}

func TestEvaluationStatisticsPanicOnImpossibleCounts(t *testing.T) {
	for name, f := range map[string]func(){
		"PassAtK: n 4, c 5, k 1":            func() { PassAtK(4, 5, 1) },
		"PassAtK: n 4, c -1, k 1":           func() { PassAtK(4, -1, 1) },
		"PassAtK: n 4, c 2, k 5":            func() { PassAtK(4, 2, 5) },
		"PassAtK: n 4, c 2, k 0":            func() { PassAtK(4, 2, 0) },
		"MajAtK: 2 answers, 1 correct":      func() { MajAtK([]string{"a", "b"}, []bool{true}, 1) },
		"MajAtK: 1 answers, 1 correct, k 2": func() { MajAtK([]string{"a"}, []bool{true}, 2) },
		"AvgAtK: no scores":                 func() { AvgAtK(nil) },
	} {
		func() {
			defer func() {
				if r := recover(); !strings.Contains(fmt.Sprint(r), name) {
					t.Errorf("panic %v, want one with %q", r, name)
				}
			}()
			f()
		}()
	}
}
