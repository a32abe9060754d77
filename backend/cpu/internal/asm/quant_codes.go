package asm

import (
	"encoding/binary"
	"math"
)

// Codes is a K×N matrix of integers with separate F16 scales, and perhaps
// minimums, for blocks of QuantBlock rows of a column.
type Codes struct {
	Q      []byte // int8: element (p,j) at p*RS+j*CS
	RS, CS int
	Scale  Halves
	Min    Halves // of the formats that have minimums
}

// Halves is a matrix of F16 numbers. That of block (b,j) is at b*RS+j*CS.
type Halves struct {
	Data   []uint16
	RS, CS int
}

// codesQ is a block of 16 columns of integers, with element (p,j) at
// p*PanelWidth+j.
type codesQ [QuantBlock * PanelWidth]byte

// PackQ8Codes packs the integers and scales of c into the panels of PackQ8
// without changing their values, except that a block whose scale is not finite
// gets the scale NaN and zeros.
func PackQ8Codes(dst []byte, c Codes, k, n int) {
	packCodes("PackQ8Codes", dst, c, k, n, blockBytesQ8, func(dst []byte, codes *codesQ) {
		for p := range QuantBlock {
			for j, q := range codes[p*PanelWidth:][:PanelWidth] {
				dst[scalesBytes+p/4*64+4*j+p%4] = q + 128
			}
		}
	})
}

// PackQ4Codes is PackQ8Codes for the panels of PackQ4, with integers from -8 to 7.
func PackQ4Codes(dst []byte, c Codes, k, n int) {
	packCodes("PackQ4Codes", dst, c, k, n, blockBytesQ4, func(dst []byte, codes *codesQ) {
		putNibbles(dst[scalesBytes:], codes, 8)
	})
}

// PackQ4_1Codes is PackQ8Codes for the panels of PackQ4_1, with integers from 0 to 15 and
// minimums.
func PackQ4_1Codes(dst []byte, c Codes, k, n int) {
	packCodes("PackQ4_1Codes", dst, c, k, n, blockBytesQ4_1, func(dst []byte, codes *codesQ) {
		putNibbles(dst[scalesBytes:], codes, 0)
	})
}

// packCodes packs c in blocks of blockBytes. It calls write for the integers.
func packCodes(kernel string, dst []byte, c Codes, k, n, blockBytes int, write func(dst []byte, codes *codesQ)) {
	if k <= 0 || n <= 0 {
		return
	}
	blocks := quantBlocks(k)
	panelBytes := blocks * blockBytes
	need(kernel, "dst", len(dst), (n+PanelWidth-1)/PanelWidth*panelBytes)
	need(kernel, "Q", len(c.Q), extent(k, n, c.RS, c.CS))
	need(kernel, "Scale", len(c.Scale.Data), extent(blocks, n, c.Scale.RS, c.Scale.CS))
	minimums := blockBytes == blockBytesQ4_1
	if minimums {
		need(kernel, "Min", len(c.Min.Data), extent(blocks, n, c.Min.RS, c.Min.CS))
	}
	var codes codesQ
	for first := 0; first < n; first += PanelWidth {
		width := min(PanelWidth, n-first)
		for b := range blocks {
			block := dst[first/PanelWidth*panelBytes+b*blockBytes:][:blockBytes]
			clear(block)
			clear(codes[:])
			for j := range width {
				scale, least := c.Scale.at(b, first+j), uint16(0)
				if minimums {
					least = c.Min.at(b, first+j)
				}
				if !isFinite(scale) || !isFinite(least) {
					scale, least = nanF16, 0
				} else {
					column := c.Q[b*QuantBlock*c.RS+(first+j)*c.CS:]
					for p := range min(QuantBlock, k-b*QuantBlock) {
						codes[p*PanelWidth+j] = column[p*c.RS]
					}
				}
				binary.LittleEndian.PutUint16(block[2*j:], scale)
				if minimums {
					binary.LittleEndian.PutUint16(block[minsAt+2*j:], least)
				}
			}
			write(block, &codes)
		}
	}
}

func (h *Halves) at(b, j int) uint16 { return h.Data[b*h.RS+j*h.CS] }

// putNibbles adds offset to the integers, which makes them 0 to 15, and writes
// them in the order of PackQ4.
func putNibbles(dst []byte, codes *codesQ, offset byte) {
	for t := range QuantBlock / 8 {
		for i := range 4 {
			lo, hi := codes[(8*t+i)*PanelWidth:][:PanelWidth], codes[(8*t+4+i)*PanelWidth:][:PanelWidth]
			for j, q := range lo {
				dst[64*t+4*j+i] = (q+offset)&15 | (hi[j]+offset)<<4
			}
		}
	}
}

// rowScaleOf returns the scale of a block of activations.
func rowScaleOf(block []byte) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(block[rowScale:]))
}
