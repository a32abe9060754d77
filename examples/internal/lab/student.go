package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/distill"
	"github.com/aha-go/aha/examples/internal/countdown"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
)

// Student returns the config of a dense model of the kind that DeepSeek-R1 was distilled
// into, with less than half of the active parameters of Teacher.
func Student() model.Config {
	return sized(model.Config{
		ModelType:         model.TypeQwen2,
		HiddenSize:        96,
		IntermediateSize:  256,
		NumHiddenLayers:   4,
		NumAttentionHeads: 6,
		NumKeyValueHeads:  3,
		HiddenAct:         "silu",
		RMSNormEps:        1e-6,
		InitializerRange:  0.02,
		RoPETheta:         1e4,
		DType:             "float32",
	})
}

// Reasoner is a model that r1zero trained.
type Reasoner struct {
	Model   *model.Model
	Updates int    // number of optimizer updates by GRPO
	Seed    uint64 // seed of the run and its base text
	Task    countdown.Task
}

// LoadReasoner loads the newest GRPO checkpoint of the r1zero run in dir, without the
// modules of multi-token prediction.
func LoadReasoner(b backend.Backend, dir string) (*Reasoner, error) {
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no r1zero run (go run ./examples/r1zero creates one): %w", dir, err)
	} else if err != nil {
		return nil, err
	}
	var config struct {
		Seed      *uint64 `json:"seed"`
		Precision string  `json:"precision"`
		Scale     Scale   `json:"scale"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
	}
	if config.Seed == nil {
		return nil, fmt.Errorf("%s has no seed: it does not belong to an r1zero run", filepath.Join(dir, "config.json"))
	}
	snapshot, err := checkpoint.Store{Dir: filepath.Join(dir, "grpo")}.LatestComplete()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the r1zero run in %s has no GRPO checkpoint yet: let it finish: %w", dir, err)
	} else if err != nil {
		return nil, err
	}
	shape, err := model.ReadConfig(snapshot.Path("config.json"))
	if err != nil {
		return nil, err
	}
	precision, err := Precision(config.Precision)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
	}
	m, err := model.NewWith(b, shape, *config.Seed, model.Options{Precision: precision})
	if err != nil {
		return nil, err
	}
	unclaimed, err := checkpoint.Load(snapshot.Path(checkpoint.SingleFile), m.Params.All())
	if err == nil {
		drafter := fmt.Sprintf("model.layers.%d.", shape.NumHiddenLayers)
		if i := slices.IndexFunc(unclaimed, func(name string) bool { return !strings.HasPrefix(name, drafter) }); i >= 0 {
			err = fmt.Errorf("%s: the model has no parameter %s", snapshot.Dir, unclaimed[i])
		}
	}
	if err != nil {
		m.Free()
		return nil, err
	}
	return &Reasoner{Model: m, Updates: snapshot.Step, Seed: *config.Seed, Task: config.Scale.Task}, nil
}

// BaseTraces returns new traces from the distribution of the base text, correct or wrong,
// as training sequences. Their responses have at least the given number of tokens in total.
func (s Scale) BaseTraces(seed uint64, tokens int) []model.Sequence {
	corpus := s.Corpus(model.DeriveSeed(seed, "base-quality traces"))
	corpus.Mix = countdown.Mix{Trace: 1}
	var seqs []model.Sequence
	for i := 0; tokens > 0; i++ {
		ids := corpus.Document(i).Tokens
		prompt := slices.Index(ids, countdown.Colon) + 3 // the target has two digits
		seqs = append(seqs, distill.Response(ids[:prompt], ids[prompt:]))
		tokens -= len(ids) - prompt
	}
	return seqs
}
