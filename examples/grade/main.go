// Command grade judges a model's answers with a reward function of package rl/reward.
//
//	go run ./examples/grade -reward math -in predictions.jsonl -out verdicts.jsonl
//	go run ./examples/grade -reward gsm8k -in - -out - <predictions.jsonl | jq .verdict
//	go run ./examples/grade -reward code -k 1,10 -timeout 30s -in samples.jsonl -out verdicts.jsonl
//
// Each line of -in has a gold answer and one answer to judge, or several in "preds":
//
//	{"id": "a", "gold": "1/2", "pred": "… so it is \\boxed{0.5}."}
//	{"id": "b", "gold": "18", "preds": ["#### 18", "#### 17"]}
//
// The id is a string or a number. The type of gold depends on -reward:
//
//	math          a string, a number, or an array of these, each of which is a correct answer
//	gsm8k         a string or a number: the solution or its final number
//	choice        a string: the letter
//	countdown     {"numbers": [3, 5, 7], "target": 22}
//	tinyzero      as for countdown; a wrong answer gets 0.1, as in TinyZero
//	digits        {"first": 7, "step": 1, "modulus": 10, "count": 4}
//	physics       a string, a number with a unit such as "9.81 m/s^2", or {"want": …, "tolerance": 0.01}
//	code          {"language": "python", "tests": […]}, the JSON of code.Problem
//	language      one Unicode script or several, such as "Latin" or ["Han", "Latin"]; without gold, the
//	              script of "prompt"
//	format, format_lines, format_think, format_tags, repetition   no gold
//
// "truncated": true says that an answer was cut off, which -reward format counts as wrong.
// Other keys and empty lines are ignored.
//
// For each answer one line is written, in the order of -in:
//
//	{"id": "a", "verdict": "correct", "extracted": "0.5"}
//	{"id": "b", "index": 0, "verdict": "correct", "extracted": "18"}
//	{"id": "b", "index": 1, "verdict": "wrong", "extracted": "17", "reason": "gsm8k: 17, want 18"}
//
// The index is the index in "preds". The verdict is correct, wrong, unparseable, timeout,
// error or not_applicable (see reward.Status). extracted is the passage that was compared
// with gold, or null; it is always null for code, language and the formats. reason, if
// present, says why the answer is not correct.
//
// A summary is printed to standard output, or to standard error if the verdicts go to
// standard output. It has the counts and the accuracy, which is the share of correct answers
// among all that are not not_applicable. If there are "preds", it has the means over the
// problems of pass@k (unbiased, see rl.PassAtK) and, for rewards that compare answers, of
// maj@k (see rl.MajAtK). Two answers count as the same vote if each is correct with the
// other as the gold answer, even if they are written differently; answers that cannot be
// parsed do not vote. Each answer is compared with one answer of every group before it, so a
// line with a thousand different answers takes seconds. pass@k and maj@k are over the
// problems with at least k answers. With -json the summary is one JSON object on a line.
//
// A line that cannot be read is reported on standard error, with file and line number, and
// skipped; the exit code is then 3. With -strict it ends the command with exit code 1.
//
// The file -out appears only when it is complete. If the command fails, an existing file is
// not changed; if it is killed, a hidden temporary file is left in the same folder. Lines are
// judged on all cores and not kept, so memory does not depend on their number. A line can
// have up to 16 MiB.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/examples/internal/progress"
	"github.com/aha-go/aha/examples/internal/rules"
	"github.com/aha-go/aha/model/checkpoint"
)

// exitBroken is the exit code if lines could not be read.
const exitBroken = 3

// memoryLimit is the soft memory limit of the Go runtime (debug.SetMemoryLimit).
const memoryLimit = 128 << 20

// options are the flags.
type options struct {
	In, Out, Reward string
	K               string
	Timeout         time.Duration
	Strict          bool
	JSON            bool
	AcceptLess      bool
}

