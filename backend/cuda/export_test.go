package cuda

// SetCompilerMajor sets the major version of b's NVRTC.
func SetCompilerMajor(b *CUDA, major int) {
	c := *b.kernels.compiler
	c.Major = major
	b.kernels.compiler = &c
}

// SetUnits sets the number of multiprocessors of b's device.
func SetUnits(b *CUDA, n int) { b.units = n }
