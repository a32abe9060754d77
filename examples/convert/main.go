// Command convert converts a model folder or a GGUF file: it changes the dtype, averages two
// models, drops the modules of multi-token prediction, and writes a GGUF file for llama.cpp
// or a folder for transformers.
//
//	go run ./examples/convert -in DeepSeek-R1 -out DeepSeek-R1-bf16 -dtype bf16
//	go run ./examples/convert -in tuned -out tuned-fp8 -dtype fp8 -mtp drop
//	go run ./examples/convert -in seed1 -average seed2 -out soup
//	go run ./examples/convert -in Qwen3-0.6B -out qwen3.gguf -gguf q8_0
//	go run ./examples/convert -in SmolLM2-135M-Instruct.gguf -out SmolLM2 -dtype bf16
//
// It streams tensors from file to file piece by piece, so memory does not grow with the
// size of the model. Before the folder appears under its name, every tensor is read back
// and compared with its source, within the rounding error of the dtype.
//
// A GGUF file gets the tokenizer and the chat template of the folder, but no modules of
// multi-token prediction. A tokenizer that GGUF cannot represent is left out, with a line on
// standard error; llama.cpp then takes only token ids. If the input is a GGUF file, its
// quantised tensors are dequantised, and all tensors are written in F32 unless -dtype is set.
package main

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/gguf"
)

// options are the flags.
type options struct {
	in, out, average string
	dtype            checkpoint.DType // if "", the dtypes of the input
	dropMTP          bool
	shardBytes       int64
	gguf             bool // write a GGUF file
	ggufType         gguf.Type
}

func main() {
	var o options
	var dtype, mtp, kind string
	var shard float64
	flag.StringVar(&o.in, "in", "", "model folder or .gguf file to read")
	flag.StringVar(&o.out, "out", "", "folder to write, which must be empty or not exist; or GGUF file to write")
	flag.StringVar(&o.average, "average", "",
		"model folder or .gguf file of the same shapes; writes the mean of its weights and those of -in")
	flag.StringVar(&dtype, "dtype", "",
		"dtype of the weights: f32, bf16, or fp8, which is E4M3 with a scale for each 128×128 block, as in "+
			"DeepSeek-V3 (default: that of the input, or f32 for a GGUF file)")
	flag.StringVar(&kind, "gguf", "", "write a GGUF file with matrices in f16 or q8_0")
	flag.StringVar(&mtp, "mtp", "keep", "keep or drop the modules of multi-token prediction")
	flag.Float64Var(&shard, "shard", 5, "maximum size of a safetensors file in GB")
	flag.Parse()
	lab.Main("convert", "nothing was written", func(ctx context.Context) error {
		if flag.NArg() > 0 {
			return fmt.Errorf("unexpected argument %q", flag.Arg(0))
		}
		if err := o.set(dtype, mtp, kind, shard); err != nil {
			return err
		}
		return convert(ctx, o)
	})
}

// set checks the flags and sets the options that follow from them.
func (o *options) set(dtype, mtp, kind string, shard float64) error {
	switch dtype {
	case "":
	case "f32":
		o.dtype = checkpoint.F32
	case "bf16":
		o.dtype = checkpoint.BF16
	case "fp8":
		o.dtype = checkpoint.F8E4M3
	case "q8", "q4", "q4_1":
		return fmt.Errorf("-dtype %s: safetensors files have no such dtype; %s is a format in memory, to which "+
			"weights are converted when they are loaded (model.Options.Format). GGUF files store quantised weights, "+
			"see -gguf", dtype, dtype)
	default:
		return fmt.Errorf("-dtype %q, want f32, bf16 or fp8", dtype)
	}
	if o.gguf = kind != ""; o.gguf {
		var ok bool
		if o.ggufType, ok = map[string]gguf.Type{"f16": gguf.F16, "q8_0": gguf.Q8_0}[kind]; !ok {
			return fmt.Errorf("-gguf %q, want f16 or q8_0", kind)
		}
		if dtype != "" {
			return fmt.Errorf("-gguf %s and -dtype %s exclude each other: want one of them", kind, dtype)
		}
	}
	if mtp != "keep" && mtp != "drop" {
		return fmt.Errorf("-mtp %q, want keep or drop", mtp)
	}
	o.dropMTP = mtp == "drop"
	if !(shard > 0 && shard < 1e9) {
		return fmt.Errorf("-shard %g, want a size in GB", shard)
	}
	o.shardBytes = int64(shard * 1e9)
	switch {
	case o.in == "":
		return fmt.Errorf("-in is missing: the model folder or .gguf file to read")
	case o.out == "":
		return fmt.Errorf("-out is missing: the folder or .gguf file to write")
	case !o.gguf && strings.EqualFold(filepath.Ext(o.out), ".gguf"):
		return fmt.Errorf("-out %s: to write a GGUF file, add -gguf f16 or q8_0; to write a folder, choose another name",
			o.out)
	}
	return nil
}
