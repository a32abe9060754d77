package gguf

import (
	"encoding/binary"
	"math"

	"github.com/aha-go/aha/backend"
)

// half returns the F16 at the start of b.
func half(b []byte) float32 { return float32(backend.F16.Get(b, 0)) }

func dequantizeF32(dst []float32, b []byte) {
	dst[0] = math.Float32frombits(binary.LittleEndian.Uint32(b))
}

func dequantizeF16(dst []float32, b []byte) { dst[0] = half(b) }

func dequantizeBF16(dst []float32, b []byte) {
	dst[0] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16)
}

// In a block of Q4_0 or Q4_1, the first 16 of the 32 elements are in the lower halves of
// the bytes, the others in the upper halves.

func dequantizeQ4_0(dst []float32, b []byte) {
	d := half(b)
	for i, q := range b[2:] {
		dst[i], dst[16+i] = d*float32(int(q&15)-8), d*float32(int(q>>4)-8)
	}
}

func dequantizeQ4_1(dst []float32, b []byte) {
	d, m := half(b), half(b[2:])
	for i, q := range b[4:] {
		dst[i], dst[16+i] = float32(d*float32(q&15))+m, float32(d*float32(q>>4))+m
	}
}

func dequantizeQ8_0(dst []float32, b []byte) {
	d := half(b)
	for i, q := range b[2:] {
		dst[i] = d * float32(int8(q))
	}
}

// dequantizeQ4_K decodes a block of two F16, d and dmin, 12 bytes with 8 scales and 8
// minimums of 6 bits each, and 4 groups of 32 bytes. The lower halves of a group's bytes
// are 32 elements, the upper halves the next 32.
func dequantizeQ4_K(dst []float32, b []byte) {
	d, dmin, packed, qs := half(b), half(b[2:]), b[4:16], b[16:]
	for j := range 8 {
		scale, least := scaleMin(packed, j)
		s, m := d*float32(scale), dmin*float32(least)
		for i, q := range qs[j/2*32:][:32] {
			dst[32*j+i] = float32(s*float32(q>>(j%2*4)&15)) - m
		}
	}
}

// scaleMin returns scale j and minimum j. The first four are the lower 6 bits of bytes j
// and 4+j. The others have their lower 4 bits in byte 4+j, and their upper 2 bits in the
// upper bits of the bytes of the first four.
func scaleMin(b []byte, j int) (scale, least byte) {
	if j < 4 {
		return b[j] & 63, b[j+4] & 63
	}
	return b[j+4]&15 | b[j-4]>>6<<4, b[j+4]>>4 | b[j]>>6<<4
}

// dequantizeQ6_K decodes a block of 128 bytes with the lower 4 bits, 64 bytes with the
// upper 2 bits, 16 scales of 8 bits, and the F16 d. Each half of the elements uses 64, 32
// and 8 of these: element 32·k+i of the half has its lower bits in byte 32·(k%2)+i, in the
// upper half of that byte if k > 1, and its upper bits at bit 2·k of byte i.
func dequantizeQ6_K(dst []float32, b []byte) {
	low, high, scales, d := b[:128], b[128:192], b[192:208], half(b[208:])
	for n := range dst {
		h, k, i := n/128, n/32%4, n%32
		q := low[64*h+k%2*32+i]>>(k/2*4)&15 | high[32*h+i]>>(2*k)&3<<4
		dst[n] = float32(d*float32(int8(scales[n/16]))) * float32(int(q)-32)
	}
}
