// Command chars trains a tiny model of DeepSeek-V3's architecture on a text file, character by character. It prints
// the training loss, the loss on a held-out part of the text, and a sample of what the model writes.
//
//	go run ./examples/chars -text shakespeare.txt
//
// Ctrl-C saves a checkpoint and stops the run; the same command continues it, and the result is the same bit for bit as
// without the stop. Another text or number of steps needs another -out. The finished model is in out/chars/model and
// completes prompts:
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
	flag.StringVar(&o.text, "text", "", "text file to train on, in UTF-8; its last tenth is held out")
	flag.StringVar(&o.out, "out", "out/chars", "folder for checkpoints, metrics.jsonl and the finished model")
	flag.IntVar(&o.steps, "steps", 350, "number of training steps")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the initial weights, the order of the windows and the sample")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("unexpected argument %q", flag.Arg(0))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	_, err := run(ctx, os.Stdout, o)
	if errors.Is(err, context.Canceled) {
		log.Fatalf("%v; the training so far is saved, and the same command continues it", err)
	} else if err != nil {
		log.Fatal(err)
	}
}

type options struct {
	text, out string
	steps     int
	seed      uint64
}

// run trains, or continues to train, the model and saves it. It returns the loss on the held-out text in nats per
// character.
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
	fmt.Fprintf(w, "%s: %d windows of %d characters to train on, %d held out; %d different characters; %d parameters\n",
		o.text, len(t.train), window, len(t.held), t.vocabulary.Len(), m.Params.Len())

	// Each step trains on 8 windows of the text. If Dir has a checkpoint, the run continues from it.
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
	fmt.Fprintf(w, "held-out loss: %.3f nats per character\n", loss)
	if err := write(ctx, w, m, t, o.seed); err != nil {
		return 0, err
	}
	return loss, model.Save(filepath.Join(o.out, "model"), m, model.SaveOptions{Files: t.vocabulary.Files("")})
}
