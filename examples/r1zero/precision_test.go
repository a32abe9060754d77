package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// A run in BF16 has the same bits for every GOMAXPROCS and after kills. They differ from those
// in F32, and a run is not resumed in the other precision.
func TestARunInBF16IsAsExactAsInF32(t *testing.T) {
	_, f32 := reference(t)
	out := t.TempDir()
	c := command(t, "-json", "-precision", "bf16", "-out", out)
	c.Env = append(c.Env, "GOMAXPROCS=1")
	_, want := mustFinish(t, c)
	if want["logp_diff_max"] != 0.0 {
		t.Errorf("logp_diff_max is %v", want["logp_diff_max"])
	}
	if want["weights_sha256"] == f32["weights_sha256"] {
		t.Error("the weights are those of F32")
	}
	o := finish(t, command(t, "-out", out, "-resume"))
	if o.code != 1 || !strings.Contains(o.stderr, "precision: \"bf16\" there") {
		t.Errorf("resumed in F32: exit code %d, %s", o.code, o.stderr)
	}

	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	again := t.TempDir()
	args := []string{"-precision", "bf16", "-out", again}
	what := fmt.Sprintf("seed %d, killed", seed)
	for _, target := range []string{inBase, inUpdate, inCheckpoint} {
		delay := time.Duration(random.IntN(50)) * time.Millisecond
		what += fmt.Sprintf(", %v after the beginning of %s: in %q", delay, target, killed(t, command(t, args...), again,
			target, 1, delay))
		args = []string{"-precision", "bf16", "-out", again, "-resume"}
	}
	_, got := must(t, again, "-precision", "bf16", "-resume")
	if got["weights_sha256"] != want["weights_sha256"] || got["logp_diff_max"] != 0.0 {
		t.Errorf("%s: weights %v, undisturbed %v; logp_diff_max %v", what, got["weights_sha256"], want["weights_sha256"],
			got["logp_diff_max"])
	}
	t.Log(what)
}
