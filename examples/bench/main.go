// Command bench measures named workloads on the CPU and prints a line of JSON for
// each. Each line compares the result with the machine's limit for that work, which
// follows from peak rates and read bandwidth measured in turn with the workload.
//
//	go run ./examples/bench -workload matmul
//	go run ./examples/bench -workload decode -shapes r1-distill-qwen-1.5b -format q8
//	go run ./examples/bench -list
//
// A line has at least workload, shape, format, threads, value, unit, limit (what
// the machine can do at best, in the same unit) and share (value over limit). value
// is a median. Models have random weights; nothing is downloaded.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/examples/internal/progress"
)

// options are the flags.
type options struct {
	Workload  string
	Shapes    string // separated by commas; if empty, the workload's default shapes
	Formats   string // separated by commas; if empty, the workload's default formats
	Precision string // of activations and caches: "", f32 or bf16
	Threads   int    // 0 means one per processor
	Seconds   float64
	Layers    int // 0 means all layers
	Context   int // 0 means the workload's default
	Batch     int // 0 means the workload's default
}

func main() {
	var o options
	list := flag.Bool("list", false, "print workloads, shapes and formats, and exit")
	flag.StringVar(&o.Workload, "workload", "limits", "workloads to measure, separated by commas, or all; see -list")
	flag.StringVar(&o.Shapes, "shapes", "", "shapes, separated by commas (default: those marked in -list)")
	flag.StringVar(&o.Formats, "format", "",
		"formats of the weights, separated by commas: f32, bf16, fp8, q8, q4, q4_1 (default: the workload's)")
	flag.StringVar(&o.Precision, "precision", "f32",
		"precision of activations and caches: f32 or bf16 (limits and mla ignore it)")
	flag.IntVar(&o.Threads, "threads", 0, "threads (default: the number of processors)")
	flag.Float64Var(&o.Seconds, "seconds", 2, "seconds that each measurement takes at least")
	flag.IntVar(&o.Layers, "layers", 0, "use only this many layers of a model (default: all)")
	flag.IntVar(&o.Context, "context", 0,
		"tokens: of a prompt (decode, prefill: default 128), of a sequence (train: default 128), "+
			"of a completion (grpo: default 64), of a batch (moe: default 2048), of the longer cache (mla: default 8192)")
	flag.IntVar(&o.Batch, "batch", 0,
		"sequences decoded or prefilled together (default 1), sequences of a training step (train: default 16), "+
			"completions for each prompt (grpo: default 8)")
	flag.Parse()

	lab.Main("bench", "the lines printed so far are complete", func(ctx context.Context) error {
		if flag.NArg() > 0 {
			return fmt.Errorf("unexpected argument %q", flag.Arg(0))
		}
		if *list {
			fmt.Print(listing())
			return nil
		}
		return start(ctx, o)
	})
}

func start(ctx context.Context, o options) error {
	plan, err := o.plan()
	if err != nil {
		return err
	}
	if o.Threads > 0 {
		runtime.GOMAXPROCS(o.Threads)
	}
	bar := progress.New(len(plan), "measuring", "measurements")
	defer bar.Close()
	return run(ctx, o, plan, bar, func(t task) { bar.Describe(t.String()) }, func() { bar.Add(1) })
}

// run carries out the tasks of the plan and writes their lines of JSON to out. It
// calls before and after around each task.
func run(ctx context.Context, o options, plan []task, out io.Writer, before func(task), after func()) error {
	precision, err := lab.Precision(o.Precision)
	if err != nil {
		return err
	}
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	lines := json.NewEncoder(out)
	x := &bench{
		options: o, precision: precision, b: b, meter: cpu.NewMeter(0), threads: runtime.GOMAXPROCS(0),
		emit: func(l line) error { return lines.Encode(l) },
	}
	defer x.free()
	for _, t := range plan {
		before(t)
		if err := t.workload.measure(ctx, x, t); err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		after()
	}
	return nil
}

