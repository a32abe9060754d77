package backend

// PageRows is the number of key rows in a page, see Attention.Pages. Every attention
// kernel begins a new partial sum after this many keys, so that paging does not change
// the bits of a result.
const PageRows = 128

// Attention computes causal attention for sequences of different lengths that lie one
// after another, without padding. Query row i attends to the Len[i] key rows that begin
// at Start[i]; the last of them is its own:
//
//	S[j]       = Scale · Q[i, h, :]·K[Start[i]+j, g, :]      0 ≤ j < Len[i]
//	LSE[i, h]  = log Σ_j exp(S[j])
//	O[i, h, :] = Σ_j exp(S[j] − LSE[i, h]) · V[Start[i]+j, g, :]
//
// with g = h / (H/G). One definition serves training batches (Start is the first row of
// the sequence), prefill in chunks and decoding with a cache (Start is where the sequence
// begins in the cache): the bits of row i depend on its keys alone. Keys outside its
// window are never used in arithmetic. Len 0 gives O = 0 and LSE = −Inf.
//
// O, Q, K and V are activations: each is F32 or BF16. LSE, scores, exponentials and sums
// are F32.
//
// MLA in its naive form has G = H. In its absorbed form it is multi-query attention over
// the latent: G = 1, and V is a view of K.
type Attention struct {
	O          View // [N, H, Dv]
	LSE        View // [N, H]
	Q          View // [N, H, Dk]
	K          View // [R, G, Dk]
	V          View // [R, G, Dv]
	Start, Len View // [N] I32
	// Pages [P] I32 is an optional page table. If it is present, Start and Len count
	// logical rows, of which row r is row Pages[r/PageRows]·PageRows + r%PageRows of K
	// and V, and Start is a multiple of PageRows. Sequences may share pages. Entries that
	// no query row needs may have any value.
	Pages View
	Scale float64
}

func (o *Attention) Name() string { return "Attention" }

func (o *Attention) Operands(visit func(*View, Access)) {
	visit(&o.O, Write)
	visit(&o.LSE, Write)
	visit(&o.Q, Read)
	visit(&o.K, Read)
	visit(&o.V, Read)
	visit(&o.Start, Read)
	visit(&o.Len, Read)
	if o.Pages.Present() {
		visit(&o.Pages, Read)
	}
}

func (o *Attention) Check() error {
	c := check(o).activations(&o.Q, &o.K, &o.V, &o.O).statistics(&o.Q, &o.LSE).
		ints(&o.Pages).contiguous("Pages", &o.Pages)
	if o.Pages.Present() {
		c.rank("Pages", &o.Pages, 1)
	}
	return c.attention(&o.O, &o.LSE, &o.Q, &o.K, &o.V, &o.Start, &o.Len).done()
}

func (c *checker) attention(o, lse, q, k, v, start, length *View) *checker {
	c.ints(start, length).rank("Q", q, 3).rank("K", k, 3).rank("V", v, 3)
	if c.err != nil {
		return c
	}
	n, h, r, g := q.Shape[0], q.Shape[1], k.Shape[0], k.Shape[1]
	return c.that(g > 0 && h%g == 0, "%d query heads over %d key heads", h, g).
		shape("K", k, r, g, q.Shape[2]).shape("V", v, r, g, v.Shape[2]).shape("O", o, n, h, v.Shape[2]).
		shape("LSE", lse, n, h).shape("Start", start, n).shape("Len", length, n).
		unitStride("Q", q).unitStride("K", k).unitStride("V", v).unitStride("O", o).contiguous("LSE", lse).contiguous("Start",
		start).contiguous("Len", length)
}

// AttentionGrad is the backward pass of Attention. Query rows with the same Start must be
// adjacent. With P[j] = exp(S[j] − LSE) and Δ[i, h] = DO[i, h, :]·O[i, h, :]:
//
//	dS[j] = P[j]·(DO[i, h, :]·V[j] − Δ)
//	DQ[i, h, :] = Scale·Σ_j dS[j]·K[j]   DK[j] = Scale·Σ_i,h dS[j]·Q[i, h, :]   DV[j] = Σ_i,h P[j]·DO[i, h, :]
//
// If a sequence contains a NaN or an infinity, its gradients are undefined, since a
// backend may multiply masked pairs within a sequence by 0. Other sequences and rows with
// Len 0 are not affected.
//
// DQ, DK and DV are overwritten; key rows that no query row attends to get 0. Sums over i
// and h run in ascending h, then i. LSE is F32; the other operands, except Start and Len,
// are activations: each is F32 or BF16. Sums are F32 and rounded once.
type AttentionGrad struct {
	DQ, DK, DV          View
	DO, O, LSE, Q, K, V View
	Start, Len          View
	Scale               float64
}

func (o *AttentionGrad) Name() string { return "AttentionGrad" }

func (o *AttentionGrad) Operands(visit func(*View, Access)) {
	visit(&o.DQ, Write)
	visit(&o.DK, Write)
	visit(&o.DV, Write)
	visit(&o.DO, Read)
	visit(&o.O, Read)
	visit(&o.LSE, Read)
	visit(&o.Q, Read)
	visit(&o.K, Read)
	visit(&o.V, Read)
	visit(&o.Start, Read)
	visit(&o.Len, Read)
}

func (o *AttentionGrad) Check() error {
	c := check(o).activations(&o.Q, &o.K, &o.V, &o.O, &o.DO, &o.DQ, &o.DK, &o.DV).statistics(&o.Q, &o.LSE)
	c.attention(&o.O, &o.LSE, &o.Q, &o.K, &o.V, &o.Start, &o.Len)
	if c.err == nil {
		c.shape("DO", &o.DO, o.O.Shape[:3]...).shape("DQ", &o.DQ, o.Q.Shape[:3]...).
			shape("DK", &o.DK, o.K.Shape[:3]...).shape("DV", &o.DV, o.V.Shape[:3]...).
			unitStride("DO", &o.DO).unitStride("DQ", &o.DQ).unitStride("DK", &o.DK).unitStride("DV", &o.DV)
	}
	return c.done()
}
