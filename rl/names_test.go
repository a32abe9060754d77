package rl

import (
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/mtp"
	"github.com/aha-go/aha/rl/rollout"
)

// documentedMetrics returns the names in the tables of the package documentation, with
// alternatives in braces expanded.
func documentedMetrics(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "// # Metrics\n")
	if !ok {
		t.Fatal("doc.go has no section on metrics")
	}
	var names []string
	for line := range strings.Lines(table) {
		row, ok := strings.CutPrefix(line, "//\t")
		name, _, _ := strings.Cut(row, " ")
		if !ok || name == "name" {
			continue
		}
		before, rest, braces := strings.Cut(name, "{")
		if !braces {
			names = append(names, name)
			continue
		}
		alternatives, after, _ := strings.Cut(rest, "}")
		for a := range strings.SplitSeq(alternatives, ",") {
			names = append(names, before+a+after)
		}
	}
	return names
}

// pattern returns a pattern that matches the metrics that a documented name stands for.
func pattern(name string) *regexp.Regexp {
	expr := regexp.QuoteMeta(name)
	for placeholder, of := range map[string]string{
		"<layer>": `\d+`, "<n>": `\d+`, "<fn>": `sevens`, "<source>": `(unknown|other)`,
		"<status>": `(correct|wrong|unparseable|timeout|error|not_applicable)`,
	} {
		expr = strings.ReplaceAll(expr, placeholder, of)
	}
	return regexp.MustCompile("^" + expr + "$")
}

// producedMetrics returns the names of the metrics, without eval_, of runs and evaluations
// that together use every feature.
func producedMetrics(t *testing.T) []string {
	t.Helper()
	var names []string
	take := func(m train.Metrics) {
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var line map[string]any
		if err := json.Unmarshal(text, &line); err != nil {
			t.Fatal(err)
		}
		for name := range line {
			names = append(names, name)
		}
	}
	c := tiny()
	c.NumNextNPredictLayers = 1
	m, err := model.New(openCPU(t), c, 3)
	if err != nil {
		t.Fatal(err)
	}
	d, err := mtp.New(m)
	if err != nil {
		t.Fatal(err)
	}
	g := newRunOf(t, m)
	g.Objective.Beta, g.Objective.DualClip, g.Trainer.BalanceAlpha, g.Trainer.Drafter = 0.01, 3, 0.001, d
	take(mustStep(t, g))
	supervised, err := g.Trainer.Step(context.Background(), []model.Sequence{{IDs: []int32{2, 3, 4, 5}}})
	if err != nil {
		t.Fatal(err)
	}
	take(supervised)

	masked := newRun(t, openCPU(t), model.Options{})
	masked.OffPolicy.MaskThreshold = 1
	take(mustStep(t, masked))

	resampled := newRun(t, openCPU(t), model.Options{})
	resampled.DynamicSampling = 10
	take(mustStep(t, resampled))

	cispo := newRun(t, openCPU(t), model.Options{})
	cispo.Objective.Surrogate = SurrogateCISPO
	take(mustStep(t, cispo))

	broken := newRun(t, openCPU(t), model.Options{})
	broken.Trainer.SkipNonFinite = true
	broken.Loss = func(t Tokens) tensor.Tensor { return tensor.Scale(tensor.Sum(t.LogProb), math.NaN()) }
	take(mustStep(t, broken))

	take(mustStep(t, newRouted(t, openCPU(t), model.Options{}, nil)))
	p := newPreferences(t, newTiny(t, model.Options{}))
	preferred, err := p.Step(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	take(preferred)
	held, err := p.Evaluate(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for name := range held {
		names = append(names, strings.TrimPrefix(name, MetricEval))
	}
	orm, err := NewOutcomeModel(newTiny(t, model.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	ranked, err := (&OutcomeTraining{
		Trainer: teacher(t, orm.Model, 0), Model: orm, Pairs: randomPairs(1, 3),
	}).Step(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	take(ranked)
	ppo := newPPO(t, "own network", model.Options{})
	ppo.Critic.Trainer.BalanceAlpha = 0.001
	take(mustStep(t, ppo))
	overflow := newPPO(t, "own network", model.Options{})
	overflow.Critic.Trainer.SkipNonFinite, overflow.Reward.Funcs[0].Weight = true, 1e30
	take(mustStep(t, overflow))

	prompts, err := g.Data(0)
	if err != nil {
		t.Fatal(err)
	}
	prompts[0].Source = "other"
	e := Evaluation{Sampler: g.Sampler, Reward: g.Reward, N: 2, Extract: func(s rollout.Sample) string { return s.Text }}
	r, err := e.Run(context.Background(), prompts)
	if err != nil {
		t.Fatal(err)
	}
	for name := range r.Metrics() {
		names = append(names, strings.TrimPrefix(name, MetricEval))
	}
	return names
}

func TestEveryMetricIsInTheTableAndTheTableHasNoOther(t *testing.T) {
	documented, produced := documentedMetrics(t), producedMetrics(t)
	for _, name := range produced {
		if !slices.ContainsFunc(documented, func(d string) bool { return pattern(d).MatchString(name) }) {
			t.Errorf("metric %s is not in the table of doc.go", name)
		}
	}
	for _, d := range documented {
		if !slices.ContainsFunc(produced, pattern(d).MatchString) {
			t.Errorf("the table of doc.go has %s, which no run produces", d)
		}
	}
}

// metricConstants returns the values of the constants Metric… in a file.
func metricConstants(t *testing.T, path string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Metric") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
		return true
	})
	return values
}

func TestEveryMetricOfTheTableIsAConstant(t *testing.T) {
	constants := append(metricConstants(t, "names.go"), metricConstants(t, "../model/train/names.go")...)
	constants = slices.DeleteFunc(constants, func(name string) bool { return name == MetricEval })
	var fixed []string
	for _, name := range documentedMetrics(t) {
		if !strings.Contains(name, "<") { // the others are functions
			fixed = append(fixed, name)
		}
	}
	slices.Sort(constants)
	slices.Sort(fixed)
	if !slices.Equal(constants, fixed) {
		t.Errorf("constants\n%q\ntable\n%q", constants, fixed)
	}
}
