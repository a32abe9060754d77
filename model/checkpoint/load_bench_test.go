package checkpoint

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
)

// BenchmarkLoad reports the MB/s at which a matrix is loaded in each dtype, and in FP8 with
// scales. The case read only reads the file, from the page cache.
func BenchmarkLoad(b *testing.B) {
	const rows, width = 4096, 4096
	scaled := Tensor{Name: "w_scale_inv", DType: F32, Shape: []int{rows / 128, width / 128},
		Data: littleEndian(make([]float32, rows*width/128/128))}
	for _, c := range []struct {
		from   DType
		with   []Tensor
		to     backend.Format
		packed bool
	}{
		{from: F32}, {from: BF16}, {from: F16}, {from: F64}, {from: F8E4M3, with: []Tensor{scaled}},
		{from: F32, to: backend.BFloat16, packed: true}, {from: BF16, to: backend.BFloat16, packed: true},
		{from: BF16, to: backend.Q8, packed: true},
		{from: F8E4M3, with: []Tensor{scaled}, to: backend.BFloat16, packed: true},
		{from: F8E4M3, with: []Tensor{scaled}, to: backend.Q4, packed: true},
		{from: F8E4M3, with: []Tensor{scaled}, to: backend.FP8, packed: true},
	} {
		data := make([]byte, rows*width*c.from.Size())
		for i := range data {
			data[i] = byte(i % 60)
		}
		path := filepath.Join(b.TempDir(), SingleFile)
		err := WriteAtomic(path, func(w io.Writer) error {
			return Write(w, append(c.with, Tensor{Name: "w", DType: c.from, Shape: []int{rows, width}, Data: data}), nil)
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(c.from)+"/read", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			mem := make([]byte, 1<<20)
			for b.Loop() {
				f, err := os.Open(path)
				if err == nil {
					_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, mem)
					f.Close()
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(c.from)+"/"+c.to.String(), func(b *testing.B) {
			device, err := cpu.New(cpu.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer device.Close()
			ps := tensor.NewParams(device, tensor.Init{Format: c.to, Packed: c.packed, Uninitialized: true})
			ps.Matrix("w", rows, width)
			if err := ps.Err(); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := Load(path, ps.All()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
