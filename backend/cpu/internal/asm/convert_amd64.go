//go:build !noasm

package asm

import "unsafe"

// The AVX2 conversions require n to be a positive multiple of 16. The portable
// functions, which give the same bits, convert the rest of a row.

//go:noescape
func toBF16AVX2(dst *uint16, x *float32, n int)

// toBF16RowsAVX512 requires positive rows and d.
//
//go:noescape
func toBF16RowsAVX512(dst *uint16, dstStride int, x *float32, stride, rows, d int)

func toBF16Rows(dst []uint16, dstStride int, x []float32, stride, rows, d int) {
	if useAVX512 {
		toBF16RowsAVX512(&dst[0], dstStride, &x[0], stride, rows, d)
		return
	}
	for i := range rows {
		toBF16s(dst[i*dstStride:], x[i*stride:][:d])
	}
}

func toBF16s(dst []uint16, x []float32) {
	n := 0
	switch {
	case useAVX512:
		if len(x) > 0 {
			toBF16RowsAVX512(&dst[0], 0, &x[0], 0, 1, len(x))
		}
		return
	case useAVX2 && len(x) >= 16:
		n = len(x) &^ 15
		toBF16AVX2(&dst[0], &x[0], n)
	}
	toBF16Generic(dst[n:], x[n:])
}

//go:noescape
func fromBF16AVX2(dst *float32, x *uint16, n int)

// fromBF16AVX512 accepts any n ≥ 0.
//
//go:noescape
func fromBF16AVX512(dst *float32, x *uint16, n int)

func fromBF16s(dst []float32, x []uint16) {
	n := 0
	switch {
	case useAVX512:
		fromBF16AVX512(unsafe.SliceData(dst), unsafe.SliceData(x), len(x))
		return
	case useAVX2 && len(x) >= 16:
		n = len(x) &^ 15
		fromBF16AVX2(&dst[0], &x[0], n)
	}
	fromBF16Generic(dst[n:], x[n:])
}

// fromBF16RowsAVX2 requires positive rows and d, and d to be a multiple of 8.
//
//go:noescape
func fromBF16RowsAVX2(dst *float32, dstStride int, x *uint16, stride, rows, d int)

func fromBF16Rows(dst []float32, dstStride int, x []uint16, stride, rows, d int) {
	n := 0
	if useAVX2 && d >= 8 {
		n = d &^ 7
		fromBF16RowsAVX2(&dst[0], dstStride, &x[0], stride, rows, n)
	}
	if n < d {
		fromBF16RowsGeneric(dst[n:], dstStride, x[n:], stride, rows, d-n)
	}
}

//go:noescape
func toE4M3AVX2(dst *uint8, x *float32, n int)

func toE4M3s(dst []uint8, x []float32) {
	n := 0
	if useAVX2 && len(x) >= 16 {
		n = len(x) &^ 15
		toE4M3AVX2(&dst[0], &x[0], n)
	}
	toE4M3Generic(dst[n:], x[n:])
}

//go:noescape
func fromE4M3AVX2(dst *float32, x *uint8, n int)

func fromE4M3s(dst []float32, x []uint8) {
	n := 0
	if useAVX2 && len(x) >= 16 {
		n = len(x) &^ 15
		fromE4M3AVX2(&dst[0], &x[0], n)
	}
	fromE4M3Generic(dst[n:], x[n:])
}

//go:noescape
func toE5M2AVX2(dst *uint8, x *float32, n int)

func toE5M2s(dst []uint8, x []float32) {
	n := 0
	if useAVX2 && len(x) >= 16 {
		n = len(x) &^ 15
		toE5M2AVX2(&dst[0], &x[0], n)
	}
	toE5M2Generic(dst[n:], x[n:])
}

//go:noescape
func fromE5M2AVX2(dst *float32, x *uint8, n int)

func fromE5M2s(dst []float32, x []uint8) {
	n := 0
	if useAVX2 && len(x) >= 16 {
		n = len(x) &^ 15
		fromE5M2AVX2(&dst[0], &x[0], n)
	}
	fromE5M2Generic(dst[n:], x[n:])
}

//go:noescape
func toF16AVX2(dst *uint16, x *float32, n int)

func toF16s(dst []uint16, x []float32) {
	n := 0
	if useAVX2 && len(x) >= 16 {
		n = len(x) &^ 15
		toF16AVX2(&dst[0], &x[0], n)
	}
	toF16Generic(dst[n:], x[n:])
}

//go:noescape
func fromF16AVX2(dst *float32, x *uint16, n int)

func fromF16s(dst []float32, x []uint16) {
	n := 0
	if useAVX2 && len(x) >= 16 {
		n = len(x) &^ 15
		fromF16AVX2(&dst[0], &x[0], n)
	}
	fromF16Generic(dst[n:], x[n:])
}
