package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/examples/internal/countdown"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/mtp"
	"github.com/aha-go/aha/rl/reward"
)

func TestStudentHasAtMostHalfOfTheTeachersActiveParameters(t *testing.T) {
	student, teacher := Student(), Teacher()
	if err := student.Validate(); err != nil {
		t.Fatal(err)
	}
	all, active := student.NumParams()
	_, limit := teacher.NumParams()
	if all != active || 2*all > limit {
		t.Errorf("student: %d parameters, %d active; want all active and at most half of %d", all, active, limit)
	}
	if student.VocabSize != teacher.VocabSize || student.MaxPositionEmbeddings != teacher.MaxPositionEmbeddings {
		t.Errorf("student and teacher differ in vocabulary or length: %+v, %+v", student, teacher)
	}
}

// reasoner creates the output folder of a small r1zero run and returns the embedding of
// its newest checkpoint.
func reasoner(t *testing.T, b backend.Backend, dir string) []float64 {
	t.Helper()
	c := Teacher()
	c.NumHiddenLayers, c.HiddenSize, c.IntermediateSize, c.MoEIntermediateSize = 2, 32, 32, 16
	m, err := model.New(b, c, 5)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	d, err := mtp.New(m)
	if err != nil {
		t.Fatal(err)
	}
	tr := train.Trainer{Model: m, Drafter: d, Optimizer: train.AdamW{LR: 1e-2}, Dir: filepath.Join(dir, "grpo"),
		Steps: 2, SaveEvery: 1}
	defer tr.Close()
	err = tr.Run(t.Context(), train.DataFunc(func(int) ([]model.Sequence, error) {
		return []model.Sequence{{IDs: []int32{1, 5, 6, 7, 2}}}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.Embed.Floats()
	if err != nil {
		t.Fatal(err)
	}
	return want
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestLoadReasonerFindsTheNewestCheckpoint(t *testing.T) {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	dir := t.TempDir()
	want := reasoner(t, b, dir)
	write(t, filepath.Join(dir, "config.json"), `{"seed": 7, "quick": true}`)
	r, err := LoadReasoner(b, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Model.Free()
	got, err := r.Model.Embed.Floats()
	if err != nil {
		t.Fatal(err)
	}
	if r.Seed != 7 || r.Updates != 2 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("seed %d, %d updates, same embedding: %v; want 7, 2, true", r.Seed, r.Updates,
			fmt.Sprint(got) == fmt.Sprint(want))
	}
}

func TestLoadReasonerSaysWhatIsMissing(t *testing.T) {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, c := range []struct {
		name, want string
		missing    bool
		make       func(dir string)
	}{
		{"no folder", "go run ./examples/r1zero", true, func(string) {}},
		{"no GRPO yet", "has no GRPO checkpoint yet", true, func(dir string) {
			write(t, filepath.Join(dir, "config.json"), `{"seed": 1}`)
		}},
		{"another program's folder", "has no seed", false, func(dir string) {
			write(t, filepath.Join(dir, "config.json"), `{}`)
		}},
		{"no JSON", "config.json: ", false, func(dir string) {
			write(t, filepath.Join(dir, "config.json"), `{`)
		}},
		{"damaged", "no complete checkpoint", false, func(dir string) {
			write(t, filepath.Join(dir, "config.json"), `{"seed": 1}`)
			reasoner(t, b, dir)
			for _, step := range []string{"step-000001", "step-000002"} {
				write(t, filepath.Join(dir, "grpo", step, "model.safetensors"), "damaged")
			}
		}},
	} {
		dir := t.TempDir()
		c.make(dir)
		_, err := LoadReasoner(b, dir)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) || errors.Is(err,
			fs.ErrNotExist) != c.missing {
			t.Errorf("%s: error %v, want %q and the folder in it, fs.ErrNotExist: %v", c.name, err, c.want, c.missing)
		}
	}
}

func TestBaseTracesAreOfBaseQuality(t *testing.T) {
	const tokens = 60_000
	total, last := 0, 0
	var samples []reward.Sample
	for _, q := range Full.BaseTraces(3, tokens) {
		first := 1 + slices.IndexFunc(q.Weight, func(w float32) bool { return w > 0 })
		last = len(q.IDs) - first
		total += last
		var p reward.CountdownProblem
		p.Numbers = make([]int, 3)
		prompt := countdown.Decode(q.IDs[:first])
		if n, err := fmt.Sscanf(prompt, "<bos>%d %d %d:%d", &p.Numbers[0], &p.Numbers[1], &p.Numbers[2],
			&p.Target); n != 4 || p.Target < 10 {
			t.Fatalf("prompt %q: %v", prompt, err)
		}
		samples = append(samples, reward.Sample{Completion: countdown.Decode(q.IDs[first : len(q.IDs)-1]), Answer: p})
	}
	if total < tokens || total-last >= tokens {
		t.Errorf("%d response tokens, %d without the last trace; want at least %d, and fewer", total, total-last, tokens)
	}
	scores, err := Reward().Score(t.Context(), samples)
	if err != nil {
		t.Fatal(err)
	}
	share := float64(scores.Counts[0][reward.Correct]) / float64(len(samples))
	want, _ := Full.Corpus(4).CorrectShare(10_000)
	if math.Abs(share-want) > 0.04 {
		t.Errorf("%.3f of the traces are correct, %.3f of the base text", share, want)
	}
}
