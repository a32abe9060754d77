package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

const (
	// chunkElements is the number of elements per transfer between file and device.
	chunkElements = 1 << 18
	// readers is the number of pieces that are read in parallel, and of pieces that may
	// wait for the device.
	readers = 4
)

// piece is a group of rows in transfer from file to device. Its memory is reused.
type piece struct {
	*source
	at, n      int
	raw, coded []byte    // the tensor and its scales as in the file
	scales     []float32 // scales of the blocks that contain the rows
	wide       []byte    // products with the scales in F32; or the scales, if the parameter keeps them
	minimums   []byte    // minimums, if the parameter keeps them
	filled     chan error
}

// read copies sources to their parameters. Pieces are read and multiplied by their scales
// in parallel; the device converts them in order.
func (r *Reader) read(list []source, progress func(done, total int64)) error {
	var total, done int64
	for i := range list {
		total += int64(list[i].bytes(list[i].rows()))
	}
	var rows tensor.RowWriter
	defer rows.Close()
	var group errgroup.Group
	group.SetLimit(readers)
	defer group.Wait()
	var ring [2 * readers]piece
	set := func(p *piece) error {
		if err := <-p.filled; err != nil {
			return err
		}
		if err := p.set(&rows); err != nil {
			return fmt.Errorf("checkpoint: %s: tensor %q: %w", p.info.File, p.info.Name, err)
		}
		if done += int64(len(p.raw)); progress != nil {
			progress(done, total)
		}
		return nil
	}
	begun := 0
	for i := range list {
		src := &list[i]
		step := src.step()
		for at := 0; at < src.rows(); at += step {
			p := &ring[begun%len(ring)]
			if begun >= len(ring) {
				if err := set(p); err != nil {
					return err
				}
			}
			begun++
			p.source, p.at, p.n = src, at, min(step, src.rows()-at)
			p.filled = make(chan error, 1)
			group.Go(func() error {
				p.filled <- p.fill(r)
				return nil
			})
		}
	}
	for i := max(0, begun-len(ring)); i < begun; i++ {
		if err := set(&ring[i%len(ring)]); err != nil {
			return err
		}
	}
	return nil
}

// fill reads the rows and multiplies them by their scales.
func (p *piece) fill(r *Reader) error {
	p.raw = resize(p.raw, p.bytes(p.n))
	if p.codes != nil {
		return p.fillCodes()
	}
	if err := r.readAt(&p.info, p.raw, int64(p.bytes(p.row+p.at))); err != nil || !p.scaled() {
		return err
	}
	across := ceil(p.width(), p.block[1])
	first, end := p.at/p.block[0], ceil(p.at+p.n, p.block[0])
	row := across * p.scale.DType.Size()
	p.coded = resize(p.coded, (end-first)*row)
	if err := r.readAt(&p.scale, p.coded, int64((p.scaleRow+first)*row)); err != nil {
		return err
	}
	p.scales = appendScales(p.scales[:0], p.scale.DType, p.coded)
	if p.keep {
		p.wide = appendF32(p.wide[:0], p.scales)
		return nil
	}
	p.wide = resize(p.wide, 4*len(p.raw))
	dequantize(p.wide, p.raw, fp8Values[p.info.DType], p.scales, p.width(), p.at-first*p.block[0], p.block)
	return nil
}

// fillCodes reads the rows as codes, with the scales and minimums of their blocks.
func (p *piece) fillCodes() error {
	f := p.codes.Format
	size := ceil(p.n, int(f.BlockN)) * ceil(p.width(), int(f.BlockK)) * f.Scale.Size()
	p.wide, p.minimums = resize(p.wide, size), resize(p.minimums, (f.BlockValues()-1)*size)
	return p.codes.Read(p.row+p.at, p.raw, p.wide, p.minimums)
}

// set copies the rows to the parameter.
func (p *piece) set(w *tensor.RowWriter) error {
	first := p.part.first + p.at
	switch {
	case p.codes != nil:
		return w.SetScaled(p.p, first, p.raw, p.wide, p.minimums)
	case p.keep:
		return w.SetScaled(p.p, first, p.raw, p.wide, nil)
	case p.scaled():
		return w.Set(p.p, first, backend.F32, p.wide)
	}
	return w.Set(p.p, first, deviceDTypes[p.info.DType], p.raw)
}

// resize returns b, or a new slice, with n bytes of undefined content.
func resize(b []byte, n int) []byte { return slices.Grow(b[:0], n)[:n] }

// readAt fills b with the bytes of t, starting at byte at.
func (r *Reader) readAt(t *TensorInfo, b []byte, at int64) error {
	n, err := r.sections[t.Name].ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: it ends before byte %d of the tensor", ErrTruncated, at+int64(len(b)))
	}
	return &FormatError{File: t.File, Tensor: t.Name, Err: err}
}
