package backend

// Pather is a backend that has several sets of kernels, which agree within rounding but
// not bit for bit. Path returns the name of the one in use: together with the driver and
// GOARCH it determines the bits of a run.
type Pather interface{ Path() string }

// Path returns the kernel path of b, or "" if b has only one.
func Path(b Backend) string {
	if p, ok := b.(Pather); ok {
		return p.Path()
	}
	return ""
}
