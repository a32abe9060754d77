// Command chars trains a tiny model of DeepSeek-V3's architecture on a text file of one's own, character by character,
// and prints its loss, its loss on a part of the text that it never saw, and a sample of what it writes.
//
//	go run ./examples/chars -text shakespeare.txt
//
// Ctrl-C saves and stops it; the same command continues, and ends with the same bits. Another text or number of steps
// needs another -out. The finished model is in out/chars/model, and writes on from a prompt:
//
//	go run ./examples/generate -model out/chars/model -raw -temperature 0.8 -prompt "ROMEO:"
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
)

func main() {
	o := options{}
	flag.StringVar(&o.text, "text", "", "the file to learn, in UTF-8; its last tenth is held out")
	flag.StringVar(&o.out, "out", "out/chars", "the folder for checkpoints, metrics.jsonl and the finished model")
	flag.IntVar(&o.steps, "steps", 350, "of training")
	flag.Uint64Var(&o.seed, "seed", 1, "of weights, order and sample")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("unexpected argument %q", flag.Arg(0))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	_, err := run(ctx, os.Stdout, o)
	if errors.Is(err, context.Canceled) {
		log.Fatalf("%v; what was trained is saved, and the same command continues", err)
	} else if err != nil {
		log.Fatal(err)
	}
}

type options struct {
	text, out string
	steps     int
	seed      uint64
}

// run returns the loss on the held-out text, in nats a character.
func run(ctx context.Context, w io.Writer, o options) (float64, error) {
	if o.steps < 1 {
		return 0, fmt.Errorf("-steps %d, want a positive number", o.steps)
	}
	t, err := readText(o.text)
	if err != nil {
		return 0, err
	}
	b, err := backend.Open("cpu")
	if err != nil {
		return 0, err
	}
	defer b.Close()
	m, err := model.New(b, config(t.vocabulary.Len()), o.seed)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(w, "%s: %d windows of %d characters to learn, %d held out; %d different characters; %d parameters\n",
		o.text, len(t.train), window, len(t.held), t.vocabulary.Len(), m.Params.Len())

	// Each step learns 8 windows of the text. A checkpoint that is in Dir is continued.
	trainer := &train.Trainer{Model: m, Optimizer: train.Muon{LR: 5e-3}, Steps: o.steps,
		Schedule: train.WarmUp(20, train.Linear(o.steps/2, o.steps, 0.05)), Dir: o.out, SaveEvery: 100, KeepLast: 2,
		Seed: o.seed, Settings: settings{o.steps, t.sha256}}
	defer trainer.Close()
	trainer.OnStep = func(x train.Metrics) {
		if x.Step%max(o.steps/20, 1) == 0 {
			fmt.Fprintf(w, "step %d: loss %.3f\n", x.Step, x.Values[train.MetricLoss])
		}
	}
	if err := trainer.Run(ctx, &train.Epochs{Sequences: t.train, Rows: batch, Seed: o.seed}); err != nil {
		return 0, err
	}
	loss, err := heldOut(ctx, m, t.held)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(w, "held-out loss: %.3f nats a character\n", loss)
	if err := write(ctx, w, m, t, o.seed); err != nil {
		return 0, err
	}
	return loss, model.Save(filepath.Join(o.out, "model"), m, model.SaveOptions{Files: t.vocabulary.Files("")})
}
