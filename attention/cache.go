package attention

import (
	"fmt"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// Cache keeps the keys and values of one layer for Slots sequences of up to
// MaxLen tokens each: sequence slot q, position p is row q·MaxLen + p. G is the number of
// key heads; in MLA's absorbed form it is 1, K is the latent beside the rotated key, and V
// the latent within it.
type Cache struct {
	K, V backend.View // [Slots·MaxLen, G, Dk], [Slots·MaxLen, G, Dv]; V may be a view of K

	b    backend.Backend
	bufs []backend.Buffer
}

// newCache allocates a cache of keys [G, dk] and, unless dv is 0, values [G, dv].
func newCache(b backend.Backend, dt backend.DType, rows, g, dk, dv int) (*Cache, error) {
	mustBePositive("NewCache", size{"rows", rows})
	c := &Cache{b: b}
	for _, x := range []struct {
		dst *backend.View
		d   int
	}{{&c.K, dk}, {&c.V, dv}} {
		if x.d == 0 {
			continue
		}
		v := backend.NewView(nil, dt, rows, g, x.d)
		buf, err := backend.AllocFor(b, backend.KVCache, v.Len()*dt.Size())
		if err != nil {
			c.Free()
			return nil, fmt.Errorf("attention: cache %s%v: %w", dt, v.Dims(), err)
		}
		v.Buf = buf
		c.bufs = append(c.bufs, buf)
		*x.dst = v
	}
	return c, nil
}

// Bytes is the memory of the cache; a nil one has none.
func (c *Cache) Bytes() int {
	if c == nil {
		return 0
	}
	n := c.K.Len() * c.K.DType.Size()
	if len(c.bufs) > 1 { // V is no view of K
		n += c.V.Len() * c.V.DType.Size()
	}
	return n
}

// Free gives back the cache's memory.
func (c *Cache) Free() {
	if c == nil {
		return
	}
	for _, b := range c.bufs {
		c.b.Free(b)
	}
	c.bufs = nil
}

// CopyRows copies n rows of keys and values from one row on to those from
// another on; the two ranges do not overlap. Errors are the scope's.
func (c *Cache) CopyRows(s *tensor.Scope, to, from, n int) {
	if c == nil {
		return
	}
	views := []backend.View{c.K, c.V}
	for _, v := range views[:len(c.bufs)] { // a V within K is copied with it
		s.Copy(v.Slice(0, to, to+n), v.Slice(0, from, from+n))
	}
}

// append writes the rows of x [N, G, D] to their places in dst.
func (c *Cache) append(dst backend.View, x tensor.Tensor, rows Rows) {
	s := x.Scope()
	flat := x.Contiguous().Reshape(x.Dim(0), x.Dim(1)*x.Dim(2))
	s.Scatter(dst.Reshape(dst.Shape[0], dst.Shape[1]*dst.Shape[2]), flat, rows.Cache)
}
