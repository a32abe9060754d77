package backend

// forward is what decorators embed: every method goes to the backend inside,
// the optional interfaces included. PackedLen is 0 where the backend does not
// pack, which is how Packer itself says "not packed".
type forward struct{ Backend }

func (f forward) PackedLen(dt DType, k, n int) int {
	if p, ok := f.Backend.(Packer); ok {
		return p.PackedLen(dt, k, n)
	}
	return 0
}
