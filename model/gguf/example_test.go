package gguf_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/aha-go/aha/model/gguf"
)

// Write a file with one tensor and read it.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "gguf")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "small.gguf")
	if err := write(path); err != nil {
		log.Fatal(err)
	}

	r, err := gguf.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	name, err := gguf.Value[string](r.Metadata, "general.name")
	if err != nil {
		log.Fatal(err)
	}
	t, ok := r.Find("token_embd.weight")
	if !ok {
		log.Fatal("no embedding")
	}
	row := make([]float32, t.Shape[1])
	if err := r.ReadRows(t, 1, row); err != nil { // quantised types such as Q4_0 are dequantised
		log.Fatal(err)
	}
	fmt.Println(name, t.Type, t.Shape, row)
	// Output: small F32 [2 3] [4 5 6]
}

func write(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return gguf.Write(f, gguf.Metadata{{Key: "general.name", Value: "small"}}, []gguf.Tensor{{
		Name: "token_embd.weight", Type: gguf.F32, Shape: []int{2, 3},
		Stream: func(w io.Writer) error {
			return binary.Write(w, binary.LittleEndian, []float32{1, 2, 3, 4, 5, 6})
		},
	}})
}
