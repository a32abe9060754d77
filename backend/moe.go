package backend

// Scoring selects how gate logits become affinities.
type Scoring uint8

const (
	ScoreSigmoid Scoring = iota // DeepSeek-V3
	ScoreSoftmax                // DeepSeek-V2 and before
)

var scoringNames = []string{"sigmoid", "softmax"}

func (s Scoring) String() string { return word("Scoring", s, scoringNames) }

// GroupScore selects the score by which groups of experts are ranked.
type GroupScore uint8

const (
	GroupTop2Sum GroupScore = iota // sum of the two largest: V3
	GroupMax                       // the largest: V2
)

var groupScoreNames = []string{"sum of top 2", "max"}

func (g GroupScore) String() string { return word("GroupScore", g, groupScoreNames) }

// MoEGate routes each token to K of E experts (DeepSeek-V3 §2.1.2, eq. 12–16):
//
//	s = sigmoid or softmax of Logits; s' = s + Bias (selection only)
//	keep the TopGroups best of Groups equal groups of experts, by GroupBy of s'
//	Index = top-K of s' among the kept, written in ascending expert id
//	Weight = s[Index] / (Σ s[Index] + GateEps if Normalize) · Scale
//
// Ties go to the lowest id. Index is in ascending id so that a token's experts are always
// summed in that order. If a logit is not finite, or a bias is NaN or +Inf, the weights
// of the row are NaN, since no choice is right.
//
// With K = 1 and Normalize the weight is s/s·Scale, a constant: the output has no
// gradient with respect to the logits, see MoEGateGrad.
//
// Logits are F32 or BF16; Weight, Scores and Bias are F32.
type MoEGate struct {
	Weight    View // [N, K]
	Index     View // [N, K] I32
	Scores    View // [N, E]: s
	Logits    View // [N, E]
	Bias      View // [E]; optional
	Scoring   Scoring
	GroupBy   GroupScore
	Groups    int // ≥ 1
	TopGroups int
	Normalize bool
	Scale     float64
}

// GateEps is added to the sum by which MoEGate and MoEGateGrad normalise a token's
// weights, so that it is not 0 if all chosen scores are. The reference implementation of
// DeepSeek-V3 adds it too.
const GateEps = 1e-20

func (o *MoEGate) Name() string { return "MoEGate" }

func (o *MoEGate) Operands(visit func(*View, Access)) {
	visit(&o.Weight, Write)
	visit(&o.Index, Write)
	visit(&o.Scores, Write)
	visit(&o.Logits, Read)
	if o.Bias.Present() {
		visit(&o.Bias, Read)
	}
}

func (o *MoEGate) Check() error {
	c := check(o).activations(&o.Logits).statistics(&o.Logits, &o.Weight, &o.Scores, &o.Bias).
		ints(&o.Index).rank("Logits", &o.Logits, 2).rank("Index", &o.Index, 2)
	if c.err == nil {
		n, e, k := o.Logits.Shape[0], o.Logits.Shape[1], o.Index.Shape[1]
		c.shape("Index", &o.Index, n, k).shape("Weight", &o.Weight, n, k).shape("Scores", &o.Scores, n, e).shape("Bias",
			&o.Bias, e).
			contiguous("Weight", &o.Weight).contiguous("Index", &o.Index).contiguous("Scores", &o.Scores).unitStride("Logits",
			&o.Logits).contiguous("Bias", &o.Bias).
			that(o.Groups >= 1 && e%o.Groups == 0, "%d experts in %d groups", e, o.Groups).
			that(o.TopGroups >= 1 && o.TopGroups <= o.Groups, "top %d of %d groups", o.TopGroups, o.Groups)
		if c.err == nil {
			c.that(k <= e/o.Groups*o.TopGroups, "top %d of %d experts in the kept groups", k, e/o.Groups*o.TopGroups)
		}
	}
	return c.done()
}

// MoEWeights computes the weights of given experts, as MoEGate does for those that it
// chooses:
//
//	Weight = Scores[Index] / (Σ Scores[Index] + GateEps if Normalize) · Scale
//
// With the Index of a MoEGate the result is its Weight, bit for bit if the backend has
// both ops. MoEGateGrad with this Index is the backward pass.
type MoEWeights struct {
	Weight    View // [N, K]
	Scores    View // [N, E]
	Index     View // [N, K] I32
	Normalize bool
	Scale     float64
}

