package backend

// VocabChunk is the number of vocabulary entries that a log-sum-exp processes at a time.
// It is a constant: sampler and loss merge the same chunks in the same order, so that
// their log-probabilities agree bit for bit.
const VocabChunk = 4096

// LogSumExp computes the log-sum-exp of each row of logits at inverse temperature
// InvTemp. With z = X[i, :]·InvTemp:
//
//	LSE[i] = log Σ_v exp(z[v])
//	Entropy[i] = LSE[i] − Σ_v softmax(z)[v]·z[v]   (optional, in nats)
//
// The vocabulary is processed in chunks of VocabChunk. Each chunk gives its maximum m, l
// = Σ exp(z−m) and a = Σ exp(z−m)·z, which are merged in ascending order. X is F32 or
// BF16; LSE and Entropy are F32.
type LogSumExp struct {
	LSE, Entropy View // [N], [N] optional
	X            View // [N, V]
	InvTemp      float64
}

func (o *LogSumExp) Name() string { return "LogSumExp" }

func (o *LogSumExp) Operands(visit func(*View, Access)) {
	visit(&o.LSE, Write)
	if o.Entropy.Present() {
		visit(&o.Entropy, Write)
	}
	visit(&o.X, Read)
}

func (o *LogSumExp) Check() error {
	c := check(o).activations(&o.X).statistics(&o.X, &o.LSE, &o.Entropy).rank("X", &o.X, 2)
	if c.err == nil {
		c.shape("LSE", &o.LSE, o.X.Shape[0]).shape("Entropy", &o.Entropy, o.X.Shape[0]).
			unitStride("X", &o.X).contiguous("LSE", &o.LSE).contiguous("Entropy", &o.Entropy)
	}
	return c.done()
}

// LinearLogProb fuses the output head and the log-softmax: it computes the
// log-probability of each row's target without storing the full logits. With z =
// InvTemp·(X[i, :]·W[v, :]):
//
//	LogProb[i] = z[Target[i]] − LSE[i]      LSE, Entropy as in LogSumExp
//
// A negative target gives LogProb 0 and no gradient. Entropy is optional. X is F32 or
// BF16; LogProb, LSE and Entropy are F32. The logits are those of MatMul in F32 and are
// never rounded to BF16.
type LinearLogProb struct {
	LogProb, LSE, Entropy View   // [N]
	X                     View   // [N, D]
	W                     Matrix // [D, V], the head transposed
	Target                View   // [N] I32
	InvTemp               float64
}

func (o *LinearLogProb) Name() string { return "LinearLogProb" }

func (o *LinearLogProb) Operands(visit func(*View, Access)) {
	visit(&o.LogProb, Write)
	visit(&o.LSE, Write)
	if o.Entropy.Present() {
		visit(&o.Entropy, Write)
	}
	visit(&o.X, Read)
	o.W.operands(visit, Read)
	visit(&o.Target, Read)
}

func (o *LinearLogProb) Check() error {
	c := check(o).matrix(&o.W, &o.X).statistics(&o.X, &o.LogProb, &o.LSE, &o.Entropy).
		ints(&o.Target).rank("X", &o.X, 2).head(&o.W, &o.X)
	if c.err == nil {
		n := o.X.Shape[0]
		c.shape("LogProb", &o.LogProb, n).shape("LSE", &o.LSE, n).shape("Entropy", &o.Entropy, n).shape("Target",
			&o.Target, n).
			contiguous("LogProb", &o.LogProb).contiguous("LSE", &o.LSE).contiguous("Entropy",
			&o.Entropy).contiguous("Target", &o.Target)
	}
	return c.done()
}

// head requires w to be a matrix [D, V] for x [N, D].
func (c *checker) head(w *Matrix, x *View) *checker {
	if c.err == nil {
		k, _ := w.Dims()
		c.thatViews(len(w.batch()) == 0 && k == x.Shape[1], "W %v for X %v", &w.Data, x)
	}
	return c
}

// LinearLogProbGrad is the backward pass of LinearLogProb. With p = exp(z − LSE):
//
//	dz[v] = DLogProb·(1[v = Target] − p[v]) − DEntropy·p[v]·(z[v] − LSE + Entropy)
//	DX = InvTemp·dz·Wᵀ     DW += InvTemp·dzᵀ·X
//
// In rows with a negative target, DLogProb counts as 0. DX and DW are optional, as is the
// pair of DEntropy and Entropy. X and DX are each F32 or BF16; the vectors and DW are
// F32. W is strided, and its format is not ForwardOnly.
type LinearLogProbGrad struct {
	DX, DW             View   // [N, D], [V, D]
	DLogProb, DEntropy View   // [N]
	X                  View   // [N, D]
	W                  Matrix // [D, V], the head transposed
	Target             View   // [N] I32
	LSE, Entropy       View   // [N]
	InvTemp            float64
}

