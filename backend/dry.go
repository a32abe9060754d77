package backend

import (
	"fmt"
	"maps"
)

// Dry is a backend that counts the memory that is allocated from it, but has none. It
// tells how much memory a model, a generator or a training step takes before anything is
// allocated, by running the code that will allocate it.
//
// Ops are checked and have no effect, uploads are ignored, downloads return zeros. Packed
// layouts, the kernel path and the supported ops are those of the wrapped backend, so
// that an op which it lacks is decomposed and its temporaries are counted. Code that
// depends on downloaded values sees zeros: every sampled token is 0.
type Dry struct {
	Decorator
	held map[Holder]int // bytes in use by holder
	used int            // sum of held
	peak Memory
}

// DryRun returns a Dry that takes the place of b, which must outlive it.
func DryRun(b Backend) *Dry {
	return &Dry{Decorator: Decorator{b}, held: map[Holder]int{}}
}

// Memory returns the memory in use at the peak so far.
func (d *Dry) Memory() Memory { return Memory{Peak: d.peak.Peak, By: maps.Clone(d.peak.By)} }

// dryBuffer is a buffer without memory.
type dryBuffer struct {
	bytes  int
	holder Holder
	freed  bool
}

func (b *dryBuffer) Bytes() int { return b.bytes }

// Alloc calls AllocFor with the holder Other.
func (d *Dry) Alloc(bytes int) (Buffer, error) { return d.AllocFor(Other, bytes) }

// AllocFor counts the bytes and never runs out of memory; see Memory.Fits.
func (d *Dry) AllocFor(h Holder, bytes int) (Buffer, error) {
	if bytes < 0 {
		return nil, fmt.Errorf("backend: DryRun: Alloc(%d)", bytes)
	}
	d.held[h] += bytes
	if d.used += bytes; d.used > d.peak.Peak {
		d.peak = Memory{Peak: d.used, By: d.peak.By}
		if d.peak.By == nil {
			d.peak.By = map[Holder]int{}
		}
		maps.Copy(d.peak.By, d.held)
	}
	return &dryBuffer{bytes: bytes, holder: h}, nil
}

// Free subtracts the buffer's bytes from the memory in use.
func (d *Dry) Free(buf Buffer) {
	if b := buf.(*dryBuffer); !b.freed {
		b.freed = true
		d.held[b.holder] -= b.bytes
		d.used -= b.bytes
	}
}

// Upload does nothing.
func (d *Dry) Upload(Buffer, int, []byte) error { return nil }

// Download fills dst with zeros.
func (d *Dry) Download(dst []byte, _ Buffer, _ int) error {
	clear(dst)
	return nil
}

// Do checks op. It returns Unsupported if the wrapped backend reports that it lacks op.
func (d *Dry) Do(op Op) error {
	if err := op.Check(); err != nil {
		return err
	}
	if lacks(d.Backend, op) {
		return Unsupported(d, op, "")
	}
	return nil
}

// Sync does nothing.
func (d *Dry) Sync() error { return nil }

// NewEvent returns an event that is already done.
func (d *Dry) NewEvent() (Event, error) { return syncEvent{d}, nil }

// Wait does nothing.
func (d *Dry) Wait(Event) error { return nil }

// Close leaves the wrapped backend open.
func (d *Dry) Close() error { return nil }
