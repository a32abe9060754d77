package backend

// forward is what decorators embed: every method goes to the backend inside,
// the optional interfaces included. PackedLen is 0 where the backend does not
// pack, which is how Packer itself says "not packed".
type forward struct{ Backend }

func (f forward) PackedLen(format Format, dt DType, k, n int) (DType, int) {
	if p, ok := f.Backend.(Packer); ok {
		return p.PackedLen(format, dt, k, n)
	}
	return dt, 0
}
