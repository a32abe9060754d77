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

// conversion is one run of the command.
type conversion struct {
	options
	ctx   context.Context
	cfg   model.Config
	a, b  *checkpoint.Reader // b is nil without -average
	items []item
	// blockB is the block size (rows, columns) of b's FP8 scales, from its config.
	blockB [2]int
}

// item is a tensor to write, with its scales if it has any.
type item struct {
	name    string
	to      checkpoint.DType
	values  checkpoint.Rows     // values to write; Read is nil if the bytes are copied
	tensors []checkpoint.Tensor // tensors of the output file: the tensor and its scales
}

// convert runs the conversion that o describes.
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

// open opens a model folder or a GGUF file.
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

// mayWrite returns an error if the output folder is not empty, which the input folder never
// is, or if the GGUF file to write exists.
func mayWrite(o options) error {
	_, err := os.Lstat(o.out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if o.gguf {
		return fmt.Errorf("-out %s exists already", o.out)
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

// alike returns an error unless both inputs have tensors of the same names and shapes.
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

// sameModel returns an error unless the configs of both inputs describe the same
// computation. It ignores how tensors are stored, token ids, the context length and keys
// that change no result.
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

// shapes lists the tensors of r without the scales of quantised tensors.
func shapes(r *checkpoint.Reader) []checkpoint.TensorInfo {
	return slices.DeleteFunc(slices.Clone(r.Tensors()), func(t checkpoint.TensorInfo) bool { return r.IsScale(t.Name) })
}

// plan makes the list of tensors to write.
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

// isMTP reports whether a tensor belongs to a module of multi-token prediction, which
// checkpoints store as a layer after the last one.
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
	if err != nil && t.DType.IsFloat() && !(isCopy && len(t.Shape) != 2) { // a copied matrix needs its scales, too
		return it, err
	}
	if isCopy || !t.DType.IsFloat() {
		return it, c.copied(&it)
	}
	if it.to == checkpoint.F8E5M2 || it.to == checkpoint.F8E4M3 && len(t.Shape) != 2 {
		return it, fmt.Errorf("tensor %q %v is %s: means are not written in that dtype; choose a -dtype",
			t.Name, t.Shape, t.DType)
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

// copied sets it to copy the bytes of the tensor and its scales. With -average the tensor
// must be the same in both inputs.
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
			return fmt.Errorf("tensor %q is %s, which cannot be averaged, and differs between %s and %s", it.name, it.to, c.in,
				c.average)
		}
	}
	it.tensors, err = c.a.Verbatim(names)
	return err
}

// mean returns the elementwise mean of two tensors.
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

// stoppable is a writer that fails once ctx is cancelled.
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

// write writes the output folder.
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
		if c.b != nil && cfg.Quantization != nil { // the scales of the means are new, of the default block size
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
	fmt.Printf("wrote %d tensors to %s and compared each with its source\n", len(tensors), c.out)
	return nil
}

// megabytes returns functions that show progress, reported in bytes, in MB, and end it.
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
