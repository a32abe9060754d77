package model

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/gguf"
)

// OpenGGUF opens a GGUF file as if it were a Hugging Face checkpoint, with the names, the
// row order and a config in that format. Tensors of F32, F16 and BF16 are returned as
// stored. Others, and those whose rows must be reordered, are converted to F32 when they
// are read; for types with a lossless backend format, the quantised codes can be read too.
// Tensors without a Hugging Face name keep the name they have in the file.
func OpenGGUF(path string) (*checkpoint.Reader, gguf.Metadata, Config, error) {
	r, err := gguf.Open(path)
	if err != nil {
		return nil, nil, Config{}, err
	}
	c, err := ggufConfig(r)
	if err == nil {
		f := ggufFile{Reader: r, cfg: c}
		var list []checkpoint.Foreign
		if list, err = f.tensors(); err == nil {
			shown, err := checkpoint.NewReader(path, list, r)
			if err == nil {
				return shown, r.Metadata, c, nil
			}
			return nil, nil, c, errors.Join(err, r.Close())
		}
	}
	return nil, nil, c, errors.Join(fmt.Errorf("model: %s: %w", path, err), r.Close())
}

// ggufFile presents the tensors of a GGUF file under their Hugging Face names.
type ggufFile struct {
	*gguf.Reader
	cfg Config
}

func (f *ggufFile) tensors() (list []checkpoint.Foreign, err error) {
	for _, t := range f.Tensors {
		name, known := fromGGUFName(t.Name)
		before, after, isStack := strings.Cut(name, "*")
		switch {
		case t.Name == ropeFactors && f.cfg.ModelType == TypeLlama: // the config has these factors
		case strings.HasSuffix(t.Name, ".attn_k_b.weight"):
			kv, err := f.joinedKV(t)
			if err != nil {
				return nil, err
			}
			list = append(list, kv)
		case strings.HasSuffix(t.Name, ".attn_v_b.weight"): // joined with attn_k_b
		case !known:
			list = append(list, f.show(t, t.Name, 0, t.Shape))
		case strings.HasSuffix(t.Name, ".bias") && !f.hasBias(t.Name):
			return nil, fmt.Errorf("tensor %q: biases are not supported in model type %s", t.Name, f.cfg.ModelType)
		case isStack:
			if len(t.Shape) != 3 || t.Shape[0] != f.cfg.NRoutedExperts {
				return nil, fmt.Errorf("tensor %q %v: want matrices of %d experts", t.Name, t.Shape, f.cfg.NRoutedExperts)
			}
			for e := range t.Shape[0] {
				list = append(list, f.show(t, before+strconv.Itoa(e)+after, e*t.Shape[1], t.Shape[1:]))
			}
		case f.cfg.ModelType == TypeLlama && (strings.HasSuffix(name, ".q_proj.weight") ||
			strings.HasSuffix(name, ".k_proj.weight")):
			if len(t.Shape) != 2 || t.Shape[0]%f.cfg.QKHeadDim() != 0 {
				return nil, fmt.Errorf("tensor %q %v: want a matrix of heads of %d rows", t.Name, t.Shape, f.cfg.QKHeadDim())
			}
			list = append(list, f.unpaired(t, name))
		default:
			list = append(list, f.show(t, name, 0, t.Shape))
		}
	}
	return list, nil
}

// hasBias reports whether models of the config's type have the bias with this name.
func (f *ggufFile) hasBias(name string) bool {
	if strings.HasSuffix(name, ggufGateBias) {
		return f.cfg.ModelType == TypeDeepSeekV3
	}
	return f.cfg.QKVBias() && (strings.HasSuffix(name, ".attn_q.bias") || strings.HasSuffix(name, ".attn_k.bias") ||
		strings.HasSuffix(name, ".attn_v.bias"))
}

// plainGGUF maps the types that checkpoints also have.
var plainGGUF = map[gguf.Type]checkpoint.DType{
	gguf.F32: checkpoint.F32, gguf.F16: checkpoint.F16, gguf.BF16: checkpoint.BF16,
}

// codedGGUF maps quantised types to the backend formats that represent the same values.
var codedGGUF = map[gguf.Type]backend.Format{gguf.Q8_0: backend.Q8, gguf.Q4_0: backend.Q4, gguf.Q4_1: backend.Q4_1}

// codes returns the quantised codes of t from row first on, nil if its type has no such
// format.
func (f *ggufFile) codes(t gguf.TensorInfo, first int) *checkpoint.Codes {
	format, ok := codedGGUF[t.Type]
	if !ok {
		return nil
	}
	return &checkpoint.Codes{Format: format, Read: func(from int, codes, scales, minimums []byte) error {
		return f.ReadCodes(t, first+from, codes, scales, minimums)
	}}
}

// show returns the part of t that begins at row first and has the given shape.
func (f *ggufFile) show(t gguf.TensorInfo, name string, first int, shape []int) checkpoint.Foreign {
	if dt, ok := plainGGUF[t.Type]; ok {
		at := int64(first) * int64(t.Type.Bytes(shape[len(shape)-1]))
		return checkpoint.Foreign{Name: name, DType: dt, Shape: shape, Data: ggufBytes{f.Reader, t, at}}
	}
	x := computed(name, shape, func(from int, dst []float32) error { return f.ReadRows(t, first+from, dst) })
	x.Codes = f.codes(t, first)
	return x
}

