// Package lab is what the examples r1zero and distill share: the countdown
// task as prompts and rewards, the shapes of the models, the training of a base
// model, the settings of GRPO, and the evaluation on held-out problems.
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

// Scale sizes a run. It is part of what a resumed run must agree on.
type Scale struct {
	Task        countdown.Task `json:"task,omitzero"`
	BaseSteps   int            `json:"base_steps"`
	BaseTokens  int            `json:"base_tokens"`         // of a step
	BaseRate    float64        `json:"base_rate,omitempty"` // peak of the learning rate; if 0, it is 3e-3
	RLSteps     int            `json:"rl_steps"`
	RLRate      float64        `json:"rl_rate,omitempty"` // peak of the learning rate; if 0, it is 3e-4
	Prompts     int            `json:"prompts"`           // of an RL step
	Group       int            `json:"group"`             // completions of each
	MaxTokens   int            `json:"max_tokens"`
	Problems    int            `json:"eval_problems"`
	Samples     int            `json:"eval_samples"`
	Slots       int            `json:"slots"` // sequences decoded together; changes no result
	SaveEvery   int            `json:"save_every"`
	PassAt      int            `json:"pass_at"`
	TraceBudget int            `json:"trace_budget"` // problems the distillation samples
	Length      int            `json:"-"`            // tokens of a completion that Plan counts on
}

// Full is the run whose figures the README quotes.
var Full = Scale{
	BaseSteps: 2000, BaseTokens: 2048, RLSteps: 60, Prompts: 64, Group: 8, MaxTokens: 200,
	Problems: 512, Samples: 16, Slots: 256, SaveEvery: 10, PassAt: 16, TraceBudget: 2048, Length: 80,
}

// Quick is a run of 90 seconds on two cores: Full's model and method on a smaller task
// with fewer faults in its base text, so that a shorter base training does. Its settings
// were chosen by the task's validation problems.
var Quick = Scale{
	Task:      countdown.Task{MaxNumber: 12, MaxTarget: 36, Faults: 0.25},
	BaseSteps: 1200, BaseTokens: 1024, BaseRate: 1.5e-3,
	RLSteps: 26, RLRate: 4e-4, Prompts: 32, Group: 8, MaxTokens: 160,
	Problems: 128, Samples: 16, Slots: 256, SaveEvery: 10, PassAt: 16, TraceBudget: 64, Length: 55,
}

// splitSeed fixes the held-out problems: they are the same for every run.
const splitSeed = 1

// Split are the problems of the task.
func (s Scale) Split() countdown.Split { return s.Task.Split(splitSeed) }

// Corpus is the base text of a seed.
func (s Scale) Corpus(seed uint64) countdown.Corpus {
	return countdown.Corpus{Seed: seed, Split: s.Split()}
}

// Teacher is a V3 in miniature: MLA with a compressed query, 8 experts of which
// 2 and a shared one work on each token, and one multi-token prediction module.
func Teacher() model.Config { return sized(model.Tiny(countdown.VocabSize)) }

// sized fits a config to the task's vocabulary and longest document.
func sized(c model.Config) model.Config {
	c.VocabSize = countdown.VocabSize
	c.MaxPositionEmbeddings = 512
	c.BOSTokenID = model.TokenIDs{int(countdown.BOS)}
	c.EOSTokenID = model.TokenIDs{int(countdown.EOS)}
	return c
}

// Prompts turns problems to prompts; the order in which problem i shows its
// numbers depends on seed and i.
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

// Reward is 1 for a correct answer plus 0.1 for exactly
// <think>…</think><answer>…</answer>, and nothing else.
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

// TrainingPrompts gives step after step of an endless pass over the training
// problems, in an order set by seed.
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

// Sampler writes completions at temperature 1.
func Sampler(g *model.Generator, sc Scale) rollout.Sampler {
	return &rollout.Generator{Generator: g, Decode: countdown.Decode, MaxTokens: sc.MaxTokens}
}

// Save saves m with the task's tokenizer in a folder that model.Load and transformers read.
func Save(dir string, m *model.Model) error {
	text, err := countdown.Tokenizer.MarshalJSON()
	if err != nil {
		return err
	}
	return model.Save(dir, m, model.SaveOptions{Files: map[string]func(io.Writer) error{
		tokenizer.FileName: func(w io.Writer) error { _, err := w.Write(text); return err },
	}})
}

// NewGenerator decodes the task's sequences.
func NewGenerator(m *model.Model, sc Scale) (*model.Generator, error) {
	return model.NewGenerator(m, model.GeneratorOptions{Slots: sc.Slots, MaxLen: sc.MaxTokens + 16})
}

// GRPO is the training of t's model from the task's rewards. t makes the
// updates; what the function sets on it are the settings of the run.
func GRPO(t *train.Trainer, g *model.Generator, sc Scale) *rl.GRPO {
	updates := sc.RLSteps * miniBatches
	t.Optimizer = train.AdamW{LR: cmp.Or(sc.RLRate, 3e-4)}
	t.Schedule = train.WarmUp(5*miniBatches, train.Linear(0, updates, 0.1))
	t.MaxRows = 2048 // bounds the activations: none is recomputed
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

// miniBatches is the number of updates from one rollout.
const miniBatches = 2

// Precision is the dtype of activations that the flag -precision names.
func Precision(name string) (backend.DType, error) {
	switch name {
	case "f32", "":
		return backend.F32, nil
	case "bf16":
		return backend.BF16, nil
	}
	return 0, fmt.Errorf("-precision %q, want f32 or bf16", name)
}

// Open opens the device and reports what to do if its name is unknown.
func Open(device string) (backend.Backend, error) {
	b, err := backend.Open(device)
	if err != nil {
		return nil, fmt.Errorf("-device: %w", err)
	}
	return b, nil
}

// heldOut are the prompts of the evaluation.
func (s Scale) heldOut() []rollout.Prompt { return Prompts(s.Split().Test[:s.Problems], splitSeed) }

// Evaluate samples the held-out problems. The same problems, orders and draws
// are used whatever the model and whenever it is called. progress is told, from
// the beginning on, how many problems are done.
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
		return nil, fmt.Errorf("evaluation stopped, what was trained is saved: %w", context.Cause(ctx))
	}
	return r, err
}
