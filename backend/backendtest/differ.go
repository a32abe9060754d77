package backendtest

import "github.com/aha-go/aha/backend"

// Difference is the comparison of two backends on one case.
type Difference struct {
	Result        // the backend compared with the definition
	Ref    Result // the reference backend compared with the definition

	// Apart is the largest difference between elements of the two results, as a multiple
	// of the element's allowed error. Two backends that pass may be 2 apart, but elements
	// that the definition determines exactly must be equal. It is 0 if one of the
	// backends has no result.
	Apart float64
}

// Lacks reports whether the backend lacks an op that the reference has.
func (d Difference) Lacks() bool { return d.Unsupported && !d.Ref.Unsupported && d.Ref.Skipped == "" }

// Differ runs c with the same operands on ref and b. It compares each with the definition
// and both with each other.
func Differ(ref, b backend.Backend, c Case) Difference {
	r, s := run(b, c, b.Do)
	q, t := run(ref, c, ref.Do)
	d := Difference{Result: r, Ref: q}
	if s == nil || t == nil {
		return d
	}
	for i, o := range s.operands {
		for j, got := range o.got {
			if other := t.operands[i].got; o.set[j] && len(other) > 0 {
				_, within := o.allowed(c.Op, j)
				d.Apart = max(d.Apart, excess(got, other[j], within))
			}
		}
	}
	return d
}