func (o *LinearLogProbGrad) Name() string { return "LinearLogProbGrad" }

func (o *LinearLogProbGrad) Operands(visit func(*View, Access)) {
	if o.DX.Present() {
		visit(&o.DX, Write)
	}
	if o.DW.Present() {
		visit(&o.DW, ReadWrite)
	}
	visit(&o.DLogProb, Read)
	if o.DEntropy.Present() {
		visit(&o.DEntropy, Read)
		visit(&o.Entropy, Read)
	}
	visit(&o.X, Read)
	o.W.operands(visit, Read)
	visit(&o.Target, Read)
	visit(&o.LSE, Read)
}

func (o *LinearLogProbGrad) Check() error {
	c := check(o).matrix(&o.W, &o.X, &o.DX).
		statistics(&o.X, &o.DW, &o.DLogProb, &o.DEntropy, &o.LSE, &o.Entropy).
		ints(&o.Target).rank("X", &o.X, 2).head(&o.W, &o.X)
	if c.err == nil && (o.W.Format.ForwardOnly || o.W.Layout != Strided || o.W.Scale.Present()) {
		c.failf("W %v in format %s, want a strided matrix in a format that trains", o.W.Data, o.W.Format)
	}
	if c.err == nil {
		n, d, v := o.X.Shape[0], o.X.Shape[1], o.W.Data.Shape[1]
		c.shape("DX", &o.DX, n, d).shape("DW", &o.DW, v, d).shape("Target", &o.Target, n).
			shape("DLogProb", &o.DLogProb, n).shape("DEntropy", &o.DEntropy, n).shape("LSE", &o.LSE, n).shape("Entropy",
			&o.Entropy, n).
			contiguous("DLogProb", &o.DLogProb).contiguous("DEntropy", &o.DEntropy).contiguous("LSE",
			&o.LSE).contiguous("Entropy", &o.Entropy).contiguous("Target", &o.Target).
			unitStride("DX", &o.DX).unitStride("DW", &o.DW)
	}
	return c.done()
}

// Sample draws one token per row of logits and computes its log-probability under the
// distribution from which it was drawn. All parameters are per row and live in buffers,
// so that one recorded program serves any mix of requests:
//
//	Temperature 0 picks the first maximum, with LogProb as at temperature 1
//	otherwise z = X·(1/Temperature); keep the TopK largest (0: all), then the
//	smallest set of the most likely with mass ≥ TopP (1: all), ties by lowest id
//	u = uniform of Philox(Seed, 0, Pos); Token is the first id, in ascending
//	order, at which the kept mass exceeds u
//	LogProb = z[Token] − LSE of the kept z
//
// X is F32 or BF16; LogProb, Temperature and TopP are F32.
//
// If no token is filtered out, the LSE has the bits of LogSumExp's. If a row contains NaN
// or +Inf, or only −Inf, LogProb is NaN, even if a filter drops those logits, and Token
// is some valid id.
type Sample struct {
	Token             View // [N] I32
	LogProb           View // [N]
	X                 View // [N, V]: logits
	Seed              View // [N, 2] I32: low and high half of a 64-bit key
	Pos               View // [N] I32: position of the drawn token in its sequence
	TopK              View // [N] I32
	Temperature, TopP View // [N]
}

func (o *Sample) Name() string { return "Sample" }

func (o *Sample) Operands(visit func(*View, Access)) {
	visit(&o.Token, Write)
	visit(&o.LogProb, Write)
	for _, v := range []*View{&o.X, &o.Seed, &o.Pos, &o.TopK, &o.Temperature, &o.TopP} {
		visit(v, Read)
	}
}

func (o *Sample) Check() error {
	c := check(o).activations(&o.X).statistics(&o.X, &o.LogProb, &o.Temperature, &o.TopP).
		ints(&o.Token, &o.Seed, &o.Pos, &o.TopK).rank("X", &o.X, 2)
	if c.err == nil {
		n := o.X.Shape[0]
		c.shape("Token", &o.Token, n).shape("LogProb", &o.LogProb, n).shape("Seed", &o.Seed, n, 2).shape("Pos", &o.Pos, n).
			shape("TopK", &o.TopK, n).shape("Temperature", &o.Temperature, n).shape("TopP", &o.TopP, n).
			unitStride("X", &o.X).contiguous("Seed", &o.Seed).that(o.X.Shape[1] > 0, "empty vocabulary")
	}
	return c.done()
}
