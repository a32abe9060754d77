package rl

import (
	"fmt"
)

// GAE computes generalized advantage estimates (arXiv 1506.02438 eq. 16) for one
// completion of T tokens, from the reward of each token and the value of the state
// in which the token is sampled:
//
//	δ_t = r_t + γ·V_{t+1} − V_t
//	A_t = δ_t + γ·λ·A_{t+1}
//	R_t = A_t + V_t
//
// V and A after the last token are 0. This holds for truncated completions too: as in verl
// and in TRL, no value is bootstrapped. With γ = λ = 1, R_t is the sum of the rewards from
// t on. GAE panics if rewards and values have different lengths.
func GAE(rewards, values []float64, gamma, lambda float64) (advantages, returns []float64) {
	if len(rewards) != len(values) {
		panic(fmt.Sprintf("rl: GAE: %d rewards, %d values", len(rewards), len(values)))
	}
	advantages, returns = make([]float64, len(rewards)), make([]float64, len(rewards))
	next, ahead := 0.0, 0.0 // value and advantage of token t+1
	for t := len(rewards) - 1; t >= 0; t-- {
		delta := rewards[t] + float64(gamma*next) - values[t]
		ahead = delta + float64(gamma*lambda*ahead)
		next = values[t]
		advantages[t], returns[t] = ahead, ahead+values[t]
	}
	return advantages, returns
}

// moments returns the number of values, their mean and their biased variance (divided by
// n). All are 0 if there are no values.
func moments(tokens [][]float64) (n, mean, variance float64) {
	for _, completion := range tokens {
		for _, v := range completion {
			n++
			mean += v
		}
	}
	if n == 0 {
		return 0, 0, 0
	}
	mean /= n
	for _, completion := range tokens {
		for _, v := range completion {
			variance += float64((v - mean) * (v - mean))
		}
	}
	return n, mean, variance / n
}
