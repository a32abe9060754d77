package model_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/mtp"
)

// Load a folder written by transformers for inference in FP8, and continue a prompt. This
// format preserves the bits of DeepSeek-V3's FP8 weights.
func ExampleLoad() {
	b, err := backend.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	m, source, err := model.Load(b, "testdata/golden/deepseek_v3_mtp", model.LoadOptions{
		Options: model.Options{Format: backend.FP8, Packed: true},
		Modules: func(m *model.Model) error { // without this, the MTP layers would be in source.Unclaimed
			_, err := mtp.New(m)
			return err
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Free()
	fmt.Println(m.Config.ModelType, "of", len(m.Blocks), "layers,", len(source.Unclaimed), "tensors left")
	g, err := model.NewGenerator(m, model.GeneratorOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer g.Close()
	request := model.Request{
		Prompt: []int32{3, 1, 4}, MaxTokens: 5, Stop: []int32{}, Sampling: model.Sampling{Greedy: true},
	}
	out, err := g.Generate(context.Background(), []model.Request{request})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(out[0].Tokens), "tokens")
	// Output:
	// deepseek_v3 of 2 layers, 0 tensors left
	// 5 tokens
}

// Save a model in BF16, together with the other tensors and files of the folder that it was
// loaded from, and load it again.
func ExampleSave() {
	b, err := backend.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	m, source, err := model.Load(b, "testdata/golden/deepseek_v3_mtp", model.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Free()
	parent, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(parent)
	dir := filepath.Join(parent, "tuned")
	if err := model.Save(dir, m, model.SaveOptions{DType: checkpoint.BF16, Source: source}); err != nil {
		log.Fatal(err)
	}
	again, saved, err := model.Load(b, dir, model.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer again.Free()
	// The MTP layers were preserved, although the model was loaded without them.
	fmt.Println(saved.Config.DType, saved.Config.NumNextNPredictLayers, "MTP layers")
	// Output:
	// bfloat16 2 MTP layers
}
