package backend

import "math/bits"

// Distribution selects what Random draws.
type Distribution uint8

const (
	Uniform Distribution = iota // [0, 1)
	Normal                      // mean 0, standard deviation 1
)

var distributionNames = []string{"uniform", "normal"}

func (d Distribution) String() string { return word("Distribution", d, distributionNames) }

// Random fills Dst with random numbers that depend only on Seed, Stream and the element's
// row-major index: element i uses word i%4 of Philox(Seed, Stream, i/4). Uniform is
// word·2⁻³², in F32 at most 1−2⁻²⁴; Normal pairs words (0,1) and (2,3) by Box–Muller:
// √(−2 ln u₁)·cos 2πu₂ and ·sin 2πu₂ with u₁ = (w+1)·2⁻³², all in float64.
type Random struct {
	Dst          View
	Seed, Stream uint64
	Distribution Distribution
}

func (o *Random) Name() string                       { return "Random" }
func (o *Random) Operands(visit func(*View, Access)) { visit(&o.Dst, Write) }
func (o *Random) Check() error                       { return check(o).float(&o.Dst).contiguous("Dst", &o.Dst).done() }

// Philox is the counter-based generator Philox4x32-10 of Salmon et al., "Parallel random
// numbers: as easy as 1, 2, 3" (SC 2011). It returns 128 random bits for a 64-bit key and
// a 128-bit counter (hi, lo).
func Philox(key, hi, lo uint64) [4]uint32 {
	const m0, m1, w0, w1 = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85
	k0, k1 := uint32(key), uint32(key>>32)
	c := [4]uint32{uint32(lo), uint32(lo >> 32), uint32(hi), uint32(hi >> 32)}
	for range 10 {
		h0, l0 := bits.Mul32(m0, c[0])
		h1, l1 := bits.Mul32(m1, c[2])
		c = [4]uint32{h1 ^ c[1] ^ k0, l1, h0 ^ c[3] ^ k1, l0}
		k0 += w0
		k1 += w1
	}
	return c
}
