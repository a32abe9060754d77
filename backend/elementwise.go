package backend

// Copy writes Src to Dst element by element. Layouts and dtypes may differ: elements are
// converted as by DType.Put, but in I32 a NaN becomes 0, and numbers out of range become
// the nearest I32.
type Copy struct{ Dst, Src View }

func (o *Copy) Name() string { return "Copy" }

func (o *Copy) Operands(visit func(*View, Access)) {
	visit(&o.Dst, Write)
	visit(&o.Src, Read)
}

func (o *Copy) Check() error {
	return check(o).shape("Src", &o.Src, o.Dst.Shape[:o.Dst.Rank]...).done()
}

// Fill sets every element of Dst to Value.
type Fill struct {
	Dst   View
	Value float64
}

func (o *Fill) Name() string                       { return "Fill" }
func (o *Fill) Operands(visit func(*View, Access)) { visit(&o.Dst, Write) }
func (o *Fill) Check() error                       { return check(o).done() }

// Iota sets Dst[i] = i for a vector of I32.
type Iota struct{ Dst View }

func (o *Iota) Name() string                       { return "Iota" }
func (o *Iota) Operands(visit func(*View, Access)) { visit(&o.Dst, Write) }
func (o *Iota) Check() error                       { return check(o).rank("Dst", &o.Dst, 1).ints(&o.Dst).done() }

// UnaryFn selects the function of a Unary op.
type UnaryFn uint8

const (
	Affine     UnaryFn = iota // A·x + B
	Clamp                     // min(max(x, A), B); NaN stays NaN
	Exp                       // eˣ
	Log                       // ln x
	Sigmoid                   // 1/(1+e⁻ˣ)
	Sqrt                      // √x
	Reciprocal                // 1/x
	Abs                       // |x|
	Sign                      // −1, 0 or 1; NaN stays NaN
	Tanh                      // (eˣ−e⁻ˣ)/(eˣ+e⁻ˣ)
	Erf                       // 2/√π·∫₀ˣ e^(−t²) dt
	Log1p                     // ln(1 + x), accurate for small x too
)

var unaryNames = []string{"Affine", "Clamp", "Exp", "Log", "Sigmoid", "Sqrt", "Reciprocal", "Abs", "Sign", "Tanh",
	"Erf", "Log1p"}

func (f UnaryFn) String() string { return word("UnaryFn", f, unaryNames) }

// Unary computes Y = Fn(X) element by element. A and B are the parameters of Affine and
// Clamp. Y may be X. X and Y are each F32 or BF16.
type Unary struct {
	Y, X View
	Fn   UnaryFn
	A, B float64
}

func (o *Unary) Name() string { return o.Fn.String() }

func (o *Unary) Operands(visit func(*View, Access)) {
	visit(&o.Y, Write)
	visit(&o.X, Read)
}

func (o *Unary) Check() error {
	return check(o).activations(&o.Y, &o.X).shape("X", &o.X, o.Y.Shape[:o.Y.Rank]...).done()
}

// BinaryFn selects the function of a Binary op.
type BinaryFn uint8

const (
	Add BinaryFn = iota
	Sub
	Mul
	Div
	Max       // NaN if either is NaN
	Min       // NaN if either is NaN
	Less      // 1 if a < b, else 0
	LessEqual // 1 if a ≤ b, else 0
	Equal     // 1 if a = b, else 0
)

var binaryNames = []string{"Add", "Sub", "Mul", "Div", "Max", "Min", "Less", "LessEqual", "Equal"}

func (f BinaryFn) String() string { return word("BinaryFn", f, binaryNames) }

// Binary computes Y = Fn(A, B) element by element. A and B have Y's shape; a dimension
// along which they are broadcast has stride 0. Y may be A or B. All functions but Div
// also take I32 operands. The result of a comparison may be I32 for any dtype of A and B.
// Operands that are not I32 are each F32 or BF16.
type Binary struct {
	Y, A, B View
	Fn      BinaryFn
}

func (o *Binary) Name() string { return o.Fn.String() }

func (o *Binary) Operands(visit func(*View, Access)) {
	visit(&o.Y, Write)
	visit(&o.A, Read)
	visit(&o.B, Read)
}

func (o *Binary) Check() error {
	c := check(o).
		shape("A", &o.A, o.Y.Shape[:o.Y.Rank]...).
		shape("B", &o.B, o.Y.Shape[:o.Y.Rank]...)
	switch {
	case o.A.DType == I32 && o.Fn != Div:
		c.sameDType(&o.A, &o.B)
		if o.Fn < Less {
			c.sameDType(&o.A, &o.Y)
		}
	case o.Fn < Less:
		c.activations(&o.A, &o.B, &o.Y)
	default:
		c.activations(&o.A, &o.B)
	}
	return c.done()
}

// Select computes Y = A where Cond is nonzero, else B. The value not selected is never
// used in arithmetic, so a NaN there does not spread. Y may be A or B. Y, A and B are
// each F32 or BF16.
type Select struct{ Y, Cond, A, B View }

func (o *Select) Name() string { return "Select" }

func (o *Select) Operands(visit func(*View, Access)) {
	visit(&o.Y, Write)
	visit(&o.Cond, Read)
	visit(&o.A, Read)
	visit(&o.B, Read)
}

func (o *Select) Check() error {
	shape := o.Y.Shape[:o.Y.Rank]
	return check(o).activations(&o.Y, &o.A, &o.B).ints(&o.Cond).
		shape("Cond", &o.Cond, shape...).shape("A", &o.A, shape...).shape("B", &o.B, shape...).done()
}
