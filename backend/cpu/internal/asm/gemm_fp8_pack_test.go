package asm

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// valuesFP8 holds the E4M3 numbers that are not negative.
var valuesFP8 = func() []float64 {
	values := make([]float64, 0x7f)
	for code := range values {
		values[code] = e4m3Value(uint8(code))
	}
	return values
}()

var notFinite = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}

// codeFP8 returns the code of the E4M3 number nearest to x.
func codeFP8(x float32) uint8 {
	if x != x {
		return 0x7f
	}
	code := uint8(nearest(valuesFP8, math.Abs(float64(x))))
	if math.Signbit(float64(x)) {
		code |= 0x80
	}
	return code
}

// linesFP8 rounds n bytes up to whole cache lines.
func linesFP8(n int) int { return (n + 63) / 64 * 64 }

// wantRowFP8 returns the quantised row x, as documented.
func wantRowFP8(x []float32) []byte {
	k := len(x)
	blocks := (k + 127) / 128
	row := make([]byte, linesFP8(4*blocks))
	for b := range blocks {
		var size float32
		finite := true
		block := x[b*128 : min(k, b*128+128)]
		for _, v := range block {
			finite = finite && !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0)
			size = max(size, float32(math.Abs(float64(v))))
		}
		scale := max(size, 1e-4) / 448
		if !finite {
			scale = math.Float32frombits(0x7fc00000)
		}
		binary.LittleEndian.PutUint32(row[4*b:], math.Float32bits(scale))
		for _, v := range block {
			q := uint16(0)
			if finite {
				q = toBF16(float32(e4m3Value(codeFP8(v / scale))))
			}
			row = binary.LittleEndian.AppendUint16(row, q)
		}
	}
	row = append(row, make([]byte, linesFP8(len(row))-len(row))...)
	if len(row)/64%2 == 0 {
		row = append(row, make([]byte, 64)...)
	}
	return row
}

// wrongBytes fills x with bytes that show what a kernel fails to write.
func wrongBytes(x []byte) []byte {
	for i := range x {
		x[i] = 0xa5
	}
	return x
}

func TestRowsFP8QuantisesEachBlock(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, m := range []int{0, 1, 3, 16, 17, 35} {
			for _, k := range []int{0, 1, 2, 15, 127, 128, 129, 300} {
				for name, a := range layouts(t, rng, m, k) {
					// Blocks of ordinary, very small and huge numbers, and of
					// zeros.
					for i := range a.data {
						a.data[i] *= []float32{1, 1e-5, 1e30, 0}[i/100%4]
					}
					var want []byte
					for i := range m {
						x := make([]float32, k)
						for p := range k {
							x[p] = a.at(i, p)
						}
						want = append(want, wantRowFP8(x)...)
					}
					if k == 0 {
						continue
					}
					got := wrongBytes(bytesAtEndOfPage(t, RowsBytesFP8(m, k)))
					RowsFP8(got, a.data, m, k, a.rs, a.cs)
					sameCodes(t, fmt.Sprintf("m=%d k=%d %s", m, k, name), got, want)
				}
			}
		}
	})
}

func TestRowsFP8MarksABlockThatIsNotFinite(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const k = 300
		for _, bad := range notFinite {
			for _, p := range []int{0, 127, 128, 290, 299} {
				x := random(rng, k)
				x[p] = bad
				got := wrongBytes(bytesAtEndOfPage(t, RowsBytesFP8(1, k)))
				RowsFP8(got, x, 1, k, k, 1)
				sameCodes(t, fmt.Sprintf("%g at %d", bad, p), got, wantRowFP8(x))
			}
		}
	})
}

// placeFP8 returns the offset of the code for k p of column j after the head of
// its panel.
func placeFP8(p, j int) int { return p/4*64 + j%16*4 + []int{1, 3, 0, 2}[p%4] }

