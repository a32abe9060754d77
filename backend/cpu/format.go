package cpu

import (
	"fmt"
	"unsafe"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// encoding is a format of products other than Native: the memory layout of the
// left operand's rows and of the right operand's panels of asm.PanelWidth
// columns, and the kernels that use them. Rows are encoded independently, and
// so are panels.
type encoding struct {
	format     backend.Format
	dtype      backend.DType // of packed matrices
	columns    int           // pack is called with a multiple of these, whole panels, but for the last columns
	rows, cols int           // maximum rows, a multiple of rowUnit, and columns, whole panels, of a unit of work
	rowBytes   func(k int) int
	panelBytes func(k int) int
	// encode encodes an m×k left operand with element (i,p) at a[i*rs+p*cs].
	encode func(dst []byte, a []float32, m, k, rs, cs int)
	// pack encodes a k×n right operand with element (p,j) at b[p*rs+j*cs].
	pack func(dst []byte, b []float32, k, n, rs, cs int)
	// encodeHalf and packHalf are encode and pack of BF16 operands. Where they
	// are nil, the operand is widened and encode or pack is used.
	encodeHalf func(dst []byte, a []uint16, m, k, rs, cs int)
	packHalf   func(dst []byte, b []uint16, k, n, rs, cs int)
	// packCodes is pack of codes with separate scales. It is nil if the format
	// has no such matrices.
	packCodes func(dst []byte, b right, k, n int)
	// unpack decodes columns first to first+n of a packed operand to the values
	// that products use: element (p,first+j) goes to dst[p*rs+j*cs].
	unpack func(dst []float32, panels []byte, k, first, n, rs, cs int)
	// encoded reports whether a row-major BF16 left operand with an even number
	// of columns needs no encoding. Its rows may be any distance apart.
	encoded bool
	// gemm computes C = A·B or C += A·B for m encoded rows, stride bytes apart,
	// and n packed columns.
	gemm func(m, n, k int, rows []byte, stride int, panels []byte, c []float32, ldc int, accumulate bool)
}

var encodings = []*encoding{
	{
		format:     backend.BFloat16,
		dtype:      backend.BF16,
		columns:    4 * asm.PanelWidth,
		rows:       256,
		cols:       1024,
		rowBytes:   func(k int) int { return 2 * asm.RowsSizeBF16(1, k) },
		panelBytes: func(k int) int { return 2 * asm.PackedSizeBF16(k, asm.PanelWidth) },
		encode:     func(dst []byte, a []float32, m, k, rs, cs int) { asm.RowsBF16(halves(dst), a, m, k, rs, cs) },
		pack:       func(dst []byte, b []float32, k, n, rs, cs int) { asm.PackBF16(halves(dst), b, k, n, rs, cs) },
		encodeHalf: func(dst []byte, a []uint16, m, k, rs, cs int) { asm.RowsBF16Bits(halves(dst), a, m, k, rs, cs) },
		packHalf:   func(dst []byte, b []uint16, k, n, rs, cs int) { asm.PackBF16Bits(halves(dst), b, k, n, rs, cs) },
		unpack: func(dst []float32, p []byte, k, first, n, rs, cs int) {
			asm.UnpackBF16(dst, halves(p), k, first, n, rs, cs)
		},
		gemm: func(m, n, k int, rows []byte, stride int, panels []byte, c []float32, ldc int, accumulate bool) {
			asm.GemmBF16(m, n, k, halves(rows), stride/2, halves(panels), c, ldc, accumulate)
		},
		encoded: true,
	},
	{
		format:     backend.FP8,
		dtype:      backend.I8,
		columns:    asm.FP8Block,
		rows:       160,
		cols:       256,
		rowBytes:   func(k int) int { return asm.RowsBytesFP8(1, k) },
		panelBytes: asm.PanelBytesFP8,
		encode:     asm.RowsFP8, pack: asm.PackFP8, unpack: asm.UnpackFP8, gemm: adjacent(asm.GemmFP8),
		packCodes: func(dst []byte, b right, k, n int) {
			asm.PackFP8Bits(dst, b.codes, b.scale.f32, k, n, b.rs, b.cs, b.scale.rs, b.scale.cs)
		},
	},
	{
		format:   backend.Q8,
		dtype:    backend.I8,
		columns:  asm.PanelWidth,
		rows:     192,
		cols:     512,
		rowBytes: rowBytesQ8, panelBytes: asm.PanelBytesQ8,
		encode: asm.RowsQ8, pack: asm.PackQ8, unpack: asm.UnpackQ8, gemm: adjacent(asm.GemmQ8),
		packCodes: integers(asm.PackQ8Codes),
	},
	{
		format:   backend.Q4,
		dtype:    backend.I8,
		columns:  asm.PanelWidth,
		rows:     192,
		cols:     512,
		rowBytes: rowBytesQ8, panelBytes: asm.PanelBytesQ4,
		encode: asm.RowsQ8, pack: asm.PackQ4, unpack: asm.UnpackQ4, gemm: adjacent(asm.GemmQ4),
		packCodes: integers(asm.PackQ4Codes),
	},
	{
		format:   backend.Q4_1,
		dtype:    backend.I8,
		columns:  asm.PanelWidth,
		rows:     192,
		cols:     512,
		rowBytes: rowBytesQ8, panelBytes: asm.PanelBytesQ4_1,
		encode: asm.RowsQ8, pack: asm.PackQ4_1, unpack: asm.UnpackQ4_1, gemm: adjacent(asm.GemmQ4_1),
		packCodes: integers(asm.PackQ4_1Codes),
	},
}

// encodingOf returns the encoding of f, or nil if there are no kernels for it.
func encodingOf(f backend.Format) *encoding {
	for _, e := range encodings {
		if e.format == f {
			return e
		}
	}
	return nil
}

// encoded returns the encoding for an op on m, whose format is not Native.
func (b *CPU) encoded(op backend.Op, m *backend.Matrix) (*encoding, error) {
	e := encodingOf(m.Format)
	switch {
	case e == nil:
		return nil, backend.Unsupported(b, op, m.Format.String())
	case m.Scale.Present() && e.packCodes == nil:
		return nil, backend.Unsupported(b, op, m.Format.String()+" with separate scales")
	}
	return e, nil
}

// adjacent makes an encoding.gemm of a kernel that requires adjacent rows.
func adjacent(gemm func(m, n, k int, rows, panels []byte, c []float32, ldc int, accumulate bool)) func(m, n, k int,
	rows []byte, stride int, panels []byte, c []float32, ldc int, accumulate bool) {
	return func(m, n, k int, rows []byte, _ int, panels []byte, c []float32, ldc int, accumulate bool) {
		gemm(m, n, k, rows, panels, c, ldc, accumulate)
	}
}

// integers makes an encoding.packCodes of a kernel for integers with F16
// scales.
func integers(pack func(dst []byte, c asm.Codes, k, n int)) func(dst []byte, b right, k, n int) {
	return func(dst []byte, b right, k, n int) {
		pack(dst, asm.Codes{
			Q: b.codes, RS: b.rs, CS: b.cs,
			Scale: asm.Halves{Data: b.scale.f16, RS: b.scale.rs, CS: b.scale.cs},
			Min:   asm.Halves{Data: b.least.f16, RS: b.least.rs, CS: b.least.cs},
		}, k, n)
	}
}

func rowBytesQ8(k int) int { return asm.RowsBytesQ8(1, k) }

// halves returns the memory of b as 16-bit elements. b must be aligned for
// them.
func halves(b []byte) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/2)
}

