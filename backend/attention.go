package backend

// PageRows is the number of key rows of a page, see Attention.Pages. It is the
// segment of keys after which every kernel of attention begins a new sum, so that
// paging changes no bit of a result.
const PageRows = 128

// Attention is causal attention over ragged rows. Query row i sees the Len[i]
// key rows from Start[i] on, its own being the last:
//
//	S[j]       = Scale · Q[i, h, :]·K[Start[i]+j, g, :]      0 ≤ j < Len[i]
//	LSE[i, h]  = log Σ_j exp(S[j])
//	O[i, h, :] = Σ_j exp(S[j] − LSE[i, h]) · V[Start[i]+j, g, :]
//
// with g = h / (H/G). One definition serves packed training batches (Start is
// the sequence's first row), prefill in chunks and cached decoding (Start is
// the sequence's place in the cache): the bits of row i depend on its keys
// alone. Keys outside the window are never read into the arithmetic. Len 0
// gives O = 0 and LSE = −Inf.
//
// O, Q, K and V are activations, F32 or BF16 each; LSE is F32, and so are scores,
// exponentials and sums.
//
// MLA's naive form has G = H; its absorbed form is multi-query attention with
// G = 1 over the latent, V a view of K.
type Attention struct {
	O          View // [N, H, Dv]
	LSE        View // [N, H]
	Q          View // [N, H, Dk]
	K          View // [R, G, Dk]
	V          View // [R, G, Dv]
	Start, Len View // [N] I32
	// Pages [P] I32 is an optional page table. With it, Start and Len count rows
	// of P pages one after the other, of which row r is row
	// Pages[r/PageRows]·PageRows + r%PageRows of K and V, and Start is a multiple
	// of PageRows. Windows may share pages; entries that no window needs may have
	// any value.
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
		dense("Q", q).dense("K", k).dense("V", v).dense("O", o).contiguous("LSE", lse).contiguous("Start",
		start).contiguous("Len", length)
}

// AttentionGrad is the backward of Attention over packed sequences: rows that
// share Start are adjacent and see windows that begin at the same key row.
// With P[j] = exp(S[j] − LSE) and Δ[i, h] = DO[i, h, :]·O[i, h, :]:
//
//	dS[j] = P[j]·(DO[i, h, :]·V[j] − Δ)
//	DQ[i, h, :] = Scale·Σ_j dS[j]·K[j]   DK[j] = Scale·Σ_i,h dS[j]·Q[i, h, :]   DV[j] = Σ_i,h P[j]·DO[i, h, :]
//
// Where a sequence holds a NaN or an infinity, its gradients are undefined: a
// backend may multiply masked pairs of one sequence by 0. Other sequences and
// rows that see nothing are not touched by it.
//
// DQ, DK and DV are overwritten; key rows no query sees get 0. Sums over i and
// h run in ascending h, then i. LSE is F32; the other operands but Start and Len
// are activations, F32 or BF16 each, and sums are F32, rounded once.
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
			dense("DO", &o.DO).dense("DQ", &o.DQ).dense("DK", &o.DK).dense("DV", &o.DV)
	}
	return c.done()
}
