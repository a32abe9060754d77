package asm

// SwiGLU sets dst[i] = SiLU(gate[i])·up[i] for the elements of dst, where
// SiLU(g) = g/(1+exp(−g)) (Shazeer 2020, GLU Variants Improve Transformer).
func SwiGLU(dst, gate, up []float32) {
	need("SwiGLU", "gate", len(gate), len(dst))
	need("SwiGLU", "up", len(up), len(dst))
	swiGLU(dst, gate, up)
}

func swiGLUGeneric(dst, gate, up []float32) {
	for i := range dst {
		g := gate[i]
		dst[i] = g / (1 + exp32(-g)) * up[i]
	}
}

// SwiGLUGrad sets dGate and dUp to the gradients of [SwiGLU] for the output
// gradient dY, for the elements of dGate. With s the sigmoid of gate,
//
//	dUp   = dY·gate·s
//	dGate = dY·up·s·(1 + gate·(1−s))
func SwiGLUGrad(dGate, dUp, dY, gate, up []float32) {
	n := len(dGate)
	need("SwiGLUGrad", "dUp", len(dUp), n)
	need("SwiGLUGrad", "dY", len(dY), n)
	need("SwiGLUGrad", "gate", len(gate), n)
	need("SwiGLUGrad", "up", len(up), n)
	swiGLUGrad(dGate, dUp, dY, gate, up)
}

func swiGLUGradGeneric(dGate, dUp, dY, gate, up []float32) {
	for i := range dGate {
		g, u := gate[i], up[i]
		s := sigmoid32(g)
		ds := dY[i] * s
		slope := float32(g*(1-s)) + 1
		dUp[i] = ds * g
		dGate[i] = ds * u * slope
	}
}