// asBytes returns the memory of x as bytes.
func asBytes(x []uint16) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 2*len(x))
}

// packedBytes returns the size of a packed k×n matrix in bytes.
func (e *encoding) packedBytes(k, n int) int { return ceil(n, asm.PanelWidth) * e.panelBytes(k) }

// encodedRows returns the m×k matrix at the start of a and its row stride in
// bytes if a needs no encoding and encoding a copy would not be faster; else
// nil.
func (e *encoding) encodedRows(a operand[float32], m, k, n int) (rows []byte, stride int) {
	if !e.encoded || a.half == nil || k == 0 || k%2 != 0 || k > 1 && a.cs != 1 || m > 1 && a.rs < k {
		return nil, 0
	}
	// Many rows a multiple of the page size apart compete for a few cache sets.
	const page, rowsFrom, columnsFrom = 4096, 64, 256
	if 2*a.rs%page == 0 && m >= rowsFrom && n >= columnsFrom {
		return nil, 0
	}
	return asBytes(a.half), 2 * a.rs
}

// encodeOperand encodes the m×k matrix at the start of a. Rows of BF16 that
// must be widened first are encoded asm.PanelWidth at a time.
func (e *encoding) encodeOperand(dst []byte, a operand[float32], m, k int, w *worker) {
	switch {
	case a.half == nil:
		e.encode(dst, a.data, m, k, a.rs, a.cs)
	case e.encodeHalf != nil:
		e.encodeHalf(dst, a.half, m, k, a.rs, a.cs)
	default:
		for i := 0; i < m; i += asm.PanelWidth {
			rows := min(asm.PanelWidth, m-i)
			x := a.rows(i).whole(rows, k, scratch[float32](w, rows*k))
			e.encode(dst[i*e.rowBytes(k):], x.data, rows, k, x.rs, x.cs)
		}
	}
}

// packOperand packs the k×n matrix at the start of b.
func (e *encoding) packOperand(dst []byte, b right, k, n int, w *worker) {
	switch {
	case b.codes != nil:
		e.packCodes(dst, b, k, n)
	case b.half == nil:
		e.pack(dst, b.data, k, n, b.rs, b.cs)
	case e.packHalf != nil:
		e.packHalf(dst, b.half, k, n, b.rs, b.cs)
	default:
		x := b.whole(k, n, scratch[float32](w, k*n))
		e.pack(dst, x.data, k, n, x.rs, x.cs)
	}
}

// packedBytesOf returns the memory of the packed matrix m. It panics if m's
// length is not PackedLen.
func (e *encoding) packedBytesOf(op backend.Op, m *backend.Matrix) []byte {
	want := e.packedBytes(m.K, m.N) / e.dtype.Size()
	if m.Data.DType != e.dtype || m.Data.Dim(-1) != want {
		panic(fmt.Errorf("cpu: %s: %v for a [%d %d] matrix packed as %s, want %d elements of %s", op.Name(), m.Data, m.K,
			m.N, m.Format, want, e.dtype))
	}
	return bytesOf(&m.Data)
}

// bytesOf returns the memory of v from its first element on.
func bytesOf(v *backend.View) []byte {
	mem := v.Buf.(*buffer).mem
	return mem[min(v.Offset*v.DType.Size(), len(mem)):]
}
