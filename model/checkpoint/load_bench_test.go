package checkpoint

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
)

// BenchmarkLoad reports MB/s of file.
func BenchmarkLoad(b *testing.B) {
	const n = 1 << 24
	for _, c := range []struct {
		from DType
		to   backend.DType
	}{
		{F32, backend.F32}, {BF16, backend.F32}, {F16, backend.F32}, {F8E4M3, backend.F32}, {F64, backend.F32},
		{F32, backend.BF16}, {F16, backend.BF16}, {F8E4M3, backend.BF16},
	} {
		b.Run(string(c.from)+"-"+c.to.String(), func(b *testing.B) {
			device, err := cpu.New(cpu.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer device.Close()
			p, err := tensor.NewParam(device, "w", c.to, n)
			if err != nil {
				b.Fatal(err)
			}
			path := filepath.Join(b.TempDir(), SingleFile)
			data := make([]byte, n*c.from.Size())
			for i := range data {
				data[i] = byte(i % 60)
			}
			err = WriteAtomic(path, func(w io.Writer) error {
				return Write(w, []Tensor{{Name: "w", DType: c.from, Shape: []int{n}, Data: data}}, nil)
			})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := Load(path, []*tensor.Param{p}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