func main() {
	var o options
	flag.StringVar(&o.In, "in", "", "file of JSON lines to judge, or - for standard input")
	flag.StringVar(&o.Out, "out", "", "file of verdicts to write, or - for standard output")
	flag.StringVar(&o.Reward, "reward", "", "reward to judge by: "+strings.Join(rules.Names(), ", "))
	flag.StringVar(&o.K, "k", "1,2,4,8,16,32,64,128,256,512,1024", "values of k for pass@k and maj@k, separated by commas")
	flag.DurationVar(&o.Timeout, "timeout", 10*time.Second, "time limit for judging one answer")
	flag.BoolVar(&o.Strict, "strict", false, "exit at the first line that cannot be read")
	flag.BoolVar(&o.JSON, "json", false, "print the summary as a JSON object")
	flag.BoolVar(&o.AcceptLess, "accept-less", false,
		"run programs of the reward code with less isolation if the kernel refuses namespaces")
	flag.Parse()
	debug.SetMemoryLimit(memoryLimit)
	var s summary
	stopped := "nothing was written"
	if o.Out == "-" {
		stopped = "the verdicts are incomplete"
	}
	lab.Main("grade", stopped, func(ctx context.Context) (err error) {
		if flag.NArg() > 0 {
			return fmt.Errorf("unexpected argument %q", flag.Arg(0))
		}
		s, err = start(ctx, o)
		return err
	})
	if s.Broken > 0 {
		os.Exit(exitBroken)
	}
}

// start judges the input, writes the verdicts and prints the summary.
func start(ctx context.Context, o options) (s summary, err error) {
	switch {
	case o.In == "":
		return s, errors.New("-in is missing: the file to judge, or - for standard input")
	case o.Out == "":
		return s, errors.New("-out is missing: the file to write, or - for standard output")
	case o.Timeout <= 0:
		return s, fmt.Errorf("-timeout %v, want more than 0", o.Timeout)
	}
	r, ok := rules.Find(o.Reward, rules.Options{Timeout: o.Timeout, AcceptLess: o.AcceptLess})
	if !ok {
		return s, fmt.Errorf("-reward %q, want one of %s", o.Reward, strings.Join(rules.Names(), ", "))
	}
	ks, err := parseKs(o.K)
	if err != nil {
		return s, err
	}
	in, name := os.Stdin, "standard input"
	if o.In != "-" {
		if in, err = os.Open(o.In); err != nil {
			return s, fmt.Errorf("-in: %w", err)
		}
		defer in.Close()
		name = o.In
	}
	g := newGrader(r, ks, o)
	if o.Out == "-" {
		if s, err = g.run(ctx, in, name, os.Stdout, func(int64) {}); err == nil {
			err = s.print(os.Stderr, o.JSON)
		}
		return s, err
	}
	if info, err := os.Stat(o.Out); err == nil && !info.Mode().IsRegular() {
		return s, fmt.Errorf("-out %s is not a regular file", o.Out)
	} else if from, failed := in.Stat(); err == nil && failed == nil && os.SameFile(from, info) {
		return s, fmt.Errorf("-out %s is the file of -in", o.Out)
	}
	shown, end := shownFor(in)
	defer end()
	err = checkpoint.WriteAtomic(o.Out, func(w io.Writer) error {
		s, err = g.run(ctx, in, name, w, shown)
		return err
	})
	end()
	if err != nil {
		return summary{}, err
	}
	return s, s.print(os.Stdout, o.JSON)
}

// shownFor returns a function that shows the progress in bytes of the file in. Nothing is
// shown for small files and for inputs without a size, such as a pipe.
func shownFor(in *os.File) (shown func(bytes int64), end func()) {
	info, err := in.Stat()
	const mb = 1e6
	if err != nil || !info.Mode().IsRegular() || info.Size() < mb {
		return func(int64) {}, func() {}
	}
	watch, end := progress.Watch("grading", "MB")
	total := int(info.Size() / mb)
	return func(bytes int64) { watch(min(int(bytes/mb), total), total) }, end
}

// parseKs parses the list of -k and sorts it.
func parseKs(list string) (ks []int, err error) {
	for word := range strings.SplitSeq(list, ",") {
		k, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || k < 1 {
			return nil, fmt.Errorf("-k %q: %q is not a positive number", list, word)
		}
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return slices.Compact(ks), nil
}

// print writes the summary as text or as JSON.
func (s summary) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	_, err := fmt.Fprintln(w, s)
	return err
}