// panelsFP8 packs the codes of a K×N matrix in row-major order as documented.
// scales has one scale for each square.
func panelsFP8(codes []byte, scales []float32, k, n int) []byte {
	blocks, across := (k+127)/128, (n+127)/128
	head := linesFP8(12 * blocks)
	step := head + 64*((k+3)/4)
	out := make([]byte, (n+15)/16*step)
	for j := range (n + 15) / 16 * 16 {
		panel := out[j/16*step:]
		for p := range (k + 3) / 4 * 4 {
			code := byte(0)
			if p < k && j < n {
				code = codes[p*n+j]
			}
			panel[head+placeFP8(p, j)] = code
			marks := panel[p/128*12:]
			binary.LittleEndian.PutUint32(marks, math.Float32bits(scales[p/128*across+j/128]))
			switch x := math.Abs(e4m3Value(code)); {
			case math.IsNaN(x):
				marks[4+j%16/8] |= 1 << (j % 8)
			case x < 0x1p-6:
				marks[8+p%128/32] |= 1 << (p % 32 / 4)
			}
		}
	}
	return out
}

// quantisedFP8 quantises the K×N matrix b as documented.
func quantisedFP8(b matrix, k, n int) (codes []byte, scales []float32) {
	codes = make([]byte, k*n)
	for p0 := 0; p0 < k; p0 += 128 {
		for j0 := 0; j0 < n; j0 += 128 {
			var size float32
			for p := p0; p < min(k, p0+128); p++ {
				for j := j0; j < min(n, j0+128); j++ {
					if w := float32(math.Abs(float64(b.at(p, j)))); w <= math.MaxFloat32 {
						size = max(size, w)
					}
				}
			}
			scale := size / 448
			if scale == 0 {
				scale = 1
			}
			scales = append(scales, scale)
			for p := p0; p < min(k, p0+128); p++ {
				for j := j0; j < min(n, j0+128); j++ {
					w := b.at(p, j)
					codes[p*n+j] = codeFP8(w / scale)
					if math.IsInf(float64(w), 0) {
						codes[p*n+j] = 0x7f
					}
				}
			}
		}
	}
	return codes, scales
}

func TestPackFP8QuantisesEachSquare(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, k := range []int{0, 1, 2, 9, 128, 131, 256} {
			for _, n := range []int{0, 1, 16, 17, 128, 150, 270} {
				for name, b := range layouts(t, rng, k, n) {
					for i := range b.data {
						b.data[i] *= []float32{1, 1e-7, 1e30, 0, 1e-40}[i/5000%5]
					}
					if rng.IntN(3) == 0 && len(b.data) > 0 {
						b.data[rng.IntN(len(b.data))] = notFinite[rng.IntN(3)]
					}
					if k == 0 {
						continue
					}
					codes, scales := quantisedFP8(b, k, n)
					want := panelsFP8(codes, scales, k, n)
					got := wrongBytes(bytesAtEndOfPage(t, len(want)))
					PackFP8(got, b.data, k, n, b.rs, b.cs)
					sameCodes(t, fmt.Sprintf("k=%d n=%d %s", k, n, name), got, want)
				}
			}
		}
	})
}

func TestPackFP8OfASquareOfZerosHasScaleOne(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, w := range []float32{0, math.SmallestNonzeroFloat32} {
			b := make([]float32, 300*20)
			b[7] = w
			got := make([]byte, 2*PanelBytesFP8(300))
			PackFP8(got, b, 300, 20, 20, 1)
			sameCodes(t, fmt.Sprint(w), got, panelsFP8(make([]byte, len(b)), []float32{1, 1, 1}, 300, 20))
		}
	})
}

func TestPackFP8SquaresAreIndependent(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const k, n = 140, 300
		b := random(rng, k*n)
		whole, parts := make([]byte, packedBytesFP8(k, n)), make([]byte, packedBytesFP8(k, n))
		PackFP8(whole, b, k, n, n, 1)
		for j := 0; j < n; j += FP8Block {
			PackFP8(parts[j/PanelWidth*PanelBytesFP8(k):], b[j:], k, min(FP8Block, n-j), n, 1)
		}
		sameCodes(t, "in parts", parts, whole)
	})
}

