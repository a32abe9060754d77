package backend

// Supporter is a backend that can report which ops it has without running them.
type Supporter interface {
	// Supports reports whether the backend has kernels for the op of that name on
	// activations of dt.
	Supports(op string, dt DType) bool
}

// Supports reports whether b has kernels of its own for the op of that name, such as
// "RMSNorm", on activations of dt. It returns false if b is not a Supporter: only Do then
// shows whether b has the op.
func Supports(b Backend, op string, dt DType) bool {
	s, ok := b.(Supporter)
	return ok && s.Supports(op, dt)
}

// lacks reports whether b is a Supporter without kernels for op on the dtype of any
// operand that may be an activation. A backend that is not a Supporter lacks nothing.
func lacks(b Backend, op Op) bool {
	if !Supports(b, "MatMul", F32) {
		return false
	}
	has, floats := false, false
	op.Operands(func(v *View, _ Access) {
		if !has && v.DType.IsFloat() {
			floats = true
			has = Supports(b, op.Name(), v.DType)
		}
	})
	if !floats {
		has = Supports(b, op.Name(), F32)
	}
	return !has
}

// Supports reports whether either backend has the op.
func (f *Fallbacker) Supports(op string, dt DType) bool {
	return Supports(f.Backend, op, dt) || Supports(f.second, op, dt)
}
