package mathtext

import (
	"math/big"
)

// atomKind is the kind of an atom.
type atomKind uint8

const (
	variable    atomKind = iota // a variable, π, e, or the value of a function
	logarithmic                 // the natural logarithm of a prime
	imaginary                   // i
	prime                       // a prime number, with exponents between 0 and 1
	radicand                    // a polynomial, with exponents between 0 and 1
	absolute                    // |inner|
)

// atom is an indivisible factor of a monomial.
type atom struct {
	kind  atomKind
	value *big.Int   // value of a prime
	base  polynomial // polynomial of a radicand
	inner int        // index of the atom in an absolute value
}

// algebra computes normal forms of expressions, which are quotients of polynomials in atoms.
// Roots of rational numbers become products of roots of primes. These are linearly independent
// over the rational numbers, so sums of roots are equal only if their terms are equal.
// Expressions that are compared share an algebra.
type algebra struct {
	atoms []atom
	index map[string]int
	steps int
	fold  bool // upper-case and lower-case letters are the same
	// opaque is set if the normal form has atoms with unknown relations, such as sin x and
	// cos x: expressions with different forms may then be equal.
	opaque bool
}

func newAlgebra(steps int) *algebra { return &algebra{index: map[string]int{}, steps: steps} }

// spend counts n steps, and fails if none are left.
func (a *algebra) spend(n int) {
	if a.steps -= n; a.steps < 0 {
		fail(ErrTooBig, "more than %d steps of algebra", maxSteps)
	}
}

// check fails if a number is too big, and counts the steps of arithmetic with it.
func (a *algebra) check(r *big.Rat) {
	bits := max(r.Num().BitLen(), r.Denom().BitLen())
	if bits > maxBits {
		fail(ErrTooBig, "a number of %d bits, limit %d", bits, maxBits)
	}
	words := bits / 64
	a.spend(1 + words*words/8)
}

// atom returns the index of the atom with the given key, which is made if it is new.
func (a *algebra) atom(key string, made atom) int {
	if i, ok := a.index[key]; ok {
		return i
	}
	a.atoms = append(a.atoms, made)
	a.index[key] = len(a.atoms) - 1
	return len(a.atoms) - 1
}

func rational(r *big.Rat) polynomial {
	p := polynomial{}
	p.add(term{coef: r})
	return p
}

func whole(n int64) polynomial { return rational(new(big.Rat).SetInt64(n)) }

func (a *algebra) number(r *big.Rat) fraction {
	a.check(r)
	return fraction{rational(r), whole(1)}
}

// named returns the atom with the given key as an expression.
func (a *algebra) named(key string, made atom) fraction {
	return a.monomial(monomial{{a.atom(key, made), exponent{1, 1}}})
}

func (a *algebra) monomial(m monomial) fraction {
	p := polynomial{}
	p.add(term{big.NewRat(1, 1), m})
	return fraction{p, whole(1)}
}

// timesTerm adds t·u to p, after simplifying powers of atoms, such as i² and √2².
func (a *algebra) timesTerm(p polynomial, t, u term) {
	coef := new(big.Rat).Mul(t.coef, u.coef)
	a.check(coef)
	mono := t.mono.times(u.mono)
	a.spend(1 + len(mono))
	kept := make(monomial, 0, len(mono))
	var bases []factor // radicands with the integer parts of their exponents
	for _, f := range mono {
		at, k := a.atoms[f.atom], f.exp.whole()
		switch {
		case at.kind == imaginary && f.exp.den == 1:
			if r := ((f.exp.num % 4) + 4) % 4; r >= 2 {
				coef.Neg(coef)
			}
			if f.exp.num%2 == 0 {
				continue
			}
			f.exp = exponent{1, 1}
		case at.kind == prime && k != 0:
			coef.Mul(coef, a.ratPower(new(big.Rat).SetInt(at.value), k))
			a.check(coef)
			f.exp = f.exp.plus(exponent{-k, 1})
		case at.kind == radicand && k > 0:
			bases = append(bases, factor{f.atom, exponent{k, 1}})
			f.exp = f.exp.plus(exponent{-k, 1})
		case at.kind == absolute && f.exp.isEven():
			kept = kept.times(monomial{{at.inner, f.exp}})
			continue
		}
		if f.exp.num != 0 {
			kept = kept.times(monomial{f})
		}
	}
	product := polynomial{}
	product.add(term{coef, kept})
	for _, b := range bases {
		for range b.exp.num {
			product = a.times(product, a.atoms[b.atom].base)
		}
	}
	for _, t := range product {
		a.add(p, t)
	}
}