func TestPackFP8BitsKeepsEveryCode(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, k := range []int{1, 2, 3, 9, 128, 131, 270} {
			for _, n := range []int{1, 16, 17, 150} {
				across := (n + 127) / 128
				for name, s := range map[string][2]int{
					"rows": {n, 1}, "padded rows": {n + 3, 1},
					"columns": {1, (k + 3) / 4 * 4}, "columns at odd distances": {1, k | 1},
					"scattered": {2*n + 1, 2},
				} {
					b := endOfPageOf[uint8](t, extent(k, n, s[0], s[1]))
					for i := range b {
						b[i] = uint8(rng.Uint32())
					}
					codes := make([]byte, k*n)
					for p := range k {
						for j := range n {
							codes[p*n+j] = b[p*s[0]+j*s[1]]
						}
					}
					scales := random(rng, (k+127)/128*across)
					want := panelsFP8(codes, scales, k, n)
					got := wrongBytes(bytesAtEndOfPage(t, len(want)))
					what := fmt.Sprintf("k=%d n=%d %s", k, n, name)
					PackFP8Bits(got, b, scales, k, n, s[0], s[1], across, 1)
					sameCodes(t, what, got, want)

					// Transpose the scales.
					blocks := (k + 127) / 128
					turned := make([]float32, len(scales))
					for i, x := range scales {
						turned[i%across*blocks+i/across] = x
					}
					PackFP8Bits(wrongBytes(got), b, turned, k, n, s[0], s[1], 1, blocks)
					sameCodes(t, what+", transposed scales", got, want)
				}
			}
		}
	})
}

func TestUnpackFP8GivesTheWeightsOfTheProduct(t *testing.T) {
	rng := newRand(t)
	const k, n = 261, 150
	codes, scales := make([]byte, k*n), random(rng, 3*2)
	for i := range codes {
		codes[i] = uint8(rng.Uint32())
	}
	panels := make([]byte, packedBytesFP8(k, n))
	PackFP8Bits(panels, codes, scales, k, n, n, 1, 2, 1)
	got := poisoned(make([]float32, n*(k+2)))
	UnpackFP8(got, panels, k, 0, n, 1, k+2)
	for j := range n {
		for p := range k + 2 {
			x := got[j*(k+2)+p]
			if p >= k {
				if !isPoison(x) {
					t.Fatalf("wrote row %d", p)
				}
				continue
			}
			want := float64(float32(e4m3Value(codes[p*n+j])) * scales[p/128*2+j/128])
			if !sameValue(x, want) {
				t.Fatalf("weight (%d,%d) is %g, want %g", p, j, x, want)
			}
		}
	}
}

// The rounding error is at most 2⁻⁴ of the number, half of the last of three
// mantissa bits, and at most 2⁻¹⁰ below the smallest normal number.
func TestPackFP8RoundsWithinTheBoundsOfE4M3(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const k, n = 256, 256
		for _, spread := range []float64{0, 2, 12} {
			b := random(rng, k*n)
			for i := range b {
				b[i] *= float32(math.Exp2(spread * rng.NormFloat64()))
			}
			panels, w := make([]byte, packedBytesFP8(k, n)), make([]float32, k*n)
			PackFP8(panels, b, k, n, n, 1)
			UnpackFP8(w, panels, k, 0, n, n, 1)
			for i, x := range b {
				p, j := i/n, i%n
				scale := float64(float32At(panels[j/PanelWidth*PanelBytesFP8(k)+p/128*12:]))
				size := math.Abs(float64(x))
				bound := 0x1p-4 * size
				if size < 0x1p-6*scale {
					bound = 0x1p-10 * scale
				}
				what := fmt.Sprintf("spread %g: weight (%d,%d)", spread, p, j)
				near(t, what, w[i], float64(x), bound*(1+4*eps32)+4*eps32*size)
			}
		}
	})
}

// randomFP8 returns the operands of a product: quantised rows of A, and packed
// B.
func randomFP8(rng *rand.Rand, m, n, k int) (rows, panels []byte) {
	rows, panels = make([]byte, RowsBytesFP8(m, k)), make([]byte, packedBytesFP8(k, n))
	RowsFP8(rows, random(rng, m*k), m, k, k, 1)
	PackFP8(panels, random(rng, k*n), k, n, n, 1)
	return rows, panels
}
