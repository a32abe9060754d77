package backend

// Pather is a backend that has several sets of kernels which agree within
// rounding but not bit for bit. Path names the one in use: together with the
// driver and GOARCH it decides the bits of a run.
type Pather interface{ Path() string }

// Path is the kernel path of b, "" where it has but one.
func Path(b Backend) string {
	if p, ok := b.(Pather); ok {
		return p.Path()
	}
	return ""
}
