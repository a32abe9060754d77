package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/examples/internal/progress"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/gguf"
)

// conversion is the work of one call.
type conversion struct {
	options
	ctx   context.Context
	cfg   model.Config
	a, b  *checkpoint.Reader // b is nil without -average
	items []item
	// blockB is the rows and columns of a block of b's FP8, as its config says.
	blockB [2]int
}

// item is a tensor to be written, with its scales if it has any.
type item struct {
	name    string
	to      checkpoint.DType
	values  checkpoint.Rows     // of floats; its Read is nil for what is copied
	tensors []checkpoint.Tensor // as written
}

// convert carries out the options.
func convert(ctx context.Context, o options) error {
	if err := mayWrite(o); err != nil {
		return err
	}
	c := &conversion{options: o, ctx: ctx}
	var err error
	if c.a, c.cfg, err = open(o.in); err != nil {
		return err
	}
	defer c.a.Close()
	for _, line := range lab.UnknownKeys(c.cfg) {
		fmt.Fprintln(os.Stderr, o.in+": "+line)
	}
	if gguf.IsGGUF(o.in) {
		c.dtype = cmp.Or(c.dtype, checkpoint.F32)
	}
	if o.average != "" {
		var other model.Config
		if c.b, other, err = open(o.average); err != nil {
			return err
		}
		defer c.b.Close()
		if err := errors.Join(c.alike(), c.sameModel(other)); err != nil {
			return err
		}
	}
	if o.gguf {
		return c.writeGGUF()
	}
	if err := c.plan(); err != nil {
		return err
	}
	return c.write()
}

// open opens a model's folder or its GGUF file.
func open(path string) (*checkpoint.Reader, model.Config, error) {
	if gguf.IsGGUF(path) {
		r, _, cfg, err := model.OpenGGUF(path)
		return r, cfg, err
	}
	cfg, err := model.ReadConfig(filepath.Join(path, "config.json"))
	if err != nil {
		return nil, cfg, err
	}
	r, err := checkpoint.Open(path)
	return r, cfg, err
}

// mayWrite refuses an output folder that holds anything, the input among others, and a
// GGUF file that is there.
func mayWrite(o options) error {
	_, err := os.Lstat(o.out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if o.gguf {
		return fmt.Errorf("-out %s is there already", o.out)
	}
	entries, err := os.ReadDir(o.out)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("-out %s is not empty: it has %s", o.out, entries[0].Name())
	}
	return nil
}

// alike demands the same tensors of both inputs.
func (c *conversion) alike() error {
	a, b := shapes(c.a), shapes(c.b)
	for i := range min(len(a), len(b)) {
		switch x, y := a[i], b[i]; {
		case x.Name < y.Name:
			return fmt.Errorf("tensor %q of %s is not in %s", x.Name, c.in, c.average)
		case x.Name > y.Name:
			return fmt.Errorf("tensor %q of %s is not in %s", y.Name, c.average, c.in)
		case !slices.Equal(x.Shape, y.Shape):
			return fmt.Errorf("tensor %q is %v in %s and %v in %s", x.Name, x.Shape, c.in, y.Shape, c.average)
		}
	}
	switch n := min(len(a), len(b)); {
	case len(a) > n:
		return fmt.Errorf("tensor %q of %s is not in %s", a[n].Name, c.in, c.average)
	case len(b) > n:
		return fmt.Errorf("tensor %q of %s is not in %s", b[n].Name, c.average, c.in)
	}
	return nil
}

// sameModel demands that the configs of both inputs say the same but for how tensors
// are stored, token ids, the length of the context and what changes no result.
func (c *conversion) sameModel(other model.Config) error {
	c.blockB = other.Quantization.Block()
	var texts [2]map[string]json.RawMessage
	for i, cfg := range []model.Config{c.cfg, other} {
		cfg.Quantization, cfg.DType, cfg.Extra = nil, "", nil
		cfg.BOSTokenID, cfg.EOSTokenID, cfg.InitializerRange, cfg.MaxPositionEmbeddings = nil, nil, 1, 1
		text, err := json.Marshal(cfg)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &texts[i]); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(texts[0])) {
		if a, b := texts[0][key], texts[1][key]; !bytes.Equal(a, b) {
			return fmt.Errorf("config.json: %s is %s in %s and %s in %s", key, a, c.in, cmp.Or(string(b), "missing"),
				c.average)
		}
	}
	for key, b := range texts[1] {
		if texts[0][key] == nil {
			return fmt.Errorf("config.json: %s is missing in %s and %s in %s", key, c.in, b, c.average)
		}
	}
	return nil
}

// shapes lists the tensors that are no scales of others.
func shapes(r *checkpoint.Reader) []checkpoint.TensorInfo {
	return slices.DeleteFunc(slices.Clone(r.Tensors()), func(t checkpoint.TensorInfo) bool { return r.IsScale(t.Name) })
}

// plan says what becomes of each tensor.
func (c *conversion) plan() error {
	dropped := false
	for _, t := range shapes(c.a) {
		if c.dropMTP && c.isMTP(t.Name) {
			dropped = true
			continue
		}
		it, err := c.item(t)
		if err != nil {
			return err
		}
		for i, w := range it.tensors {
			it.tensors[i].Stream = func(to io.Writer) error { return w.Stream(stoppable{c.ctx, to}) }
		}
		c.items = append(c.items, it)
	}
	if c.dropMTP && !dropped {
		return fmt.Errorf("-mtp drop: %s has no module of multi-token prediction", c.in)
	}
	return nil
}

