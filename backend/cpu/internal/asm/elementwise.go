package asm

// The kernels below compute the elements of dst. Inputs must be at least as
// long.

// Scale sets dst[i] = s·x[i].
func Scale(dst, x []float32, s float32) {
	need("Scale", "x", len(x), len(dst))
	scale(dst, x, s)
}

func scaleGeneric(dst, x []float32, s float32) {
	for i := range dst {
		dst[i] = s * x[i]
	}
}

// Add sets dst[i] = x[i] + y[i].
func Add(dst, x, y []float32) {
	need("Add", "x", len(x), len(dst))
	need("Add", "y", len(y), len(dst))
	add(dst, x, y)
}

func addGeneric(dst, x, y []float32) {
	for i := range dst {
		dst[i] = x[i] + y[i]
	}
}

// Mul sets dst[i] = x[i]·y[i].
func Mul(dst, x, y []float32) {
	need("Mul", "x", len(x), len(dst))
	need("Mul", "y", len(y), len(dst))
	mul(dst, x, y)
}

func mulGeneric(dst, x, y []float32) {
	for i := range dst {
		dst[i] = x[i] * y[i]
	}
}

// AddScaled sets dst[i] += s·x[i].
func AddScaled(dst, x []float32, s float32) {
	need("AddScaled", "x", len(x), len(dst))
	addScaled(dst, x, s)
}

func addScaledGeneric(dst, x []float32, s float32) {
	for i := range dst {
		dst[i] += float32(s * x[i])
	}
}
