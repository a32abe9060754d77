package attention

import (
	"fmt"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// Cache keeps the keys and values of one layer, a row for each token: [Continue] says which
// row is whose. G is the number of key heads; in MLA's absorbed form it is 1, K is the latent
// beside the rotated key, and V the latent within it.
type Cache struct {
	K, V backend.View // [R, G, Dk], [R, G, Dv]; V may be a view of K

	b    backend.Backend
	bufs []backend.Buffer
}

// NewCache allocates a cache of so many rows of keys [g, dk] and values [g, dv] in dt, F32
// or BF16, or F64 in tests. A dv of 0 means that values are a view of the keys: the caller
// sets V. A dimension below 1 panics; errors are the device's.
func NewCache(b backend.Backend, dt backend.DType, rows, g, dk, dv int) (*Cache, error) {
	mustBePositive("NewCache", size{"rows", rows}, size{"g", g}, size{"dk", dk})
	if dv < 0 {
		refuse("NewCache", "dv", dv, "at least 0")
	}
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
	if c.hasValues() {
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

// hasValues reports whether V has memory of its own, not K's.
func (c *Cache) hasValues() bool { return len(c.bufs) > 1 }

// Append writes the keys k [N, G, Dk] and values v [N, G, Dv] of N tokens to the cache,
// rounded to its dtype, and returns all that it has, for attention to read. Values that are a
// view of the keys are written with them.
func (c *Cache) Append(rows Rows, k, v tensor.Tensor) (keys, values tensor.Tensor) {
	return c.write(rows, k, func(s *tensor.Scope) {
		scatter(s, c.K, k, rows)
		if c.hasValues() {
			scatter(s, c.V, v, rows)
		}
	})
}

// scatter writes x [N, G, D] to rows of dst [R, G, D].
func scatter(s *tensor.Scope, dst backend.View, x tensor.Tensor, rows Rows) {
	flat := x.Contiguous().Reshape(x.Dim(0), x.Dim(1)*x.Dim(2))
	s.Scatter(dst.Reshape(dst.Shape[0], dst.Shape[1]*dst.Shape[2]), flat, rows.Cache)
}

// appendMLA is Append of the keys and values that tensor.MLAKeys makes of up [N, H, n+V] and
// kR [N, R], which are put together in the cache: they are nowhere else.
func (c *Cache) appendMLA(rows Rows, up, kR tensor.Tensor, m *MLA) (keys, values tensor.Tensor) {
	return c.write(rows, up, func(*tensor.Scope) {
		tensor.CacheMLAKeys(c.K, c.V, up, kR, rows.Pos, rows.Cache, m.Angles, m.Interleaved)
	})
}

// write is how tokens enter a cache: it checks that rows say where those of x [N, ...] go, has
// put write them there, and returns all keys and values. A cache is read without gradients,
// so that a scope that records them panics.
func (c *Cache) write(rows Rows, x tensor.Tensor, put func(s *tensor.Scope)) (keys, values tensor.Tensor) {
	s := x.Scope()
	switch {
	case !rows.Cache.Present():
		panic("attention: Rows.Cache is absent beside a cache: want the rows of Continue")
	case rows.Cache.Len() != x.Dim(0):
		panic(fmt.Sprintf("attention: Rows.Cache has %d rows for %d tokens", rows.Cache.Len(), x.Dim(0)))
	case s.Recording():
		panic("attention: a cache in a scope that records gradients: it would have none")
	}
	put(s)
	return s.Constant(c.K), s.Constant(c.V)
}

// CopyRows copies n rows of keys and values from one row on to those from
// another on; the two ranges do not overlap. Errors are the scope's.
func (c *Cache) CopyRows(s *tensor.Scope, to, from, n int) {
	if c == nil {
		return
	}
	s.Copy(c.K.Slice(0, to, to+n), c.K.Slice(0, from, from+n))
	if c.hasValues() {
		s.Copy(c.V.Slice(0, to, to+n), c.V.Slice(0, from, from+n))
	}
}
