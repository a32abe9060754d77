package rl

import "fmt"

// PassAtK returns the unbiased estimate of pass@k from n samples of a problem,
// c of them correct: 1 − C(n−c,k)/C(n,k), the probability that k samples drawn
// without replacement include a correct one (Chen et al. 2021, arXiv
// 2107.03374, eq. 1). It panics unless 0 ≤ c ≤ n and 1 ≤ k ≤ n.
func PassAtK(n, c, k int) float64 {
	if c < 0 || c > n || k < 1 || k > n {
		panic(fmt.Sprintf("rl: PassAtK: n %d, c %d, k %d: want 0 <= c <= n and 1 <= k <= n", n, c, k))
	}
	if n-c < k {
		return 1
	}
	// C(n−c,k)/C(n,k) is a product of c factors below 1, which cannot overflow.
	miss := 1.0
	for i := n - c + 1; i <= n; i++ {
		miss *= 1 - float64(k)/float64(i)
	}
	return 1 - miss
}

// MajAtK returns maj@k (cons@k, self-consistency) of one problem: the probability that the
// most frequent answer among k samples is correct.
//
// answers holds the normalised answer of each of the n samples, or "" if it could not be
// read; correct reports whether it is correct. Answers "" do not vote. The majority answer
// is the most frequent one; among equally frequent answers it is the one that occurs first.
// It counts as correct if its first occurrence is. If there are no votes, the result is
// wrong.
//
// MajAtK splits the samples in order into ⌊n/k⌋ chunks of k and returns the share of chunks
// whose majority answer is correct, which is 0 or 1 if k > n/2. Remaining samples are
// unused. It panics unless answers and correct have equal length n and 1 ≤ k ≤ n.
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
	for i, a := range answers { // in order, so that the first of equally frequent answers wins
		if a != "" && votes[a] > most {
			most, verdict = votes[a], correct[i]
		}
	}
	return verdict
}

// AvgAtK returns avg@k (verl's mean@N) of one problem: the mean of the scores of its
// samples, which estimates pass@1 if each score is 0 or 1. It panics if scores is empty.
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