// isMTP reports whether a tensor is in a layer after the last.
func (c *conversion) isMTP(name string) bool {
	name = c.a.ParamName(name)
	for k := range c.cfg.NumNextNPredictLayers {
		if strings.HasPrefix(name, fmt.Sprintf("model.layers.%d.", c.cfg.NumHiddenLayers+k)) {
			return true
		}
	}
	return false
}

func (c *conversion) item(t checkpoint.TensorInfo) (item, error) {
	it := item{name: t.Name, to: t.DType}
	if c.dtype != "" && t.DType.IsFloat() {
		it.to = model.StoredDType(c.dtype, checkpoint.KindOf(t.Name, len(t.Shape)), len(t.Shape))
	}
	isCopy := c.b == nil && it.to == t.DType
	values, err := c.a.Rows(t.Name, c.cfg.Quantization.Block())
	if err != nil && t.DType.IsFloat() && !(isCopy && len(t.Shape) != 2) { // scales of copied matrices count too
		return it, err
	}
	if isCopy || !t.DType.IsFloat() {
		return it, c.copied(&it)
	}
	if it.to == checkpoint.F8E5M2 || it.to == checkpoint.F8E4M3 && len(t.Shape) != 2 {
		return it, fmt.Errorf("tensor %q %v is %s, as which a mean is not written: choose a -dtype", t.Name, t.Shape, t.DType)
	}
	it.values = values
	if c.b != nil {
		other, err := c.b.Rows(t.Name, c.blockB)
		if err != nil {
			return it, err
		}
		it.values = mean(it.values, other)
	}
	it.tensors = it.values.As(it.to)
	return it, nil
}

// copied makes it a copy, scales included. Two inputs must agree on it.
func (c *conversion) copied(it *item) (err error) {
	names := []string{it.name}
	if scale := it.name + "_scale_inv"; c.a.IsScale(scale) {
		if _, ok := c.a.Lookup(scale); ok {
			names = append(names, scale)
		}
	}
	if c.b != nil {
		x, err := c.a.Read(it.name)
		if err != nil {
			return err
		}
		y, err := c.b.Read(it.name)
		if err != nil {
			return err
		}
		if !bytes.Equal(x, y) {
			return fmt.Errorf("tensor %q is %s, which has no mean, and differs between %s and %s", it.name, it.to, c.in,
				c.average)
		}
	}
	it.tensors, err = c.a.Verbatim(names)
	return err
}

// mean is the tensor of the means of two.
func mean(a, b checkpoint.Rows) checkpoint.Rows {
	var y []float32
	return checkpoint.Rows{Name: a.Name, Kind: a.Kind, Shape: a.Shape, Read: func(first int, dst []float32) error {
		y = slices.Grow(y[:0], len(dst))[:len(dst)]
		if err := errors.Join(a.Read(first, dst), b.Read(first, y)); err != nil {
			return err
		}
		for i := range dst {
			dst[i] = dst[i]/2 + y[i]/2
		}
		return nil
	}}
}

// stoppable ends writing when a signal came.
type stoppable struct {
	ctx context.Context
	w   io.Writer
}

func (s stoppable) Write(p []byte) (int, error) {
	if err := context.Cause(s.ctx); err != nil {
		return 0, err
	}
	return s.w.Write(p)
}

// write writes the folder.
func (c *conversion) write() error {
	var files map[string]func(w io.Writer) error
	var err error
	if gguf.IsGGUF(c.in) {
		files, err = lab.TokenizerFiles(c.in)
	} else {
		files, err = checkpoint.CompanionFiles(c.in, false)
	}
	if err != nil {
		return err
	}
	cfg := c.cfg
	switch c.dtype {
	case "":
		if c.b != nil && cfg.Quantization != nil { // means have scales of their own
			cfg.Quantization = cfg.StoredAs(backend.E4M3).Quantization
		}
	case checkpoint.F32:
		cfg = cfg.StoredAs(backend.F32)
	case checkpoint.BF16:
		cfg = cfg.StoredAs(backend.BF16)
	case checkpoint.F8E4M3:
		cfg = cfg.StoredAs(backend.E4M3)
	}
	if c.dropMTP {
		cfg.NumNextNPredictLayers = 0
	}
	if files == nil {
		files = map[string]func(w io.Writer) error{}
	}
	files["config.json"] = func(w io.Writer) error { return model.WriteConfig(w, cfg) }
	var tensors []checkpoint.Tensor
	for _, it := range c.items {
		tensors = append(tensors, it.tensors...)
	}
	converted, end := megabytes("converting")
	defer end()
	if err := checkpoint.WriteFolder(c.out, checkpoint.Folder{
		Tensors: tensors, ShardBytes: c.shardBytes, Files: files, Check: c.verify, Progress: converted,
	}); err != nil {
		return err
	}
	fmt.Printf("%d tensors in %s, each compared with its source\n", len(tensors), c.out)
	return nil
}

// megabytes shows progress in bytes.
func megabytes(what string) (report func(done, total int64), end func()) {
	watch, end := progress.Watch(what, "MB")
	last := -1
	return func(done, total int64) {
		const mb = 1_000_000
		if now := int((done + mb - 1) / mb); now > last {
			last = now
			watch(now, max(1, int((total+mb-1)/mb)))
		}
	}, end
}
