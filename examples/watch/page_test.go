package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
)

// row returns the line of metrics.jsonl for a GRPO step.
func row(t testing.TB, step int, value float64) string {
	t.Helper()
	text, err := json.Marshal(train.Metrics{Step: step, Values: map[string]float64{
		rl.MetricReward: value, rl.MetricMeanLength: float64(40 + step), rl.MetricEntropy: 1 / float64(step),
		rl.MetricRewardZeroStd: 0.25, train.MetricLoss: -0.01, train.MetricMaxVio(1, 0): 1,
		reward.MetricStatus("sums", reward.Correct): 6, reward.MetricStatus("sums", reward.Wrong): 2,
	}, Loads: map[string][]int{train.MetricLoad(1, 0): {8, 4, 4, 0}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

func rows(t testing.TB, n int, scale float64) string {
	t.Helper()
	var all strings.Builder
	for step := 1; step <= n; step++ {
		all.WriteString(row(t, step, scale*float64(step)))
	}
	return all.String()
}

// line returns a JavaScript expression for the curve of a run.
func line(metric, run string) string {
	return fmt.Sprintf(`document.querySelector('#rl figure[data-metric="%s"] path.line[data-run="%s"]')`, metric, run)
}

const samples = `{"version":1,"step":3,"groups":[{"prompt":"2 3:5","samples":[` +
	`{"text":"<think>2+3=5</think>\n<img src=http://elsewhere.invalid/x onerror=\"window.hurt=1\">","tokens":9,` +
	`"rewards":{"sums":{"value":1,"status":"correct"}},"reward":{"value":1.1,"status":"correct"},"advantage":0.7071,` +
	`"in_loss":true},` +
	`{"text":"6","tokens":8,"truncated":true,"rewards":{"sums":{"value":0,"status":"wrong","err":"6 is not 5"}},` +
	`"reward":{"value":0,"status":"wrong"},"advantage":-0.7071,"in_loss":true}]}]}` + "\n"

func TestPageInChromium(t *testing.T) {
	b := openChromium(t)
	dir := t.TempDir()
	one, two, later := filepath.Join(dir, "one"), filepath.Join(dir, "two"), filepath.Join(dir, "later")
	metrics := filepath.Join(one, "grpo", "metrics.jsonl")
	write(t, metrics, rows(t, 3, 0.1))
	write(t, filepath.Join(two, "metrics.jsonl"), rows(t, 5, 0.15))
	s := begin(t, one, two, later)
	b.visit(s.URL + "/")

	// Both runs have curves in the same chart.
	for run, points := range map[string]string{"0/grpo": "3", "1": "5"} {
		b.wait("curve of "+run, line(rl.MetricReward, run)+".dataset.points", points)
	}
	const values = `[...document.querySelectorAll('#rl figure[data-metric="reward"] .last span')].map(e => e.textContent)`
	b.wait("values", values, []string{"0.3", "0.75"})
	b.wait("colours", `new Set([...document.querySelectorAll('#rl figure[data-metric="reward"] path.line')].map(e => `+
		`e.getAttribute("stroke"))).size`, 2)
	for metric, title := range map[string]string{"accuracy/sums": "Accuracy: sums", rl.MetricMeanLength: "Length",
		rl.MetricEntropy: "Entropy", rl.MetricRewardZeroStd: "Dead groups", train.MetricLoss: "Loss",
		"maxvio": "MaxVio of the experts"} {
		b.wait("chart of "+metric, fmt.Sprintf(
			`document.querySelector('#rl figure[data-metric="%s"] svg').getAttribute("aria-label")`, metric), title)
	}

	// The curve of a running run grows without a reload of the page, also after an incomplete line.
	b.do(`window.loadedOnce = true; document.querySelector('#runs li[data-run="0/grpo"] button').click()`)
	fourth, fifth := row(t, 4, 0.5), row(t, 5, 0.9)
	extend(t, metrics, fourth+fifth[:20])
	b.wait("grown curve", line(rl.MetricReward, "0/grpo")+".dataset.points", "4")
	b.wait("drawn points", line(rl.MetricReward, "0/grpo")+`.getAttribute("d").match(/[ML]/g).length`, 4)
	b.wait("values", values, []string{"0.5", "0.75"})
	extend(t, metrics, fifth[20:])
	b.wait("curve with the rest", line(rl.MetricReward, "0/grpo")+".dataset.points", "5")
	b.wait("values", values, []string{"0.9", "0.75"})

	// Completions, alarms and the preflight check appear once the run has their files.
	b.wait("no completions", `document.querySelectorAll("#groups tr").length`, 0)
	write(t, filepath.Join(one, "grpo", "samples.jsonl"), samples)
	write(t, filepath.Join(one, "grpo", "alarms.jsonl"), `{"version":1,"step":3,"alarms":["the entropy collapsed"]}`+"\n")
	write(t, filepath.Join(one, "grpo", "preflight.txt"), "prompt: 3 tokens")
	b.wait("rewards", `[...document.querySelectorAll("#groups td.reward")].map(e => e.textContent)`, []string{"1.1", "0"})
	b.wait("advantages", `[...document.querySelectorAll("#groups td.advantage")].map(e => e.textContent)`,
		[]string{"+0.7071", "-0.7071"})
	b.wait("problem", `document.querySelector("#groups h3 code").textContent`, "2 3:5")
	b.wait("completion", `document.querySelector("#groups td.text div").textContent`,
		"<think>2+3=5</think>\n<img src=http://elsewhere.invalid/x onerror=\"window.hurt=1\">")
	b.wait("completions as text", `[document.querySelectorAll("img").length, window.hurt === undefined]`, []any{0, true})
	b.wait("step", `document.querySelector("#shown").textContent`, "3")
	b.wait("alarms", `document.querySelector("#alarms li").textContent.trim()`,
		filepath.Join(one, "grpo")+", step 3: the entropy collapsed")
	b.wait("preflight", `document.querySelector("#preflight").textContent`, "prompt: 3 tokens")

	// The experts' loads are 2, 1, 1 and 0 times the uniform load, on the fixed scale.
	b.wait("expert load", `(() => { const c = document.querySelector('#experts figure[data-layer="1"] canvas');`+
		`return [0, 1, 3].map(e => [...c.getContext("2d").getImageData(0, e, 1, 1).data].slice(0, 3)) })()`,
		[][]int{{192, 50, 38}, {244, 244, 244}, {33, 102, 172}})

	// The reader can choose an earlier step, and it stays chosen.
	extend(t, filepath.Join(one, "grpo", "samples.jsonl"), strings.Replace(samples, `"step":3`, `"step":5`, 1))
	b.wait("newest step", `document.querySelector("#shown").textContent`, "5")
	b.do(`const e = document.querySelector("#step"); e.value = 0; e.dispatchEvent(new Event("input"))`)
	b.wait("chosen step", `[document.querySelector("#shown").textContent, document.querySelector("#newest").checked]`,
		[]any{"3", false})

	// The reader can hide a run. A run whose folder is created later appears without a reload.
	b.do(`document.querySelector('#runs li[data-run="1"] input').click()`)
	b.wait("one run", `document.querySelectorAll('#rl figure[data-metric="reward"] path.line').length`, 1)
	write(t, filepath.Join(later, "metrics.jsonl"), rows(t, 2, 0.3))
	b.wait("later run", line(rl.MetricReward, "2")+".dataset.points", "2")

	// A resumed run truncates its files, and the curve shrinks. A removed run disappears.
	write(t, metrics, rows(t, 2, 0.1))
	b.wait("resumed run", line(rl.MetricReward, "0/grpo")+".dataset.points", "2")
	if err := os.RemoveAll(one); err != nil {
		t.Fatal(err)
	}
	b.wait("removed run", `[...document.querySelectorAll("#runs li")].map(e => e.dataset.run)`, []string{"1", "2"})
	b.wait("removed curve", line(rl.MetricReward, "0/grpo"), nil)
	b.wait("outside", `fetch("/api/lines?file=metrics.jsonl&run=1/../two").then(r => r.status)`, 403)
	b.wait("the same page", "window.loadedOnce", true)

	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.requests {
		if u, err := url.Parse(r); err != nil || "http://"+u.Host != s.URL {
			t.Errorf("request to %s", r)
		}
	}
	if !slices.Contains(b.requests, s.URL+"/app.js") {
		t.Errorf("requests %q lack the script's", b.requests)
	}
	for _, f := range b.faults {
		if !strings.Contains(f, "403") { // the request for a path outside, above
			t.Errorf("fault on the page: %s", f)
		}
	}
}