// task is one measurement: a workload on a shape in a format.
type task struct {
	workload *workload
	shape    string
	format   format
}

func (t task) String() string { return fmt.Sprintf("%s %s %s", t.workload.name, t.shape, t.format) }

// line returns a line with the fields that are known before the measurement; memory
// is what the task's model needs, if it has a model.
func (t task) line(b *bench, memory backend.Memory) line {
	l := line{Workload: t.workload.name, Shape: t.shape, Format: t.format.String(), Threads: b.threads,
		Path: b.b.Path(), Memory: memory.Peak}
	if b.precision == backend.BF16 {
		l.Precision = b.Precision
	}
	return l
}

// plan checks the options and returns the tasks in the order in which they run.
func (o options) plan() ([]task, error) {
	switch {
	case !(o.Seconds > 0 && o.Seconds < 1e6):
		return nil, fmt.Errorf("-seconds %g, want more than 0", o.Seconds)
	case o.Threads < 0 || o.Layers < 0 || o.Context < 0 || o.Batch < 0:
		return nil, fmt.Errorf("-threads %d -layers %d -context %d -batch %d: want no negative numbers", o.Threads,
			o.Layers, o.Context, o.Batch)
	}
	chosen, err := o.workloads()
	if err != nil {
		return nil, err
	}
	var plan []task
	for _, w := range chosen {
		shapes := w.defaults
		if o.Shapes != "" {
			shapes = split(o.Shapes)
		}
		formats, err := w.formatsOf(o.Formats, len(chosen) == 1)
		if err != nil {
			return nil, err
		}
		for _, shape := range shapes {
			if err := w.check(o, shape); err != nil {
				return nil, fmt.Errorf("-workload %s -shapes %s: %w", w.name, shape, err)
			}
			for _, f := range formats {
				plan = append(plan, task{w, shape, f})
			}
		}
	}
	if len(plan) == 0 {
		return nil, fmt.Errorf("-workload %s -format %s: nothing to measure", o.Workload, o.Formats)
	}
	return together(plan), nil
}

// together reorders the plan so that tasks that generate with the same model follow
// each other and the model is built once.
func together(plan []task) []task {
	var ordered []task
	for _, t := range plan {
		for _, u := range plan {
			same := u == t || t.workload.generates && u.workload.generates && u.shape == t.shape && u.format == t.format
			if same && !slices.Contains(ordered, u) {
				ordered = append(ordered, u)
			}
		}
	}
	return ordered
}

func (o options) workloads() ([]*workload, error) {
	var chosen []*workload
	for _, name := range split(o.Workload) {
		i := slices.IndexFunc(workloads(), func(w *workload) bool { return w.name == name })
		switch {
		case name == "all":
			chosen = append(chosen, workloads()...)
		case i < 0:
			return nil, fmt.Errorf("-workload %q, want all or some of %s", name, strings.Join(names(), ", "))
		default:
			chosen = append(chosen, workloads()[i])
		}
	}
	return chosen, nil
}

// formatsOf returns the formats that the flag -format names. It leaves out formats
// that w lacks; if w is the only workload, they are an error.
func (w *workload) formatsOf(flag string, alone bool) ([]format, error) {
	if flag == "" {
		return w.usual, nil
	}
	var formats []format
	for _, name := range split(flag) {
		named, err := lab.Format(name)
		if err != nil {
			return nil, err
		}
		f := format(named)
		switch {
		case slices.Contains(w.formats, f):
			formats = append(formats, f)
		case alone:
			return nil, fmt.Errorf("-workload %s -format %s: it has %v", w.name, name, w.formats)
		}
	}
	return formats, nil
}

func split(list string) []string {
	parts := strings.Split(list, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// seconds is o.Seconds as a duration.
func (o options) seconds() time.Duration { return time.Duration(o.Seconds * float64(time.Second)) }

// format is a backend.Format whose String is its name on the command line: f32 for
// Native, the format's own name for others.
type format backend.Format

func (f format) String() string { return lab.FormatName(backend.Format(f)) }
