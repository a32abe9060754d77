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

// OpenGGUF opens a GGUF file as if it were a checkpoint of Hugging Face: with its names
// and its order of rows, and the config that its metadata amount to. Tensors of F32, F16
// and BF16 are shown as they are; others, and those whose rows are in another order, in
// F32, with the codes that formats keep. Tensors that only GGUF has keep their names.
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

// ggufFile shows the tensors of a file under the names of Hugging Face.
type ggufFile struct {
	*gguf.Reader
	cfg Config
}

func (f *ggufFile) tensors() (list []checkpoint.Foreign, err error) {
	for _, t := range f.Tensors {
		name, known := fromGGUFName(t.Name)
		before, after, isStack := strings.Cut(name, "*")
		switch {
		case t.Name == ropeFactors && f.cfg.ModelType == TypeLlama: // the config's
		case strings.HasSuffix(t.Name, ".attn_k_b.weight"):
			kv, err := f.joinedKV(t)
			if err != nil {
				return nil, err
			}
			list = append(list, kv)
		case strings.HasSuffix(t.Name, ".attn_v_b.weight"): // with attn_k_b
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

// hasBias reports whether models of the config's type have the bias.
func (f *ggufFile) hasBias(name string) bool {
	if strings.HasSuffix(name, ggufGateBias) {
		return f.cfg.ModelType == TypeDeepSeekV3
	}
	return f.cfg.QKVBias() && (strings.HasSuffix(name, ".attn_q.bias") || strings.HasSuffix(name, ".attn_k.bias") ||
		strings.HasSuffix(name, ".attn_v.bias"))
}

// plainGGUF are the types that checkpoints have too.
var plainGGUF = map[gguf.Type]checkpoint.DType{
	gguf.F32: checkpoint.F32, gguf.F16: checkpoint.F16, gguf.BF16: checkpoint.BF16,
}

// codedGGUF are the formats that keep the values of a type.
var codedGGUF = map[gguf.Type]backend.Format{gguf.Q8_0: backend.Q8, gguf.Q4_0: backend.Q4, gguf.Q4_1: backend.Q4_1}

// codes are those of t, if it has such, from row first on.
func (f *ggufFile) codes(t gguf.TensorInfo, first int) *checkpoint.Codes {
	format, ok := codedGGUF[t.Type]
	if !ok {
		return nil
	}
	return &checkpoint.Codes{Format: format, Read: func(from int, codes, scales, minimums []byte) error {
		return f.ReadCodes(t, first+from, codes, scales, minimums)
	}}
}

// show is the part of t of the given shape that begins at row first.
func (f *ggufFile) show(t gguf.TensorInfo, name string, first int, shape []int) checkpoint.Foreign {
	if dt, ok := plainGGUF[t.Type]; ok {
		at := int64(first) * int64(t.Type.Bytes(shape[len(shape)-1]))
		return checkpoint.Foreign{Name: name, DType: dt, Shape: shape, Data: ggufBytes{f.Reader, t, at}}
	}
	x := computed(name, shape, func(from int, dst []float32) error { return f.ReadRows(t, first+from, dst) })
	x.Codes = f.codes(t, first)
	return x
}

// unpaired is the projection t of queries or keys of a Llama. In GGUF rows 2i and 2i+1
// of a head are a pair of RoPE; in Hugging Face rows i and i+d/2 of d are.
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

// unpair sets dst to n rows from row first on of heads of d rows, which paired has from
// row from on, in pairs of RoPE.
func unpair[T any](dst, paired []T, first, n, from, d int) {
	width := len(dst) / n
	for i := range n {
		head, row := (first+i)/d*d, (first+i)%d
		src := head - from + row%(d/2)*2 + row/(d/2)
		copy(dst[i*width:(i+1)*width], paired[src*width:])
	}
}

// joinedKV is kv_b_proj, whose rows are for each head those of nope and those of the
// values. GGUF may split it: k holds the former transposed, [heads, rank, nope], and
// attn_v_b the latter, [heads, value, rank].
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

// ggufBytes are the bytes of a tensor from one of them on.
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

// computed is a tensor of F32 whose rows are computed when they are read.
func computed(name string, shape []int, rows func(first int, dst []float32) error) checkpoint.Foreign {
	return checkpoint.Foreign{Name: name, DType: checkpoint.F32, Shape: shape,
		Data: computedRows{width: shape[len(shape)-1], rows: rows}}
}

// computedRows are the bytes of rows of F32.
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
