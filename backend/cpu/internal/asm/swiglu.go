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

// SwiGLUBF16 is [SwiGLU] for BF16: elements are computed in float32 and rounded
// once.
func SwiGLUBF16(dst, gate, up []uint16) {
	need("SwiGLUBF16", "gate", len(gate), len(dst))
	need("SwiGLUBF16", "up", len(up), len(dst))
	swiGLUBF16(dst, gate, up)
}

// widenedRun is the number of BF16 elements that are widened at a time where no
// kernel reads BF16.
const widenedRun = 256

func swiGLUBF16Widened(dst, gate, up []uint16) {
	var g, u [widenedRun]float32
	for i := 0; i < len(dst); i += widenedRun {
		n := min(widenedRun, len(dst)-i)
		FromBF16(g[:], gate[i:][:n])
		FromBF16(u[:], up[i:][:n])
		swiGLU(g[:n], g[:n], u[:n])
		ToBF16(dst[i:], g[:n])
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

// SwiGLUGradBF16 is [SwiGLUGrad] for BF16: elements are computed in float32 and
// rounded once.
func SwiGLUGradBF16(dGate, dUp, dY, gate, up []uint16) {
	n := len(dGate)
	need("SwiGLUGradBF16", "dUp", len(dUp), n)
	need("SwiGLUGradBF16", "dY", len(dY), n)
	need("SwiGLUGradBF16", "gate", len(gate), n)
	need("SwiGLUGradBF16", "up", len(up), n)
	swiGLUGradBF16(dGate, dUp, dY, gate, up)
}

func swiGLUGradBF16Widened(dGate, dUp, dY, gate, up []uint16) {
	var dy, g, u [widenedRun]float32
	for i := 0; i < len(dGate); i += widenedRun {
		n := min(widenedRun, len(dGate)-i)
		FromBF16(dy[:], dY[i:][:n])
		FromBF16(g[:], gate[i:][:n])
		FromBF16(u[:], up[i:][:n])
		swiGLUGrad(g[:n], u[:n], dy[:n], g[:n], u[:n])
		ToBF16(dGate[i:], g[:n])
		ToBF16(dUp[i:], u[:n])
	}
}
