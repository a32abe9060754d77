package rl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// Evaluation measures a model on held-out problems. It samples N completions of each
// prompt and computes pass@k, maj@k and avg@k from them. The result depends only on the
// weights, the prompts and the fields.
type Evaluation struct {
	Sampler rollout.Sampler // generates the completions; required
	Seed    uint64          // seeds the sampling, together with the indices of the prompts
	Reward  *reward.Suite   // required
	// Correct names the function of Reward that decides whether a sample is correct: it is
	// if the verdict has status Correct. "" means the first function.
	Correct string
	// Extract returns the normalised answer of a sample for the majority vote, and "" if
	// there is none. If nil, there is no majority vote.
	Extract func(s rollout.Sample) string
	N       int   // number of samples of each prompt; 0 means 1
	K       []int // the values of k for pass@k and maj@k, each from 1 to N; empty means only N
	// Chunk is the number of prompts between two calls of Progress; 0 means 32.
	// It does not affect results.
	Chunk int
	// Progress is called after each chunk with the number of prompts done; optional.
	Progress func(done, total int)
}

// EvalResult is the result of an Evaluation.
type EvalResult struct {
	N       int
	Sources []EvalSource     // one for each data set, in order of first appearance
	Samples []rollout.Sample // sample i of prompt p at index p·N + i
	Scores  *reward.Scores   // scores of Samples; Scores.Totals holds their rewards
}

// EvalSource holds the results of one data set, averaged over its prompts.
type EvalSource struct {
	Source  string
	Prompts int
	// Mean is the share of correct samples: avg@N, an estimate of pass@1.
	Mean float64
	Pass map[int]float64 // pass@k by k, unbiased; see PassAtK
	Maj  map[int]float64 // maj@k by k; see MajAtK; nil without Extract
	// MeanLength is the mean length of completions in tokens; Truncated is the share of
	// completions that were cut off at MaxTokens.
	MeanLength, Truncated float64
}

// Run generates and scores the completions and computes the results. A sample on which
// the verifier fails (Error, Timeout) counts as incorrect; Scores has its error.
func (e *Evaluation) Run(ctx context.Context, prompts []rollout.Prompt) (*EvalResult, error) {
	if len(prompts) == 0 {
		return nil, errors.New("rl: evaluation without prompts")
	}
	if err := e.validate(prompts); err != nil {
		return nil, err
	}
	n, ks := cmp.Or(e.N, 1), e.K
	if len(ks) == 0 {
		ks = []int{n}
	}
	fn, err := e.correct()
	if err != nil {
		return nil, err
	}
	chunk := cmp.Or(e.Chunk, 32)
	r := &EvalResult{N: n}
	for at := 0; at < len(prompts); at += chunk {
		part := prompts[at:min(at+chunk, len(prompts))]
		draw := rollout.Draw{Seed: model.DeriveSeed(e.Seed, "evaluation"), First: at, N: n}
		samples, err := rollout.Complete(ctx, e.Sampler, part, draw)
		if err != nil {
			return nil, err
		}
		r.Samples = append(r.Samples, samples...)
		if e.Progress != nil {
			e.Progress(at+len(part), len(prompts))
		}
	}
	if r.Scores, err = e.Reward.Score(ctx, rollout.Rewardable(prompts, r.Samples)); err != nil {
		return nil, err
	}
	r.count(prompts, r.Scores.Verdicts[fn], ks, e.Extract)
	return r, nil
}

// correct returns the index of the reward function that Correct names.
func (e *Evaluation) correct() (int, error) {
	if e.Correct == "" {
		return 0, nil
	}
	fn := slices.IndexFunc(e.Reward.Funcs, func(f reward.Func) bool { return f.Name == e.Correct })
	if fn < 0 {
		return 0, fmt.Errorf("rl: Evaluation.Correct is %q: no reward function has that name", e.Correct)
	}
	return fn, nil
}

// count computes Sources from the verdicts on correctness.
func (r *EvalResult) count(
	prompts []rollout.Prompt, verdicts []reward.Verdict, ks []int, extract func(rollout.Sample) string,
) {
	place := map[string]int{}
	for p, prompt := range prompts {
		at, seen := place[prompt.Source]
		if !seen {
			at = len(r.Sources)
			place[prompt.Source] = at
			s := EvalSource{Source: prompt.Source, Pass: map[int]float64{}}
			if extract != nil {
				s.Maj = map[int]float64{}
			}
			r.Sources = append(r.Sources, s)
		}
		s, samples := &r.Sources[at], r.Samples[p*r.N:(p+1)*r.N]
		correct, answers, scores, right := make([]bool, r.N), make([]string, r.N), make([]float64, r.N), 0
		for i, sample := range samples {
			if verdicts[p*r.N+i].Status == reward.Correct {
				correct[i], scores[i] = true, 1
				right++
			}
			if extract != nil {
				answers[i] = extract(sample)
			}
			s.MeanLength += float64(len(sample.IDs)) / float64(r.N)
			if sample.Finish == model.Truncated {
				s.Truncated += 1 / float64(r.N)
			}
		}
		s.Prompts++
		s.Mean += AvgAtK(scores)
		for _, k := range ks {
			s.Pass[k] += PassAtK(r.N, right, k)
			if extract != nil {
				s.Maj[k] += MajAtK(answers, correct, k)
			}
		}
	}
	for i := range r.Sources {
		s := &r.Sources[i]
		n := float64(s.Prompts)
		s.Mean, s.MeanLength, s.Truncated = s.Mean/n, s.MeanLength/n, s.Truncated/n
		for _, k := range ks {
			s.Pass[k] /= n
			if extract != nil {
				s.Maj[k] /= n
			}
		}
	}
}

// Metrics returns the results by verl's names: val-core/<source>/mean@N, and for each k
// val-core/<source>/best@k/mean (pass@k) and val-core/<source>/maj@k/mean. As in verl, an
// empty source is named "unknown". Metrics of lengths and rewards have TRL's names with
// the prefix eval_; the mean of a format reward is the share of well-formed samples.
func (r *EvalResult) Metrics() map[string]float64 {
	m := map[string]float64{}
	for _, s := range r.Sources {
		m[MetricMeanAt(s.Source, r.N)] = s.Mean
		for k, v := range s.Pass {
			m[MetricBestAt(s.Source, k)] = v
		}
		for k, v := range s.Maj {
			m[MetricMajAt(s.Source, k)] = v
		}
	}
	for name, v := range lengthMetrics(r.Samples) {
		m[MetricEval+name] = v
	}
	for name, v := range r.Scores.Metrics() {
		m[MetricEval+name] = v
	}
	return m
}
