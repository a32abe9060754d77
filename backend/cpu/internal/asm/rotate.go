package asm

// Rotate turns pairs of each row of 2·len(cos) elements of x by as many angles and
// sets the rows of dst (Su et al. 2021). Pair i of a row is its elements i and
// i+len(cos), or where interleaved 2i and 2i+1. sign is 1, or −1 to rotate back:
//
//	(a, b) → (a·cos − b·sign·sin, a·sign·sin + b·cos)
//
// No product is fused with an addition: the bits are those of this formula on every
// path.
func Rotate(dst, x, cos, sin []float32, sign float32, interleaved bool) {
	need("Rotate", "x", len(x), len(dst))
	need("Rotate", "sin", len(sin), len(cos))
	if len(cos) == 0 {
		return
	}
	rotate(dst, x, cos, sin, sign, interleaved)
}

func rotateGeneric(dst, x, cos, sin []float32, sign float32, interleaved bool) {
	half := len(cos)
	first, second := 1, half // pair k begins at k·first, its other element is second further
	if interleaved {
		first, second = 2, 1
	}
	for row := 0; row+2*half <= len(dst); row += 2 * half {
		in, out := x[row:][:2*half], dst[row:][:2*half]
		for k, c := range cos {
			i := k * first
			a, b, s := in[i], in[i+second], sign*sin[k]
			out[i] = float32(a*c) - float32(b*s)
			out[i+second] = float32(a*s) + float32(b*c)
		}
	}
}