func (o *MoEWeights) Name() string { return "MoEWeights" }

func (o *MoEWeights) Operands(visit func(*View, Access)) {
	visit(&o.Weight, Write)
	visit(&o.Scores, Read)
	visit(&o.Index, Read)
}

func (o *MoEWeights) Check() error {
	c := check(o).float(&o.Weight, &o.Scores).ints(&o.Index).rank("Scores", &o.Scores, 2).rank("Index", &o.Index, 2)
	if c.err == nil {
		n, k := o.Scores.Shape[0], o.Index.Shape[1]
		c.shape("Index", &o.Index, n, k).shape("Weight", &o.Weight, n, k).contiguous("Weight", &o.Weight).
			contiguous("Scores", &o.Scores).contiguous("Index", &o.Index)
	}
	return c.done()
}

// MoEGateGrad is the backward pass of MoEGate with respect to the logits; bias and
// selection have no gradient. DScores is a gradient of Scores from elsewhere
// (the balance loss) and is added. With I the chosen experts, S = Σ_I s, ŵ = s/S, G =
// DWeight:
//
//	∂s_i = Scale/S·(G_i − Σ_I G·ŵ) if Normalize, else Scale·G_i   for i in I
//	DLogits = (∂s + DScores) through sigmoid or softmax
//
// With K = 1 and Normalize, ŵ = 1 and ∂s is exactly 0, not only up to rounding: Adam
// divides a gradient by its own size and would turn rounding errors into steps of full
// length. DScores still counts.
//
// DLogits is F32 or BF16; the others are F32.
type MoEGateGrad struct {
	DLogits   View // [N, E]
	DWeight   View // [N, K]; optional
	DScores   View // [N, E]; optional
	Scores    View // [N, E]
	Index     View // [N, K] I32
	Scoring   Scoring
	Normalize bool
	Scale     float64
}

// ConstantWeights reports whether the weights do not depend on the scores, since each
// token has one expert and its weight is normalised. DWeight is then not read.
func (o *MoEGateGrad) ConstantWeights() bool { return o.Normalize && o.Index.Shape[1] == 1 }

func (o *MoEGateGrad) Name() string { return "MoEGateGrad" }

func (o *MoEGateGrad) Operands(visit func(*View, Access)) {
	visit(&o.DLogits, Write)
	if o.DWeight.Present() {
		visit(&o.DWeight, Read)
	}
	if o.DScores.Present() {
		visit(&o.DScores, Read)
	}
	visit(&o.Scores, Read)
	visit(&o.Index, Read)
}

func (o *MoEGateGrad) Check() error {
	c := check(o).activations(&o.DLogits).statistics(&o.DLogits, &o.DWeight, &o.DScores, &o.Scores).
		ints(&o.Index).rank("Scores", &o.Scores, 2).rank("Index", &o.Index, 2)
	if c.err == nil {
		n, e, k := o.Scores.Shape[0], o.Scores.Shape[1], o.Index.Shape[1]
		c.shape("DLogits", &o.DLogits, n, e).shape("DWeight", &o.DWeight, n, k).shape("DScores", &o.DScores, n,
			e).shape("Index", &o.Index, n, k).
			contiguous("DLogits", &o.DLogits).contiguous("DWeight", &o.DWeight).contiguous("DScores",
			&o.DScores).contiguous("Scores", &o.Scores).contiguous("Index", &o.Index)
	}
	return c.done()
}

// MoERoute sorts the N·K assignments of Index by expert, and those of one expert by
// token, both ascending. Slot s of the sorted order has assignment Perm[s] = token·K + k;
// Inverse[token, k] is its slot; the slots of expert e are Offsets[e] ≤ s < Offsets[e+1].
type MoERoute struct {
	Offsets View // [E+1] I32
	Perm    View // [N·K] I32
	Inverse View // [N, K] I32
	Index   View // [N, K] I32
}

func (o *MoERoute) Name() string { return "MoERoute" }

func (o *MoERoute) Operands(visit func(*View, Access)) {
	visit(&o.Offsets, Write)
	visit(&o.Perm, Write)
	visit(&o.Inverse, Write)
	visit(&o.Index, Read)
}

