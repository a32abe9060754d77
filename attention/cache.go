package attention

import (
	"fmt"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// Cache holds the keys and values of one layer, one row per token; [Continue] assigns the
// rows to tokens. G is the number of key heads. In MLA's absorbed form G is 1, K holds the
// latent followed by the rotated key, and V is a view of the latent within K.
type Cache struct {
	K, V backend.View // [R, G, Dk], [R, G, Dv]; V may be a view of K

	b    backend.Backend
	bufs []backend.Buffer
}

// NewCache allocates a cache of the given number of rows, with keys [g, dk] and values [g,
// dv] of dtype dt: F32, BF16, or F64 in tests. If dv is 0, values are a view of the keys,
// and the caller sets V. A dimension below 1 panics; a failure of the device is an error.
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

// Bytes returns the size of the cache in memory; 0 for a nil cache.
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

// Free releases the cache's memory.
func (c *Cache) Free() {
	if c == nil {
		return
	}
	for _, b := range c.bufs {
		c.b.Free(b)
	}
	c.bufs = nil
}

// hasValues reports whether V has a buffer of its own, rather than being a view of K.
func (c *Cache) hasValues() bool { return len(c.bufs) > 1 }

// Append rounds the keys k [N, G, Dk] and values v [N, G, Dv] of N tokens to the cache's
// dtype, writes them to the cache, and returns all keys and values in it, for attention to
// read. If V is a view of K, writing the keys writes the values too.
func (c *Cache) Append(rows Rows, k, v tensor.Tensor) (keys, values tensor.Tensor) {
	return c.write(rows, k, func(s *tensor.Scope) {
		scatter(s, c.K, k, rows)
		if c.hasValues() {
			scatter(s, c.V, v, rows)
		}
	})
}

// scatter writes x [N, G, D] to the rows of dst [R, G, D] that rows.Cache gives.
func scatter(s *tensor.Scope, dst backend.View, x tensor.Tensor, rows Rows) {
	flat := x.Contiguous().Reshape(x.Dim(0), x.Dim(1)*x.Dim(2))
	s.Scatter(dst.Reshape(dst.Shape[0], dst.Shape[1]*dst.Shape[2]), flat, rows.Cache)
}

// appendMLA appends the keys and values that tensor.MLAKeys would compute from up [N, H,
// n+V] and kR [N, R]. It computes them directly in the cache, without a copy elsewhere.
func (c *Cache) appendMLA(rows Rows, up, kR tensor.Tensor, m *MLA) (keys, values tensor.Tensor) {
	return c.write(rows, up, func(*tensor.Scope) {
		tensor.CacheMLAKeys(c.K, c.V, up, kR, rows.Pos, rows.Cache, m.Angles, m.Interleaved)
	})
}

// write appends tokens to the cache, for Append and appendMLA: it checks that rows has a
// cache row for each row of x [N, ...], calls put to write them, and returns all keys and
// values. Reading a cache has no gradient, so write panics in a scope that records
// gradients.
func (c *Cache) write(rows Rows, x tensor.Tensor, put func(s *tensor.Scope)) (keys, values tensor.Tensor) {
	s := x.Scope()
	switch {
	case !rows.Cache.Present():
		panic("attention: Rows.Cache is absent beside a cache: want the rows of Continue")
	case rows.Cache.Len() != x.Dim(0):
		panic(fmt.Sprintf("attention: Rows.Cache has %d rows for %d tokens", rows.Cache.Len(), x.Dim(0)))
	case s.Recording():
		panic("attention: a cache is used in a scope that records gradients, but reading a cache has no gradient")
	}
	put(s)
	return s.Constant(c.K), s.Constant(c.V)
}

// CopyRows copies n rows of keys and values, starting at row from, to the rows starting at
// row to. The two ranges must not overlap. Errors are recorded in s.
func (c *Cache) CopyRows(s *tensor.Scope, to, from, n int) {
	if c == nil {
		return
	}
	s.Copy(c.K.Slice(0, to, to+n), c.K.Slice(0, from, from+n))
	if c.hasValues() {
		s.Copy(c.V.Slice(0, to, to+n), c.V.Slice(0, from, from+n))
	}
}
