package asm

// Rotate applies rotary position embedding (Su et al. 2021): it rotates pairs
// of each row of 2·len(cos) elements of x by len(cos) angles and writes the
// rows to dst. Pair i of a row is its elements i and i+len(cos) or, if
// interleaved, 2i and 2i+1. sign is 1, or −1 for the inverse rotation:
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
	first, second := 1, half // pair k starts at k·first, and its other element is second later
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
