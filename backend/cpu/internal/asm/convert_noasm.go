//go:build !amd64 || noasm

package asm

func toBF16s(dst []uint16, x []float32)   { toBF16Generic(dst, x) }
func fromBF16s(dst []float32, x []uint16) { fromBF16Generic(dst, x) }
func fromBF16Rows(dst []float32, dstStride int, x []uint16, stride, rows, d int) {
	fromBF16RowsGeneric(dst, dstStride, x, stride, rows, d)
}
func toBF16Rows(dst []uint16, dstStride int, x []float32, stride, rows, d int) {
	for i := range rows {
		toBF16Generic(dst[i*dstStride:], x[i*stride:][:d])
	}
}
func toE4M3s(dst []uint8, x []float32)   { toE4M3Generic(dst, x) }
func fromE4M3s(dst []float32, x []uint8) { fromE4M3Generic(dst, x) }
func toE5M2s(dst []uint8, x []float32)   { toE5M2Generic(dst, x) }
func fromE5M2s(dst []float32, x []uint8) { fromE5M2Generic(dst, x) }
func toF16s(dst []uint16, x []float32)   { toF16Generic(dst, x) }
func fromF16s(dst []float32, x []uint16) { fromF16Generic(dst, x) }
