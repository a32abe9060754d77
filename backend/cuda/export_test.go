package cuda

// SetCompilerMajor makes b's NVRTC one of that major version.
func SetCompilerMajor(b *CUDA, major int) {
	c := *b.kernels.compiler
	c.Major = major
	b.kernels.compiler = &c
}

// SetUnits makes b's device one of n multiprocessors.
func SetUnits(b *CUDA, n int) { b.units = n }