// unpaired returns a query or key projection t of a Llama in Hugging Face's row order. In
// GGUF, rows 2i and 2i+1 of a head form a pair for RoPE; in Hugging Face, rows i and i+d/2
// of d.
func (f *ggufFile) unpaired(t gguf.TensorInfo, name string) checkpoint.Foreign {
	head, width := f.cfg.QKHeadDim(), t.Shape[1]
	whole := func(first, n int) (from, end int) { return first / head * head, (first + n + head - 1) / head * head }
	x := computed(name, t.Shape, func(first int, dst []float32) error {
		from, end := whole(first, len(dst)/width)
		paired := make([]float32, (end-from)*width)
		err := f.ReadRows(t, from, paired)
		unpair(dst, paired, first, len(dst)/width, from, head)
		return err
	})
	x.Codes = f.codes(t, 0)
	if x.Codes != nil {
		read := x.Codes.Read
		x.Codes.Read = func(first int, codes, scales, minimums []byte) error {
			n := len(codes) / width
			from, end := whole(first, n)
			heads := func(dst []byte) []byte { return make([]byte, (end-from)*len(dst)/n) }
			q, d, m := heads(codes), heads(scales), heads(minimums)
			err := read(from, q, d, m)
			unpair(codes, q, first, n, from, head)
			unpair(scales, d, first, n, from, head)
			unpair(minimums, m, first, n, from, head)
			return err
		}
	}
	return x
}

// unpair reorders rows of heads of d rows: it sets dst to n rows in Hugging Face's order,
// starting at row first, from paired, which holds rows in pairs starting at row from.
func unpair[T any](dst, paired []T, first, n, from, d int) {
	width := len(dst) / n
	for i := range n {
		head, row := (first+i)/d*d, (first+i)%d
		src := head - from + row%(d/2)*2 + row/(d/2)
		copy(dst[i*width:(i+1)*width], paired[src*width:])
	}
}

// joinedKV returns kv_b_proj, which has for each head the rows of nope followed by those of
// the value. Newer GGUF files split it: k holds the nope rows transposed, [heads, rank,
// nope], and attn_v_b the value rows, [heads, value, rank].
func (f *ggufFile) joinedKV(k gguf.TensorInfo) (kv checkpoint.Foreign, err error) {
	base := strings.TrimSuffix(k.Name, "attn_k_b.weight")
	v, ok := f.Find(base + "attn_v_b.weight")
	heads, rank, nope, value := f.cfg.NumAttentionHeads, f.cfg.KVLoRARank, f.cfg.QKNopeHeadDim, f.cfg.VHeadDim
	if !ok || fmt.Sprint(k.Shape, v.Shape) != fmt.Sprint([]int{heads, rank, nope}, []int{heads, value, rank}) {
		return kv, fmt.Errorf("tensors %q %v and attn_v_b %v: want %v and %v", k.Name, k.Shape, v.Shape,
			[]int{heads, rank, nope}, []int{heads, value, rank})
	}
	name, _ := fromGGUFName(base + "attn_kv_b.weight")
	return computed(name, []int{heads * (nope + value), rank}, func(first int, dst []float32) error {
		across := make([]float32, rank*nope)
		for of := -1; len(dst) > 0; first, dst = first+1, dst[rank:] {
			head, row := first/(nope+value), first%(nope+value)
			if row >= nope {
				if err := f.ReadRows(v, head*value+row-nope, dst[:rank]); err != nil {
					return err
				}
				continue
			}
			if of != head {
				if err := f.ReadRows(k, head*rank, across); err != nil {
					return err
				}
				of = head
			}
			for j := range rank {
				dst[j] = across[j*nope+row]
			}
		}
		return nil
	}), nil
}

// ggufBytes reads the bytes of a tensor, starting at byte from.
type ggufBytes struct {
	r    *gguf.Reader
	t    gguf.TensorInfo
	from int64
}

func (g ggufBytes) ReadAt(b []byte, at int64) (int, error) {
	if err := g.r.ReadAt(g.t, b, g.from+at); err != nil {
		return 0, err
	}
	return len(b), nil
}

// computed returns an F32 tensor whose rows are computed when they are read.
func computed(name string, shape []int, rows func(first int, dst []float32) error) checkpoint.Foreign {
	return checkpoint.Foreign{Name: name, DType: checkpoint.F32, Shape: shape,
		Data: computedRows{width: shape[len(shape)-1], rows: rows}}
}

// computedRows reads computed rows as bytes of F32.
type computedRows struct {
	width int
	rows  func(first int, dst []float32) error
}

func (c computedRows) ReadAt(b []byte, at int64) (int, error) {
	size := int64(4 * c.width)
	first, end := at/size, (at+int64(len(b))+size-1)/size
	x := make([]float32, int(end-first)*c.width)
	if err := c.rows(int(first), x); err != nil {
		return 0, err
	}
	whole := make([]byte, 4*len(x))
	for i, v := range x {
		binary.LittleEndian.PutUint32(whole[4*i:], math.Float32bits(v))
	}
	return copy(b, whole[at-first*size:]), nil
}
