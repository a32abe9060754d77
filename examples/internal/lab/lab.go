// Package lab is shared by the examples, above all r1zero and distill. It has the prompts
// and rewards of the countdown task, the configs of the models, base training, the settings
// of GRPO, the evaluation on held-out problems, and what all commands need, such as the
// handling of signals.
package lab

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/examples/internal/countdown"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// Scale sets the size of a run. A run is only resumed with the same Scale.
type Scale struct {
	Task        countdown.Task `json:"task,omitzero"`
	BaseSteps   int            `json:"base_steps"`
	BaseTokens  int            `json:"base_tokens"`         // maximum tokens per step of base training
	BaseRate    float64        `json:"base_rate,omitempty"` // peak learning rate of base training; 0 means 3e-3
	RLSteps     int            `json:"rl_steps"`
	RLRate      float64        `json:"rl_rate,omitempty"` // peak learning rate of GRPO; 0 means 3e-4
	Prompts     int            `json:"prompts"`           // per GRPO step
	Group       int            `json:"group"`             // completions per prompt
	MaxTokens   int            `json:"max_tokens"`
	Problems    int            `json:"eval_problems"`
	Samples     int            `json:"eval_samples"`
	Slots       int            `json:"slots"` // sequences decoded together; does not change the result
	SaveEvery   int            `json:"save_every"`
	PassAt      int            `json:"pass_at"`
	TraceBudget int            `json:"trace_budget"` // problems for which distill samples traces
	Length      int            `json:"-"`            // tokens of a completion that Plan expects
}

// Full is the scale of the results in README.md.
var Full = Scale{
	BaseSteps: 2000, BaseTokens: 2048, RLSteps: 60, Prompts: 64, Group: 8, MaxTokens: 200,
	Problems: 512, Samples: 16, Slots: 256, SaveEvery: 10, PassAt: 16, TraceBudget: 2048, Length: 80,
}

// Quick is the scale of a run that takes 90 seconds on two cores. The model and the method
// are those of Full. The task is smaller, and its base text has lower error rates, so that a
// shorter base training suffices. Its settings were chosen on the task's validation problems.
var Quick = Scale{
	Task:      countdown.Task{MaxNumber: 12, MaxTarget: 36, Faults: 0.25},
	BaseSteps: 1200, BaseTokens: 1024, BaseRate: 1.5e-3,
	RLSteps: 26, RLRate: 4e-4, Prompts: 32, Group: 8, MaxTokens: 160,
	Problems: 128, Samples: 16, Slots: 256, SaveEvery: 10, PassAt: 16, TraceBudget: 64, Length: 55,
}

// splitSeed is the seed of the split, so that all runs of a task have the same held-out problems.
const splitSeed = 1

// Split returns the problems of the task.
func (s Scale) Split() countdown.Split { return s.Task.Split(splitSeed) }

// Corpus returns the corpus for base training with a seed.
func (s Scale) Corpus(seed uint64) countdown.Corpus {
	return countdown.Corpus{Seed: seed, Split: s.Split()}
}

// Teacher returns the config of a tiny model of DeepSeek-V3's architecture: MLA with
// compressed queries, 8 routed experts (top-2) and a shared one, and one module of
// multi-token prediction.
func Teacher() model.Config { return sized(model.Tiny(countdown.VocabSize)) }

// sized returns c with the vocabulary and the context length of the task.
func sized(c model.Config) model.Config {
	c.VocabSize = countdown.VocabSize
	c.MaxPositionEmbeddings = 512
	c.BOSTokenID = model.TokenIDs{int(countdown.BOS)}
	c.EOSTokenID = model.TokenIDs{int(countdown.EOS)}
	return c
}

// Prompts turns problems into prompts. The order of the numbers in prompt i depends on
// seed and i.
func Prompts(problems []countdown.Problem, seed uint64) []rollout.Prompt {
	out := make([]rollout.Prompt, len(problems))
	for i, p := range problems {
		order := countdown.Order(seed, i)
		out[i] = rollout.Prompt{
			IDs: p.PromptTokens(order), Text: p.Prompt(order), Source: "countdown",
			Answer: reward.CountdownProblem{Numbers: p.Numbers[:], Target: p.Target},
		}
	}
	return out
}

// Reward returns the reward of the task: 1 for a correct answer, plus 0.1 if the
// completion has exactly the form <think>…</think><answer>…</answer>.
func Reward() *reward.Suite {
	return &reward.Suite{Funcs: []reward.Func{
		{Name: answerReward, Score: reward.Countdown{}.Score},
		{Name: formatReward, Weight: 0.1, Score: reward.ThinkAnswerFormat},
	}}
}

