package mathtext

import (
	"math/big"
)

// trialLimit is the limit of the primes for trial division of numbers in roots and logarithms.
const trialLimit = 1000

// primeFactor is a prime, or a number without small divisors, with its multiplicity.
type primeFactor struct {
	value *big.Int
	count int64
}

// factorise returns the prime factors of n > 0. The remainder of trial division counts as a
// prime; if that is not certain, factorise sets opaque.
func (a *algebra) factorise(n *big.Int) []primeFactor {
	var factors []primeFactor
	n = new(big.Int).Set(n)
	words := len(n.Bits())
	a.spend(1 + 20*words)
	var q, r big.Int
	for d := int64(2); d < trialLimit && n.BitLen() > 1; d++ {
		p := big.NewInt(d)
		count := int64(0)
		for {
			q.QuoRem(n, p, &r)
			if a.spend(1 + len(n.Bits())/8); r.Sign() != 0 {
				break
			}
			n.Set(&q)
			count++
		}
		if count > 0 {
			factors = append(factors, primeFactor{p, count})
		}
		if n.BitLen() <= 20 && d*d > n.Int64() {
			break
		}
	}
	if n.BitLen() > 1 {
		if n.BitLen() > 2*9 { // above trialLimit², roughly
			a.spend(50 + 10*words*words*words)
			if n.BitLen() > 256 || !n.ProbablyPrime(1) {
				if root := new(big.Int).Sqrt(n); new(big.Int).Mul(root, root).Cmp(n) == 0 {
					return append(factors, primeFactor{root, 2})
				}
				a.opaque = true
			}
		}
		factors = append(factors, primeFactor{n, 1})
	}
	return factors
}

// primeAtom returns the atom of a prime.
func (a *algebra) primeAtom(p *big.Int) int {
	return a.atom("prime "+p.String(), atom{kind: prime, value: p})
}

// ratRoot returns r^e for r ≥ 0 as a product of roots of primes.
func (a *algebra) ratRoot(r *big.Rat, e exponent) fraction {
	if r.Sign() == 0 {
		if e.num < 0 {
			fail(ErrUndefined, "division by zero")
		}
		return a.number(new(big.Rat))
	}
	result := a.number(big.NewRat(1, 1))
	for sign, part := range []*big.Int{r.Num(), r.Denom()} {
		for _, f := range a.factorise(part) {
			p := polynomial{}
			m := monomial{{a.primeAtom(f.value), e.times(newExponent(int64(1-2*sign)*f.count, 1))}}
			a.timesTerm(p, term{big.NewRat(1, 1), m}, term{coef: big.NewRat(1, 1)})
			result = fraction{a.times(result.num, p), result.den}
		}
	}
	return result
}

// fractionalPower returns f^e for an e that is not an integer. Odd roots of negative numbers are
// negative, square roots are imaginary.
func (a *algebra) fractionalPower(f fraction, e exponent) fraction {
	num, den := a.root(f.num, e), a.root(f.den, e)
	return a.product(num, a.reciprocal(den))
}

// root returns p^e for an e that is not an integer.
func (a *algebra) root(p polynomial, e exponent) fraction {
	if len(p) == 0 {
		return a.ratRoot(new(big.Rat), e)
	}
	if t, ok := p.single(); ok {
		return a.termRoot(t, e)
	}
	// The common factor of the coefficients is taken out of the root.
	terms := p.sorted()
	numerators, denominators := new(big.Int), big.NewInt(1)
	for _, t := range terms {
		a.check(t.coef)
		numerators.GCD(nil, nil, numerators, new(big.Int).Abs(t.coef.Num()))
		g := new(big.Int).GCD(nil, nil, denominators, t.coef.Denom())
		denominators.Mul(denominators, new(big.Int).Quo(t.coef.Denom(), g))
	}
	content := new(big.Rat).SetFrac(numerators, denominators)
	a.check(content)
	inside := a.times(p, rational(new(big.Rat).Inv(content)))
	i := a.atom("root "+inside.key(), atom{kind: radicand, base: inside})
	a.opaque = true // for example, √(3+2√2) equals 1+√2
	result := a.ratRoot(content, e)
	k := e.whole()
	if k < 0 {
		return a.product(result, a.reciprocal(a.root(inside, exponent{-e.num, e.den})))
	}
	q := polynomial{}
	a.timesTerm(q, term{big.NewRat(1, 1), monomial{{i, e}}}, term{coef: big.NewRat(1, 1)})
	return a.product(result, fraction{q, whole(1)})
}

// termRoot returns t^e for an e that is not an integer.
func (a *algebra) termRoot(t term, e exponent) fraction {
	result := a.ratRoot(new(big.Rat).Abs(t.coef), e)
	if t.coef.Sign() < 0 {
		switch {
		case e.den%2 == 1:
			if e.num%2 != 0 {
				result = a.negate(result)
			}
		case e.den == 2:
			m := monomial{{a.imaginary(), newExponent(e.num, 1)}}
			p := polynomial{}
			a.timesTerm(p, term{big.NewRat(1, 1), m}, term{coef: big.NewRat(1, 1)})
			result = a.product(result, fraction{p, whole(1)})
		default:
			a.opaque = true
			result = a.product(result, a.named("root of unity "+monomial{{0, e}}.key(), atom{}))
		}
	}
	p := polynomial{}
	p.add(term{coef: big.NewRat(1, 1)})
	for _, f := range t.mono {
		g := factor{f.atom, f.exp.times(e)}
		switch kind := a.atoms[f.atom].kind; {
		case kind == imaginary:
			a.opaque = true
		case kind == variable && f.exp.isEven() && !g.exp.isEven() && e.den%2 == 0:
			g.atom = a.absolute(f.atom)
		}
		q := polynomial{}
		for _, u := range p {
			a.timesTerm(q, u, term{big.NewRat(1, 1), monomial{g}})
		}
		p = q
	}
	return a.product(result, fraction{p, whole(1)})
}

func (a *algebra) imaginary() int { return a.atom("i", atom{kind: imaginary}) }

// absolute returns the atom of |inner|.
func (a *algebra) absolute(inner int) int {
	m := monomial{{inner, exponent{1, 1}}}
	return a.atom("abs "+m.key(), atom{kind: absolute, inner: inner})
}
