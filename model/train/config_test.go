package train

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
)

// published returns a config that describes weights stored in BF16 and FP8.
func published() model.Config {
	c := small()
	c.DType = "bfloat16"
	c.Quantization = &model.Quantization{
		QuantMethod: "fp8", Fmt: "e4m3", ActivationScheme: "dynamic", WeightBlockSize: []int{128, 128},
	}
	return c
}

func publishedRun(t *testing.T, dir string, steps int) *Trainer {
	t.Helper()
	b := newCPU(t)
	m, err := model.New(b, published(), 7)
	if err != nil {
		t.Fatal(err)
	}
	tr := &Trainer{Model: m, Drafter: newMTP(t, m), Optimizer: AdamW{LR: 1e-5}, Steps: steps, Dir: dir}
	t.Cleanup(func() { tr.Close(); m.Free() })
	return tr
}

// The config.json of a checkpoint describes the tensors in it: an update of 1e-5 to a norm
// of ones, which BF16 would round away, is preserved.
func TestASavedConfigSaysHowTheWeightsAreStored(t *testing.T) {
	dir := t.TempDir()
	tr := publishedRun(t, dir, 1)
	mustRun(t, tr)
	at := filepath.Join(dir, "step-000001")
	text, err := os.ReadFile(filepath.Join(at, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var saved map[string]any
	if err := json.Unmarshal(text, &saved); err != nil {
		t.Fatal(err)
	}
	if _, quantized := saved["quantization_config"]; saved["torch_dtype"] != "float32" || quantized {
		t.Errorf("torch_dtype %v, quantization_config %v", saved["torch_dtype"], saved["quantization_config"])
	}
	r, err := checkpoint.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, x := range r.Tensors() {
		if x.DType != checkpoint.F32 {
			t.Errorf("%s is %s", x.Name, x.DType)
		}
	}
	config, err := model.ReadConfig(filepath.Join(at, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.New(newCPU(t), config, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	if _, err := checkpoint.Load(filepath.Join(at, checkpoint.SingleFile), m.Params.All()); err != nil {
		t.Fatal(err)
	}
	got := mustFloats(t, m.Norm)
	if maxDiff(got, mustFloats(t, tr.Model.Norm)) != 0 || math.Abs(math.Abs(got[0]-1)-1e-5) > 1e-6 {
		t.Errorf("the norm's first weight moved by %g, want 1e-5", got[0]-1)
	}
	if tr.Model.Config.DType != "bfloat16" || tr.Model.Config.Quantization == nil {
		t.Error("saving changed the model's config")
	}
}

// The storage format of the original weights is not part of a run's identity: a run resumes
// both with the config it started with and with the config in its checkpoint.
func TestARunResumesWithTheConfigOfItsCheckpoint(t *testing.T) {
	dir := t.TempDir()
	mustRun(t, publishedRun(t, dir, 1))
	same := publishedRun(t, dir, 2)
	if ok, err := same.Resume(); !ok || err != nil {
		t.Errorf("with its own config: %v, %v", ok, err)
	}
	same.Close()
	again := publishedRun(t, dir, 2)
	again.Model.Config = again.Model.Config.StoredAs(backend.F32)
	if ok, err := again.Resume(); !ok || err != nil {
		t.Errorf("with the checkpoint's config: %v, %v", ok, err)
	}
}

// Differences of notation in a config do not prevent a run from resuming: 10000 equals
// 10000.0, and keys that the model does not use may be added or removed.
func TestARunResumesWithItsConfigInOtherWords(t *testing.T) {
	tr := publishedRun(t, t.TempDir(), 1)
	identity, err := tr.identity()
	if err != nil {
		t.Fatal(err)
	}
	older := bytes.Replace(identity, []byte(`"rope_theta":10000.0`), []byte(`"aux_loss_alpha":0,"rope_theta":10000`), 1)
	if bytes.Equal(older, identity) {
		t.Fatalf("no rope_theta in %s", identity)
	}
	if err := tr.sameRun(state{Identity: older, Factor: 1, BiasRate: defaultBiasRate}); err != nil {
		t.Error(err)
	}
	other := bytes.Replace(identity, []byte(`"rope_theta":10000.0`), []byte(`"rope_theta":10001`), 1)
	err = tr.sameRun(state{Identity: other, Factor: 1, BiasRate: defaultBiasRate})
	if err == nil || !strings.Contains(err.Error(), "config.rope_theta: 10001.0 there, 10000.0 now") {
		t.Errorf("error %v, want one that names rope_theta", err)
	}
}
