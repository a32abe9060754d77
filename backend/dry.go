package backend

import (
	"fmt"
	"maps"
)

// Dry is a backend that counts the memory it is asked for and has none: it tells
// what a model, a generator or a training step takes before anything is
// allocated, by the code that will allocate it.
//
// Ops are checked and have no effect, uploads are ignored, downloads give zeros.
// Packed layouts, the path and what is supported are those of the backend inside,
// so that an op which that one lacks is decomposed and its temporaries count.
// What depends on values takes the way of zeros: every sampled token is 0.
type Dry struct {
	Decorator
	held map[Holder]int
	used int // sum of held
	peak Memory
}

// DryRun returns a Dry in the place of b, which must outlive it.
func DryRun(b Backend) *Dry {
	return &Dry{Decorator: Decorator{b}, held: map[Holder]int{}}
}

// Memory is what was held at the peak so far.
func (d *Dry) Memory() Memory { return Memory{Peak: d.peak.Peak, By: maps.Clone(d.peak.By)} }

// dryBuffer is a buffer without memory.
type dryBuffer struct {
	bytes  int
	holder Holder
	freed  bool
}

func (b *dryBuffer) Bytes() int { return b.bytes }

// Alloc is AllocFor on behalf of Other.
func (d *Dry) Alloc(bytes int) (Buffer, error) { return d.AllocFor(Other, bytes) }

// AllocFor counts the bytes, however many the device has; see Memory.Fits.
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

// Free counts the buffer as given back.
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

// Do checks op.
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

// NewEvent returns an event that is done.
func (d *Dry) NewEvent() (Event, error) { return syncEvent{d}, nil }

// Wait does nothing.
func (d *Dry) Wait(Event) error { return nil }

// Close leaves the backend inside open.
func (d *Dry) Close() error { return nil }