func (o *MoERoute) Check() error {
	c := check(o).ints(&o.Offsets, &o.Perm, &o.Inverse, &o.Index).rank("Index", &o.Index, 2).rank("Offsets", &o.Offsets, 1)
	if c.err == nil {
		n, k := o.Index.Shape[0], o.Index.Shape[1]
		c.thatViews(o.Offsets.Shape[0] > 0, "Offsets %v, want one more than there are experts", &o.Offsets).
			shape("Perm", &o.Perm, n*k).shape("Inverse", &o.Inverse, n, k).
			contiguous("Offsets", &o.Offsets).contiguous("Perm", &o.Perm).contiguous("Inverse",
			&o.Inverse).contiguous("Index", &o.Index)
	}
	return c.done()
}

// MoEDispatch copies each token to the slots of its experts:
// Y[s, :] = X[Perm[s]/K, :]. Both are F32, or both BF16.
type MoEDispatch struct {
	Y    View // [N·K, D]
	X    View // [N, D]
	Perm View // [N·K] I32
}

func (o *MoEDispatch) Name() string { return "MoEDispatch" }

func (o *MoEDispatch) Operands(visit func(*View, Access)) {
	visit(&o.Y, Write)
	visit(&o.X, Read)
	visit(&o.Perm, Read)
}

func (o *MoEDispatch) Check() error {
	c := check(o).activations(&o.X).sameDType(&o.X, &o.Y).ints(&o.Perm).rank("X", &o.X, 2).rank("Y", &o.Y, 2)
	if c.err == nil {
		n, s := o.X.Shape[0], o.Y.Shape[0]
		c.shape("Y", &o.Y, s, o.X.Shape[1]).shape("Perm", &o.Perm, s).
			that(n == 0 && s == 0 || n > 0 && s%n == 0, "%d slots for %d tokens", s, n).
			unitStride("X", &o.X).unitStride("Y", &o.Y).contiguous("Perm", &o.Perm)
	}
	return c.done()
}

// MoECombine adds up the outputs of each token's experts in ascending k, which is
// ascending expert id: Y[n, :] = Σ_k Weight[n, k]·X[Inverse[n, k], :]. Without Weight the
// sum is unweighted, which is the gradient of MoEDispatch. X and Y are each F32 or BF16;
// Weight is F32.
type MoECombine struct {
	Y       View // [N, D]
	X       View // [N·K, D]
	Weight  View // [N, K]; optional
	Inverse View // [N, K] I32
}

func (o *MoECombine) Name() string { return "MoECombine" }

func (o *MoECombine) Operands(visit func(*View, Access)) {
	visit(&o.Y, Write)
	visit(&o.X, Read)
	if o.Weight.Present() {
		visit(&o.Weight, Read)
	}
	visit(&o.Inverse, Read)
}

func (o *MoECombine) Check() error {
	c := check(o).activations(&o.X, &o.Y).statistics(&o.X, &o.Weight).
		ints(&o.Inverse).rank("Y", &o.Y, 2).rank("Inverse", &o.Inverse, 2)
	if c.err == nil {
		n, d, k := o.Y.Shape[0], o.Y.Shape[1], o.Inverse.Shape[1]
		c.shape("X", &o.X, n*k, d).shape("Weight", &o.Weight, n, k).shape("Inverse", &o.Inverse, n, k).
			unitStride("X", &o.X).unitStride("Y", &o.Y).contiguous("Weight", &o.Weight).contiguous("Inverse", &o.Inverse)
	}
	return c.done()
}

// MoECombineGrad is the backward pass of a weighted MoECombine: DX[Inverse[n, k], :] =
// Weight[n, k]·DY[n, :] and DWeight[n, k] = DY[n, :]·X[Inverse[n, k], :]. DX, DY and X
// are each F32 or BF16; Weight and DWeight are F32.
type MoECombineGrad struct {
	DX, DWeight   View // [N·K, D], [N, K]
	DY, X, Weight View // [N, D], [N·K, D], [N, K]
	Inverse       View // [N, K] I32
}

func (o *MoECombineGrad) Name() string { return "MoECombineGrad" }

func (o *MoECombineGrad) Operands(visit func(*View, Access)) {
	visit(&o.DX, Write)
	visit(&o.DWeight, Write)
	visit(&o.DY, Read)
	visit(&o.X, Read)
	visit(&o.Weight, Read)
	visit(&o.Inverse, Read)
}

