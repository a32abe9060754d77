package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
)

// writeGGUF writes the tensors, or their means, to a GGUF file.
func (c *conversion) writeGGUF() error {
	var list []checkpoint.Rows
	for _, t := range shapes(c.a) {
		if strings.HasSuffix(t.Name, ".rotary_emb.inv_freq") { // computed from the config
			continue
		}
		r, err := c.a.Rows(t.Name, c.cfg.Quantization.Block())
		if err != nil {
			return err
		}
		if c.b != nil {
			other, err := c.b.Rows(t.Name, c.blockB)
			if err != nil {
				return err
			}
			r = mean(r, other)
		}
		read := r.Read
		r.Name = c.a.ParamName(t.Name)
		r.Read = func(first int, dst []float32) error {
			return errors.Join(context.Cause(c.ctx), read(first, dst))
		}
		list = append(list, r)
	}
	metadata, err := lab.TokenizerMetadata(c.in, c.cfg.VocabSize)
	if err != nil {
		return err
	}
	written, end := megabytes("converting")
	defer end()
	if err := model.SaveGGUF(c.out, c.cfg, list,
		model.GGUFOptions{Type: c.ggufType, Metadata: metadata, Progress: written}); err != nil {
		return err
	}
	fmt.Printf("read %d tensors and wrote %s\n", len(list), c.out)
	return nil
}
