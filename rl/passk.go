package rl

import "fmt"

// PassAtK returns the unbiased estimate of pass@k from n samples of a problem,
// c of them correct: 1 − C(n−c,k)/C(n,k), the chance that k samples drawn
// without replacement contain a correct one (Chen et al. 2021, arXiv
// 2107.03374, eq. 1). It panics unless 0 ≤ c ≤ n and 1 ≤ k ≤ n.
func PassAtK(n, c, k int) float64 {
	if c < 0 || c > n || k < 1 || k > n {
		panic(fmt.Sprintf("rl: PassAtK: n %d, c %d, k %d: want 0 <= c <= n and 1 <= k <= n", n, c, k))
	}
	if n-c < k {
		return 1
	}
	// C(n−c,k)/C(n,k) as a product of c factors below 1: nothing overflows.
	miss := 1.0
	for i := n - c + 1; i <= n; i++ {
		miss *= 1 - float64(k)/float64(i)
	}
	return 1 - miss
}

// MajAtK returns maj@k (cons@k, self-consistency) of one problem: the chance
// that the most frequent answer among k samples is correct.
//
// answers holds the normalised answer of each of the n samples and "" where none
// could be read, correct its correctness. Unreadable answers do not vote; the
// majority is the most frequent answer, of several equally frequent ones the one
// seen first; it is as correct as its first occurrence; with no votes it is
// wrong.
//
// The samples are cut in order into ⌊n/k⌋ blocks of k, which are independent
// draws, and the result is the share of blocks with a correct majority: 0 or 1
// if k > n/2. Samples left over are unused. It panics unless answers and correct
// have equal length n and 1 ≤ k ≤ n.
func MajAtK(answers []string, correct []bool, k int) float64 {
	n := len(answers)
	if n != len(correct) || k < 1 || k > n {
		panic(fmt.Sprintf("rl: MajAtK: %d answers, %d correct, k %d: want equal lengths and 1 <= k <= n", n, len(correct), k))
	}
	blocks, right := n/k, 0
	for b := range blocks {
		if majorityCorrect(answers[b*k:(b+1)*k], correct[b*k:(b+1)*k]) {
			right++
		}
	}
	return float64(right) / float64(blocks)
}

func majorityCorrect(answers []string, correct []bool) bool {
	votes := map[string]int{}
	for _, a := range answers {
		votes[a]++
	}
	most, verdict := 0, false
	for i, a := range answers { // in order, so that ties go to the first seen
		if a != "" && votes[a] > most {
			most, verdict = votes[a], correct[i]
		}
	}
	return verdict
}

// AvgAtK returns avg@k (verl's mean@N) of one problem: the mean of the scores of
// its samples, which is pass@1 if the scores are 0 and 1. It panics without
// scores.
func AvgAtK(scores []float64) float64 {
	if len(scores) == 0 {
		panic("rl: AvgAtK: no scores")
	}
	var sum float64
	for _, s := range scores {
		sum += s
	}
	return sum / float64(len(scores))
}
