package checkpoint

import (
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/aha-go/aha/backend"
)

// fp8Block is the number of rows and of columns of V3Block, the block size that is written.
const fp8Block = 128

// fp8Blocks returns the number of blocks that n elements take.
func fp8Blocks(n int) int { return ceil(n, fp8Block) }

// fp8Tensors returns the two tensors of r in FP8: elements and scales. In a file, scales
// come before elements, so r is read twice.
func fp8Tensors(r Rows) []Tensor {
	if len(r.Shape) != 2 {
		panic(fmt.Sprintf("checkpoint: %s %v as %s: want a matrix", r.Name, r.Shape, F8E4M3))
	}
	q := &quantizer{rows: r}
	return []Tensor{
		{Name: r.Name, DType: F8E4M3, Shape: r.Shape, Stream: q.writeElements},
		{Name: r.Name + scaleSuffix, DType: F32, Shape: []int{fp8Blocks(r.Shape[0]), fp8Blocks(r.Shape[1])},
			Stream: q.writeScales},
	}
}

// quantizer writes a matrix as FP8.
type quantizer struct {
	rows   Rows
	scales []float32 // scales of all blocks, computed by the first stream for the second
}

func (q *quantizer) writeScales(w io.Writer) error {
	if err := q.scale(); err != nil {
		return err
	}
	text := make([]byte, 4*len(q.scales))
	for i, s := range q.scales {
		backend.F32.Put(text, i, float64(s))
	}
	_, err := w.Write(text)
	return err
}

// scale computes the scales.
func (q *quantizer) scale() error {
	width := q.rows.Shape[1]
	across := fp8Blocks(width)
	var scales []float32
	err := q.rows.Each(fp8Block, func(first int, x []float32) error {
		piece := make([]float32, fp8Blocks(len(x)/width)*across)
		faults := make([]error, len(piece))
		parallel(len(piece), func(lo, hi int) {
			for b := lo; b < hi; b++ {
				piece[b], faults[b] = blockScale(q.block(x, b/across, b%across))
			}
		})
		for b, err := range faults {
			if err != nil {
				return fmt.Errorf("in the block at [%d, %d]: %w", first+b/across*fp8Block, b%across*fp8Block, err)
			}
		}
		scales = append(scales, piece...)
		return nil
	})
	q.scales = scales
	return err
}

// block returns the rows of block i, j of the rows x.
func (q *quantizer) block(x []float32, i, j int) [][]float32 {
	width := q.rows.Shape[1]
	var block [][]float32
	for row := range slices.Chunk(x[i*fp8Block*width:min((i+1)*fp8Block*width, len(x))], width) {
		block = append(block, row[j*fp8Block:min((j+1)*fp8Block, width)])
	}
	return block
}

func (q *quantizer) writeElements(w io.Writer) error {
	if q.scales == nil {
		if err := q.scale(); err != nil {
			return err
		}
	}
	width, across := q.rows.Shape[1], fp8Blocks(q.rows.Shape[1])
	var codes []byte
	err := q.rows.Each(fp8Block, func(first int, x []float32) error {
		codes = slices.Grow(codes[:0], len(x))[:len(x)]
		scales := q.scales[first/fp8Block*across:]
		parallel(len(x)/width, func(lo, hi int) {
			for i := lo * width; i < hi*width; i++ {
				backend.E4M3.Put(codes, i, float64(x[i]/scales[i/width/fp8Block*across+i%width/fp8Block]))
			}
		})
		_, err := w.Write(codes)
		return err
	})
	q.scales = nil
	return err
}

// blockScale returns the scale of a block. If there is a scale with which every element is
// exactly the product of scale and a code, it is that one, so that values that came from
// FP8 keep their value. Otherwise it is max|x|/448 as in [backend.FP8], or 1 for a block of
// zeros.
func blockScale(block [][]float32) (float32, error) {
	most := float32(0)
	for _, row := range block {
		for _, x := range row {
			if a := float64(x); math.IsNaN(a) || math.IsInf(a, 0) {
				return 0, fmt.Errorf("%v cannot be quantised", x)
			}
			most = max(most, float32(math.Abs(float64(x))))
		}
	}
	usual := most / 448
	if usual == 0 {
		return 1, nil
	}
	// Multiplying codes by a power of two and dividing the scale by it changes no value, so
	// the largest code of the block can be assumed to be one of these. Rounding the largest
	// element and the quotient changed the scale by at most two units in the last place.
	for _, code := range []float32{448, 416, 384, 352, 320, 288, 256, 240} {
		s := most / code
		below, above := math.Nextafter32(s, 0), math.Nextafter32(s, math.MaxFloat32)
		for _, s := range []float32{
			s, below, above, math.Nextafter32(below, 0), math.Nextafter32(above, math.MaxFloat32),
		} {
			if isScaleOf(s, block) {
				return s, nil
			}
		}
	}
	return usual, nil
}

// isScaleOf reports whether all elements of a block are products of a code and s.
func isScaleOf(s float32, block [][]float32) bool {
	if s == 0 {
		return false
	}
	for _, row := range block {
		for _, x := range row {
			if float32(backend.E4M3.Round(float64(x/s)))*s != x {
				return false
			}
		}
	}
	return true
}