func (o *MoECombineGrad) Check() error {
	c := check(o).activations(&o.X, &o.DX, &o.DY).statistics(&o.X, &o.DWeight, &o.Weight).
		ints(&o.Inverse).rank("DY", &o.DY, 2).rank("Inverse", &o.Inverse, 2)
	if c.err == nil {
		n, d, k := o.DY.Shape[0], o.DY.Shape[1], o.Inverse.Shape[1]
		c.shape("X", &o.X, n*k, d).shape("DX", &o.DX, n*k, d).shape("Weight", &o.Weight, n, k).shape("DWeight",
			&o.DWeight, n, k).shape("Inverse", &o.Inverse, n, k).
			unitStride("DX", &o.DX).unitStride("DY", &o.DY).unitStride("X", &o.X).
			contiguous("Weight", &o.Weight).contiguous("DWeight", &o.DWeight).contiguous("Inverse", &o.Inverse)
	}
	return c.done()
}

// SequenceBalance is the sequence-wise balance loss of DeepSeek-V3 (eq. 17–20),
// summed over sequences. For each sequence of T tokens, rows SeqStart[s] to
// SeqStart[s+1] of Scores:
//
//	f_e = E/(K·T)·Σ_t 1[e ∈ top-K of Scores[t]]   (scores without bias)
//	P_e = 1/T·Σ_t Scores[t, e]/Σ_j Scores[t, j]
//	Loss = Coef·Σ_s Σ_e f_e·P_e
//
// Coef is α over the number of sequences of the global batch. An empty sequence
// adds nothing.
type SequenceBalance struct {
	Loss     View // [1]
	Scores   View // [N, E]
	SeqStart View // [S+1] I32
	K        int
	Coef     float64
}

func (o *SequenceBalance) Name() string { return "SequenceBalance" }

func (o *SequenceBalance) Operands(visit func(*View, Access)) {
	visit(&o.Loss, Write)
	visit(&o.Scores, Read)
	visit(&o.SeqStart, Read)
}

func (o *SequenceBalance) Check() error {
	return check(o).float(&o.Loss, &o.Scores).ints(&o.SeqStart).rank("Scores", &o.Scores, 2).rank("SeqStart",
		&o.SeqStart, 1).
		shape("Loss", &o.Loss, 1).contiguous("Scores", &o.Scores).contiguous("SeqStart", &o.SeqStart).
		that(o.K >= 1 && o.K <= o.Scores.Shape[1], "top %d of %d experts", o.K, o.Scores.Shape[1]).done()
}

// SequenceBalanceGrad is the backward pass of SequenceBalance, with f taken as constant:
//
//	DScores[t, e] = DLoss·Coef/T·(f_e − Σ_j f_j·s̃[t, j])/Σ_j Scores[t, j],   s̃ = Scores/Σ Scores
//
// Rows that belong to no sequence get 0.
type SequenceBalanceGrad struct {
	DScores  View // [N, E]
	DLoss    View // [1]
	Scores   View // [N, E]
	SeqStart View // [S+1] I32
	K        int
	Coef     float64
}

func (o *SequenceBalanceGrad) Name() string { return "SequenceBalanceGrad" }

func (o *SequenceBalanceGrad) Operands(visit func(*View, Access)) {
	visit(&o.DScores, Write)
	visit(&o.DLoss, Read)
	visit(&o.Scores, Read)
	visit(&o.SeqStart, Read)
}

func (o *SequenceBalanceGrad) Check() error {
	c := check(o).float(&o.DScores, &o.DLoss, &o.Scores).ints(&o.SeqStart).rank("Scores", &o.Scores,
		2).rank("SeqStart", &o.SeqStart, 1)
	if c.err == nil {
		c.shape("DLoss", &o.DLoss, 1).shape("DScores", &o.DScores, o.Scores.Shape[:2]...).
			contiguous("Scores", &o.Scores).contiguous("DScores", &o.DScores).contiguous("SeqStart", &o.SeqStart).
			that(o.K >= 1 && o.K <= o.Scores.Shape[1], "top %d of %d experts", o.K, o.Scores.Shape[1])
	}
	return c.done()
}
