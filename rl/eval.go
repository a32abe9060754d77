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

// Evaluation measures a model on held-out problems: N samples of each, from
// which pass@k, maj@k and avg@k follow. It is deterministic: a function of the
// weights, the prompts and its fields.
type Evaluation struct {
	Sampler rollout.Sampler // writes the completions; required
	Seed    uint64          // keys their draws, together with the prompts' places
	Reward  *reward.Suite   // required
	// Correct is the function of Reward whose status Correct makes a sample
	// correct; "" means the first.
	Correct string
	// Extract gives a sample's answer in a normal form, for the majority vote,
	// and "" where there is none; nil means no majority vote.
	Extract func(s rollout.Sample) string
	N       int   // samples of each prompt; 0 means 1
	K       []int // the k of pass@k and maj@k, each in 1…N; empty means N alone
	// Chunk is the number of prompts between two calls of Progress; 0 means 32.
	// It changes no result.
	Chunk int
	// Progress is told the number of prompts done after each chunk; nil means
	// nobody is.
	Progress func(done, total int)
}

// EvalResult is what an Evaluation found.
type EvalResult struct {
	N       int
	Sources []EvalSource     // by data set, in order of first appearance
	Samples []rollout.Sample // sample i of prompt p at p·N + i
	Scores  *reward.Scores   // of the samples; Scores.Totals are their rewards
}

// EvalSource are the results of the prompts of one source, averaged over them.
type EvalSource struct {
	Source  string
	Prompts int
	// Mean is avg@N of the correctness of single samples, an estimate of pass@1.
	Mean float64
	Pass map[int]float64 // pass@k by k, unbiased; see PassAtK
	Maj  map[int]float64 // maj@k by k; see MajAtK; nil without Extract
	// MeanLength is in tokens; Truncated is the share that met MaxTokens.
	MeanLength, Truncated float64
}

// Run samples, scores and counts. A verifier that fails on a sample (Error,
// Timeout) makes it incorrect and shows in Scores.
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

// correct is the index of the function that tells correctness.
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

// count fills Sources from the verdicts on correctness.
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

// Metrics names the results as verl does: val-core/<source>/mean@N, and for
// each k val-core/<source>/best@k/mean (pass@k) and maj@k/mean; "unknown" stands
// for an empty source, as there. Lengths and rewards go by TRL's names after
// eval_; the share of well-formed samples is the mean of a format reward.
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
