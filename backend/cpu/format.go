package cpu

import (
	"unsafe"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// encoding is a format of products other than Native: how the left operand's
// rows and the right one's panels of asm.PanelWidth columns lie in memory, and
// the kernels on them. Rows are independent of one another, and so are panels.
type encoding struct {
	dtype      backend.DType // of packed matrices
	rowBytes   func(k int) int
	panelBytes func(k int) int
	// encode encodes an m×k left operand, element (i,p) at a[i*rs+p*cs].
	encode func(dst []byte, a []float32, m, k, rs, cs int)
	// pack encodes a k×n right operand, element (p,j) at b[p*rs+j*cs]; unpack
	// gives back the values that products use.
	pack   func(dst []byte, b []float32, k, n, rs, cs int)
	unpack func(dst []float32, panels []byte, k, n, rs, cs int)
	// gemm is C = A·B or C += A·B for m encoded rows and n packed columns.
	gemm func(m, n, k int, rows, panels []byte, c []float32, ldc int, accumulate bool)
}

var encodings = [...]encoding{
	backend.BFloat16: {
		dtype:      backend.BF16,
		rowBytes:   func(k int) int { return 2 * asm.RowsSizeBF16(1, k) },
		panelBytes: func(k int) int { return 2 * asm.PackedSizeBF16(k, asm.PanelWidth) },
		encode:     func(dst []byte, a []float32, m, k, rs, cs int) { asm.RowsBF16(halves(dst), a, m, k, rs, cs) },
		pack:       func(dst []byte, b []float32, k, n, rs, cs int) { asm.PackBF16(halves(dst), b, k, n, rs, cs) },
		unpack:     func(dst []float32, p []byte, k, n, rs, cs int) { asm.UnpackBF16(dst, halves(p), k, n, rs, cs) },
		gemm: func(m, n, k int, rows, panels []byte, c []float32, ldc int, accumulate bool) {
			asm.GemmBF16(m, n, k, halves(rows), halves(panels), c, ldc, accumulate)
		},
	},
	backend.Q8: {
		dtype:    backend.I8,
		rowBytes: rowBytesQ8, panelBytes: asm.PanelBytesQ8,
		encode: asm.RowsQ8, pack: asm.PackQ8, unpack: asm.UnpackQ8, gemm: asm.GemmQ8,
	},
	backend.Q4: {
		dtype:    backend.I8,
		rowBytes: rowBytesQ8, panelBytes: asm.PanelBytesQ4,
		encode: asm.RowsQ8, pack: asm.PackQ4, unpack: asm.UnpackQ4, gemm: asm.GemmQ4,
	},
}

func rowBytesQ8(k int) int { return asm.RowsBytesQ8(1, k) }

// halves is b as 16-bit elements; its memory is aligned as such.
func halves(b []byte) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/2)
}

// packedBytes is the size of a packed k×n matrix.
func (e *encoding) packedBytes(k, n int) int { return ceil(n, asm.PanelWidth) * e.panelBytes(k) }

// bytesOf is the memory of v from its first element on.
func bytesOf(v *backend.View) []byte {
	mem := v.Buf.(*buffer).mem
	return mem[min(v.Offset*v.DType.Size(), len(mem)):]
}