// The names of the rewards.
const (
	answerReward = "countdown"
	formatReward = "format"
)

// TrainingPrompts returns a function that returns the prompts of each step. Steps go
// through the training problems again and again, in an order that depends on seed.
func TrainingPrompts(train []countdown.Problem, perStep int, seed uint64) func(step int) ([]rollout.Prompt, error) {
	order := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)).Perm(len(train))
	return func(step int) ([]rollout.Prompt, error) {
		problems := make([]countdown.Problem, perStep)
		for i := range problems {
			problems[i] = train[order[(step*perStep+i)%len(order)]]
		}
		return Prompts(problems, model.DeriveSeed(seed, "order", step)), nil
	}
}

// Sampler returns a sampler of completions at temperature 1.
func Sampler(g *model.Generator, sc Scale) rollout.Sampler {
	return &rollout.Generator{Generator: g, Decode: countdown.Decode, MaxTokens: sc.MaxTokens}
}

// Save saves m with the task's tokenizer to a folder that model.Load and transformers read.
func Save(dir string, m *model.Model) error {
	text, err := countdown.Tokenizer.MarshalJSON()
	if err != nil {
		return err
	}
	return model.Save(dir, m, model.SaveOptions{Files: map[string]func(io.Writer) error{
		tokenizer.FileName: func(w io.Writer) error { _, err := w.Write(text); return err },
	}})
}

// NewGenerator returns a generator for the task's sequences.
func NewGenerator(m *model.Model, sc Scale) (*model.Generator, error) {
	return model.NewGenerator(m, model.GeneratorOptions{Slots: sc.Slots, MaxLen: sc.MaxTokens + 16})
}

// GRPO returns the training of t.Model by GRPO with the task's rewards. It sets the
// optimizer, the schedule and other fields of t.
func GRPO(t *train.Trainer, g *model.Generator, sc Scale) *rl.GRPO {
	updates := sc.RLSteps * miniBatches
	t.Optimizer = train.AdamW{LR: cmp.Or(sc.RLRate, 3e-4)}
	t.Schedule = train.WarmUp(5*miniBatches, train.Linear(0, updates, 0.1))
	t.MaxRows = 2048 // limits the memory of activations
	t.SaveEvery = sc.SaveEvery
	t.KeepLast = 2
	return &rl.GRPO{
		Trainer: t, Sampler: Sampler(g, sc), Reward: Reward(),
		Data:  TrainingPrompts(sc.Split().Train, sc.Prompts, t.Seed),
		Steps: sc.RLSteps, G: sc.Group, SkipZeroStd: true,
		Objective:   rl.Objective{EpsilonLow: 0.2, EpsilonHigh: 0.28},
		MiniBatches: miniBatches,
	}
}

// miniBatches is the number of updates per rollout.
const miniBatches = 2

// Precision returns the dtype of activations that the flag -precision names.
func Precision(name string) (backend.DType, error) {
	switch name {
	case "f32", "":
		return backend.F32, nil
	case "bf16":
		return backend.BF16, nil
	}
	return 0, fmt.Errorf("-precision %q, want f32 or bf16", name)
}

// Open opens the device that the flag -device names.
func Open(device string) (backend.Backend, error) {
	b, err := backend.Open(device)
	if err != nil {
		return nil, fmt.Errorf("-device: %w", err)
	}
	return b, nil
}

// heldOut returns the prompts of the evaluation.
func (s Scale) heldOut() []rollout.Prompt { return Prompts(s.Split().Test[:s.Problems], splitSeed) }

// Evaluate evaluates the model on the held-out problems, always with the same problems,
// orders of numbers and seeds. It reports the number of finished problems to progress,
// first 0.
func Evaluate(ctx context.Context, g *model.Generator, sc Scale, progress func(done, total int)) (*rl.EvalResult,
	error) {
	progress(0, sc.Problems)
	e := rl.Evaluation{
		Sampler: Sampler(g, sc), Seed: splitSeed, Reward: Reward(), Correct: answerReward,
		Extract: func(s rollout.Sample) string { return countdown.Answer(s.IDs) },
		N:       sc.Samples, K: []int{1, sc.PassAt}, Chunk: 128, Progress: progress,
	}
	r, err := e.Run(ctx, sc.heldOut())
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("evaluation stopped, the training so far is saved: %w", context.Cause(ctx))
	}
	return r, err
}
