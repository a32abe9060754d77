package asm

import (
	"encoding/binary"
	"math"
)

// Products of E4M3 numbers with float32 scales, as DeepSeek-V3 trains and runs
// (DeepSeek-AI, "DeepSeek-V3 Technical Report", 2024, section 3.3.2):
// activations have one scale for every FP8Block numbers along k, weights one
// for every square of FP8Block×FP8Block. Sums over a block of k are float32.
//
// Rows of activations (see RowsFP8) store the E4M3 numbers as bf16, which
// represents them exactly. A row consists of
//
//   - the float32 scale of each block of k, and zeros up to a multiple of 64 bytes;
//   - the bf16 numbers, and zeros.
//
// The size of a row is an odd multiple of 64 bytes, so that rows fall into
// different cache sets. Panels of PanelWidth columns of weights (see PackFP8)
// consist of
//
//   - for each block of k, the marks: the float32 scale, a uint32 whose bit j is set if
//     column j has a NaN in the block, and a uint32 whose bit t is set if a code for k
//     from 4t to 4t+3 in the block is zero or subnormal; and zeros up to a multiple of
//     64 bytes;
//   - the E4M3 codes, 64 bytes for each quad, four k: element (p,j) is at byte
//     (p/4)*64 + (j%16)*4 + 1, 3, 0 or 2 for p%4 of 0, 1, 2 or 3. Missing columns and
//     missing k of the last quad are zeros.
//
// So 64 bytes are 32 words, of which the upper halves belong to one pair of k
// and the lower halves to the next. Numbers are in little-endian order.
//
// On every path, quantising and packing give the same bytes, and products the
// same bits except those of NaN. On arm64 all of it is plain Go.

// FP8Block is the length of the blocks of FP8 along k and along columns.
const FP8Block = 128

const (
	lineBytes    = 64             // bytes of a cache line
	quadBytes    = 4 * PanelWidth // bytes of the codes of four k of a panel
	markBytesFP8 = 12             // bytes of the marks of one block of a panel
)

// lines rounds a size up to whole cache lines.
func lines(bytes int) int { return (bytes + lineBytes - 1) &^ (lineBytes - 1) }

// shapeFP8 holds the sizes of the parts of rows and panels, in bytes.
type shapeFP8 struct {
	k, blocks            int // blocks is the number of blocks of k
	rowHead, rowStep     int // the scales of a row, and a whole row
	panelHead, panelStep int // the marks of a panel, and a whole panel
}

func shapeOfFP8(k int) (s shapeFP8) {
	s.k, s.blocks = k, (k+FP8Block-1)/FP8Block
	s.rowHead = lines(4 * s.blocks)
	s.rowStep = (s.rowHead + lines(2*even(k))) | lineBytes
	s.panelHead = lines(markBytesFP8 * s.blocks)
	s.panelStep = s.panelHead + quads(k)*quadBytes
	return s
}

// quads returns how many quads cover k elements.
func quads(k int) int { return (k + 3) / 4 }

// quads returns the number of quads of k of block b.
func (s *shapeFP8) quads(b int) int { return quads(min(FP8Block, s.k-b*FP8Block)) }

// codeAt returns the byte offset, within a quad, of the code for k p < 4 of
// column j.
func codeAt(p, j int) int { return 4*j + p%2*2 + 1 - p/2 }

// RowsBytesFP8 returns the size of m quantised rows of k activations.
func RowsBytesFP8(m, k int) int { return m * shapeOfFP8(k).rowStep }

// PanelBytesFP8 returns the size of one panel of k rows.
func PanelBytesFP8(k int) int { return shapeOfFP8(k).panelStep }

// packedBytesFP8 returns the size of the packed form of a K×N matrix.
func packedBytesFP8(k, n int) int { return (n + PanelWidth - 1) / PanelWidth * PanelBytesFP8(k) }

// putFloat32 stores x at the start of b.
func putFloat32(b []byte, x float32) { binary.LittleEndian.PutUint32(b, math.Float32bits(x)) }

// float32At loads a float32 from the start of b.
func float32At(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }

// GemmFP8 computes C = A·B, or C += A·B if accumulate is set. rows is the M×K
// matrix A quantised by RowsFP8, panels is B packed by PackFP8 or PackFP8Bits,
// and C is M×N with element (i,j) at c[i*ldc+j].
//
// Each element of C is one chain over blocks of FP8Block k in ascending order,
// starting from zero or from the stored element:
//
//	c = c + (scaleA·scaleB)·sum
//
// where both products and the addition are rounded to float32. sum is a chain
// over the block's pairs of k in ascending order that starts from zero and adds
// the odd product of a pair first, like GemmBF16 on all paths but amx. The
// products in it are exact.
//
// Splitting M or N changes no bit: rows i0 to i1 are GemmFP8(i1-i0, n, k,
// rows[i0*RowsBytesFP8(1,k):], panels, c[i0*ldc:], …), and columns j0 to j1,
// with j0 a multiple of PanelWidth, are GemmFP8(m, j1-j0, k, rows,
// panels[j0/16*PanelBytesFP8(k):], c[j0:], …). Nor does splitting K at a
// multiple of FP8Block into two products, the second of which accumulates.
func GemmFP8(m, n, k int, rows, panels []byte, c []float32, ldc int, accumulate bool) {
	if m <= 0 || n <= 0 {
		return
	}
	needRows("GemmFP8", "c", m, n, ldc)
	need("GemmFP8", "c", len(c), extent(m, n, ldc, 1))
	if k > 0 {
		need("GemmFP8", "rows", len(rows), RowsBytesFP8(m, k))
		need("GemmFP8", "panels", len(panels), packedBytesFP8(k, n))
	}
	if !accumulate {
		for i := range m {
			clear(c[i*ldc:][:n])
		}
	}
	if k > 0 {
		gemmFP8(m, n, shapeOfFP8(k), rows, panels, c, ldc)
	}
}

// gemmFP8Generic computes C += A·B.
func gemmFP8Generic(m, n int, s shapeFP8, rows, panels []byte, c []float32, ldc int) {
	for j := 0; j < n; j += PanelWidth {
		panel := panels[j/PanelWidth*s.panelStep:][:s.panelStep]
		for i := range m {
			row := rows[i*s.rowStep:][:s.rowStep]
			out := c[i*ldc+j:][:min(PanelWidth, n-j)]
			for b := range s.blocks {
				var sums [PanelWidth]float32
				for p := b * FP8Block; p < min((b+1)*FP8Block, s.k); p += 2 {
					x := binary.LittleEndian.Uint32(row[s.rowHead+2*p:])
					x0, x1 := math.Float32frombits(x<<16), math.Float32frombits(x&0xffff0000)
					quad := panel[s.panelHead+p/4*quadBytes:][:quadBytes]
					for q := range sums {
						sums[q] += float32(x1 * valuesE4M3[quad[codeAt(p%4+1, q)]])
						sums[q] += float32(x0 * valuesE4M3[quad[codeAt(p%4, q)]])
					}
				}
				scale := float32(float32At(row[4*b:]) * float32At(panel[markBytesFP8*b:]))
				for q := range out {
					out[q] += float32(scale * sums[q])
				}
			}
		}
	}
}

// valuesE4M3 holds the number that each code represents.
var valuesE4M3 = func() (x [256]float32) {
	for code := range x {
		x[code] = fromE4M3(uint8(code))
	}
	return x
}()
