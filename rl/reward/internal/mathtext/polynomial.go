package mathtext

import (
	"encoding/binary"
	"math/big"
	"slices"
)

// exponent is a rational exponent in lowest terms; den is above 0.
type exponent struct{ num, den int64 }

// maxExponent is the maximum of the numerator and the denominator of an exponent.
const maxExponent = 1 << 20

func newExponent(num, den int64) exponent {
	a, b := max(num, -num), den
	for b != 0 {
		a, b = b, a%b
	}
	if a > 1 {
		num, den = num/a, den/a
	}
	if num > maxExponent || num < -maxExponent || den > maxExponent {
		fail(ErrTooBig, "an exponent of %d/%d", num, den)
	}
	return exponent{num, den}
}

func (e exponent) plus(f exponent) exponent {
	return newExponent(e.num*f.den+f.num*e.den, e.den*f.den)
}

func (e exponent) times(f exponent) exponent { return newExponent(e.num*f.num, e.den*f.den) }

// whole returns the largest integer that is at most e.
func (e exponent) whole() int64 {
	q := e.num / e.den
	if e.num%e.den < 0 {
		q--
	}
	return q
}

func (e exponent) isEven() bool { return e.den == 1 && e.num%2 == 0 }

// factor is an atom with an exponent other than 0.
type factor struct {
	atom int
	exp  exponent
}

// monomial is a product of powers of atoms, ordered by the index of the atom.
type monomial []factor

// key identifies a monomial.
func (m monomial) key() string {
	b := make([]byte, 0, 8*len(m))
	for _, f := range m {
		b = binary.AppendUvarint(b, uint64(f.atom))
		b = binary.AppendVarint(b, f.exp.num)
		b = binary.AppendVarint(b, f.exp.den)
	}
	return string(b)
}

// times returns the product of two monomials.
func (m monomial) times(o monomial) monomial {
	r := make(monomial, 0, len(m)+len(o))
	for len(m) > 0 && len(o) > 0 {
		switch {
		case m[0].atom < o[0].atom:
			r, m = append(r, m[0]), m[1:]
		case m[0].atom > o[0].atom:
			r, o = append(r, o[0]), o[1:]
		default:
			if e := m[0].exp.plus(o[0].exp); e.num != 0 {
				r = append(r, factor{m[0].atom, e})
			}
			m, o = m[1:], o[1:]
		}
	}
	return append(append(r, m...), o...)
}

// term is a monomial with a coefficient other than 0.
type term struct {
	coef *big.Rat
	mono monomial
}

// polynomial is a sum of terms, indexed by the keys of their monomials. Exponents may be
// negative or fractions.
type polynomial map[string]term

func (p polynomial) add(t term) {
	key := t.mono.key()
	if old, ok := p[key]; ok {
		t.coef = new(big.Rat).Add(old.coef, t.coef)
	}
	if t.coef.Sign() == 0 {
		delete(p, key)
	} else {
		p[key] = t
	}
}

// single returns the term of p if there is only one.
func (p polynomial) single() (term, bool) {
	if len(p) != 1 {
		return term{}, false
	}
	for _, t := range p {
		return t, true
	}
	panic("unreachable")
}

// constant returns the value of p if it is a rational number.
func (p polynomial) constant() (*big.Rat, bool) {
	if len(p) == 0 {
		return new(big.Rat), true
	}
	t, ok := p.single()
	return t.coef, ok && len(t.mono) == 0
}

// sorted returns the terms of p by key.
func (p polynomial) sorted() []term {
	keys := make([]string, 0, len(p))
	for key := range p {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	terms := make([]term, len(keys))
	for i, key := range keys {
		terms[i] = p[key]
	}
	return terms
}

// key identifies a polynomial.
func (p polynomial) key() string {
	var b []byte
	for _, t := range p.sorted() {
		b = append(append(append(b, t.coef.RatString()...), '*'), t.mono.key()...)
		b = append(b, '+')
	}
	return string(b)
}

// fraction is a quotient of polynomials; den is not 0.
type fraction struct{ num, den polynomial }

// constant returns the value of f if its numerator and denominator are rational numbers.
func (f fraction) constant() (*big.Rat, bool) {
	n, ok := f.num.constant()
	d, also := f.den.constant()
	if !ok || !also {
		return nil, false
	}
	return new(big.Rat).Quo(n, d), true
}