// add adds t to p.
func (a *algebra) add(p polynomial, t term) {
	a.check(t.coef)
	if p.add(t); len(p) > maxTerms {
		fail(ErrTooBig, "a polynomial of more than %d terms", maxTerms)
	}
}

func (a *algebra) times(p, q polynomial) polynomial {
	r := polynomial{}
	for _, t := range p {
		for _, u := range q {
			a.timesTerm(r, t, u)
		}
	}
	return r
}

func (a *algebra) plus(p, q polynomial) polynomial {
	r := polynomial{}
	for _, t := range p {
		a.add(r, t)
	}
	for _, t := range q {
		a.add(r, t)
	}
	return r
}

func (a *algebra) sum(f, g fraction) fraction {
	if equalPolynomials(f.den, g.den) {
		return fraction{a.plus(f.num, g.num), f.den}
	}
	return fraction{a.plus(a.times(f.num, g.den), a.times(g.num, f.den)), a.times(f.den, g.den)}
}

func equalPolynomials(p, q polynomial) bool {
	if len(p) != len(q) {
		return false
	}
	for key, t := range p {
		if u, ok := q[key]; !ok || t.coef.Cmp(u.coef) != 0 {
			return false
		}
	}
	return true
}

func (a *algebra) product(f, g fraction) fraction {
	switch {
	case equalPolynomials(f.num, g.den):
		return fraction{g.num, f.den}
	case equalPolynomials(g.num, f.den):
		return fraction{f.num, g.den}
	}
	return fraction{a.times(f.num, g.num), a.times(f.den, g.den)}
}

func (a *algebra) negate(f fraction) fraction { return fraction{a.times(f.num, whole(-1)), f.den} }

// reciprocal returns 1/f. A single term without roots of polynomials is inverted in the
// numerator, by negative exponents.
func (a *algebra) reciprocal(f fraction) fraction {
	if len(f.num) == 0 {
		fail(ErrUndefined, "division by zero")
	}
	t, ok := f.num.single()
	for _, g := range t.mono {
		ok = ok && a.atoms[g.atom].kind != radicand
	}
	if !ok {
		return fraction{f.den, f.num}
	}
	inverse := make(monomial, len(t.mono))
	for i, g := range t.mono {
		inverse[i] = factor{g.atom, exponent{-g.exp.num, g.exp.den}}
	}
	p := polynomial{}
	a.timesTerm(p, term{new(big.Rat).Inv(t.coef), inverse}, term{coef: big.NewRat(1, 1)})
	return fraction{a.times(f.den, p), whole(1)}
}

// difference returns the numerator of f − g, which is zero if f and g are equal.
func (a *algebra) difference(f, g fraction) polynomial {
	return a.sum(f, a.negate(g)).num
}

// ratPower returns r to the power n.
func (a *algebra) ratPower(r *big.Rat, n int64) *big.Rat {
	if n < 0 {
		if r.Sign() == 0 {
			fail(ErrUndefined, "division by zero")
		}
		return a.ratPower(new(big.Rat).Inv(r), -n)
	}
	bits := int64(max(r.Num().BitLen(), r.Denom().BitLen()) - 1)
	if bits > 0 && (n > maxPower || n*bits > maxBits) {
		fail(ErrTooBig, "a number of %d bits or more to the power %d", bits, n)
	}
	if bits == 0 && n > 0 { // 0, 1 and −1
		n = 2 - n&1
	}
	e := big.NewInt(n)
	p := new(big.Rat).SetFrac(new(big.Int).Exp(r.Num(), e, nil), new(big.Int).Exp(r.Denom(), e, nil))
	a.check(p)
	return p
}

// integerPower returns f to the power n.
func (a *algebra) integerPower(f fraction, n int64) fraction {
	if n < 0 {
		return a.integerPower(a.reciprocal(f), -n)
	}
	if r, ok := f.constant(); ok {
		return a.number(a.ratPower(r, n))
	}
	if n > maxPower {
		fail(ErrTooBig, "a power of %d", n)
	}
	r := a.number(big.NewRat(1, 1))
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			r = fraction{a.times(r.num, f.num), a.times(r.den, f.den)}
		}
		if n > 1 {
			f = fraction{a.times(f.num, f.num), a.times(f.den, f.den)}
		}
	}
	return r
}
