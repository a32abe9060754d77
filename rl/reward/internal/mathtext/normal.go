package mathtext

import (
	"math/big"
	"slices"
	"strings"
)

// normal returns the normal form of an expression.
func (a *algebra) normal(n *node) fraction {
	a.spend(1)
	switch n.kind {
	case number:
		return a.number(n.num)
	case symbol:
		return a.symbol(n.text)
	case sum:
		f := a.normal(n.args[0])
		for _, m := range n.args[1:] {
			f = a.sum(f, a.normal(m))
		}
		return f
	case negation:
		return a.negate(a.normal(n.args[0]))
	case product:
		f := a.normal(n.args[0])
		for _, m := range n.args[1:] {
			f = a.product(f, a.normal(m))
		}
		return f
	case quotient, ratio:
		f := a.normal(n.args[0])
		for _, m := range n.args[1:] {
			f = a.product(f, a.reciprocal(a.normal(m)))
		}
		return f
	case percent:
		return a.product(a.normal(n.args[0]), a.number(big.NewRat(1, 100)))
	case power:
		return a.power(a.normal(n.args[0]), a.normal(n.args[1]))
	case call:
		return a.call(n)
	}
	fail(errNoNumber, "%s", kindNames[n.kind])
	return fraction{}
}

// symbol returns a variable or constant.
func (a *algebra) symbol(name string) fraction {
	switch {
	case name == "i":
		return a.monomial(monomial{{a.imaginary(), exponent{1, 1}}})
	case name == `\infty`:
		fail(errNoNumber, "infinity in an expression")
	case constants[name]:
		return a.named("constant "+name, atom{})
	case a.fold:
		name = strings.ToLower(name)
	}
	return a.named("variable "+name, atom{})
}

// power returns f to the power g.
func (a *algebra) power(f, g fraction) fraction {
	if e, ok := g.constant(); ok {
		if !e.Num().IsInt64() || !e.Denom().IsInt64() || e.Denom().Int64() > maxPower {
			if r, ok := f.constant(); ok && e.IsInt() && r.Sign() >= 0 && r.Cmp(big.NewRat(1, 1)) <= 0 && r.IsInt() {
				return f // 0 and 1
			}
			fail(ErrTooBig, "a power of %d bits", max(e.Num().BitLen(), e.Denom().BitLen()))
		}
		if e.IsInt() {
			return a.integerPower(f, e.Num().Int64())
		}
		if n := e.Num().Int64(); n > maxPower || n < -maxPower {
			fail(ErrTooBig, "a power of %d", n)
		}
		return a.fractionalPower(f, exponent{e.Num().Int64(), e.Denom().Int64()})
	}
	// The result is a product with a power for each term of the exponent: 2^(x+1) is 2^x · 2.
	d, flat := g.den.constant()
	base, ok := a.baseAtoms(f)
	if !flat || !ok {
		return a.function("power", f, g)
	}
	result := a.number(big.NewRat(1, 1))
	for _, t := range g.num.sorted() {
		c := new(big.Rat).Quo(t.coef, d)
		if len(t.mono) == 0 {
			result = a.product(result, a.power(f, fraction{rational(c), whole(1)}))
			continue
		}
		if !c.Num().IsInt64() || !c.Denom().IsInt64() {
			fail(ErrTooBig, "an exponent of %d bits", c.Num().BitLen())
		}
		for _, b := range base {
			e := newExponent(c.Num().Int64(), c.Denom().Int64()).times(b.exp)
			i := a.atom("power "+monomial{{b.atom, exponent{1, 1}}}.key()+" "+t.mono.key(), atom{})
			result = a.product(result, a.monomial(monomial{{i, e}}))
		}
		a.opaque = a.opaque || !a.plain(t.mono)
	}
	return result
}

// plain reports whether all atoms of m are variables and constants with integer exponents.
func (a *algebra) plain(m monomial) bool {
	return !slices.ContainsFunc(m, func(f factor) bool {
		return a.atoms[f.atom].kind != variable || f.exp.den != 1 || f.exp.num < 0
	})
}

// baseAtoms returns the atoms of f if it can be the base of a power with any exponent: a
// positive rational number, a variable or e.
func (a *algebra) baseAtoms(f fraction) (monomial, bool) {
	if r, ok := f.constant(); ok {
		if r.Sign() <= 0 {
			return nil, false
		}
		var m monomial
		for sign, part := range []*big.Int{r.Num(), r.Denom()} {
			for _, p := range a.factorise(part) {
				m = append(m, factor{a.primeAtom(p.value), exponent{int64(1-2*sign) * p.count, 1}})
			}
		}
		return m, true
	}
	t, ok := f.num.single()
	d, flat := f.den.constant()
	one := big.NewRat(1, 1)
	if !ok || !flat || d.Cmp(one) != 0 || t.coef.Cmp(one) != 0 || len(t.mono) != 1 || t.mono[0].exp != (exponent{1, 1}) ||
		a.atoms[t.mono[0].atom].kind != variable {
		return nil, false
	}
	return t.mono, true
}

// function returns an atom for the value of a function, identified by name and arguments.
func (a *algebra) function(name string, args ...fraction) fraction {
	a.opaque = true
	key := "call " + name
	for _, f := range args {
		key += " (" + f.num.key() + ")/(" + f.den.key() + ")"
		a.spend(len(f.num) + len(f.den))
	}
	return a.named(key, atom{})
}

// call returns the value of a function, exactly if possible and otherwise as an atom.
func (a *algebra) call(n *node) fraction {
	args := make([]fraction, len(n.args))
	for i, m := range n.args {
		args[i] = a.normal(m)
	}
	values := make([]*big.Rat, len(args))
	exact := true
	for i, f := range args {
		r, ok := f.constant()
		values[i], exact = r, exact && ok
	}
	switch n.text {
	case "root":
		if r, ok := args[1].constant(); ok && r.Sign() == 0 {
			fail(ErrUndefined, "a root of index 0")
		}
		return a.power(args[0], a.reciprocal(args[1]))
	case "exp":
		return a.power(a.symbol("e"), args[0])
	case "ln":
		return a.logarithm(args[0])
	case "lg":
		return a.product(a.logarithm(args[0]), a.reciprocal(a.logarithm(a.number(big.NewRat(10, 1)))))
	case "log":
		base := a.number(big.NewRat(10, 1))
		if len(args) == 2 {
			base = args[1]
		}
		return a.product(a.logarithm(args[0]), a.reciprocal(a.logarithm(base)))
	case "abs":
		return a.magnitude(args[0])
	}
	if n.text == "binom" && values[0] == nil && values[1] != nil && values[1].IsInt() && values[1].Sign() >= 0 &&
		values[1].Cmp(big.NewRat(20, 1)) <= 0 {
		return a.falling(args[0], values[1].Num().Int64())
	}
	if exact {
		if r := a.exactly(n.text, values); r != nil {
			return a.number(r)
		}
	}
	return a.function(n.text, args...)
}

// logarithm returns ln f. For a rational number it is a sum of logarithms of primes.
func (a *algebra) logarithm(f fraction) fraction {
	if r, ok := f.constant(); ok {
		if r.Sign() == 0 {
			fail(ErrUndefined, "the logarithm of zero")
		}
		if r.Sign() > 0 {
			p := polynomial{}
			for sign, part := range []*big.Int{r.Num(), r.Denom()} {
				for _, f := range a.factorise(part) {
					i := a.atom("ln "+f.value.String(), atom{kind: logarithmic})
					a.add(p, term{big.NewRat(int64(1-2*sign)*f.count, 1), monomial{{i, exponent{1, 1}}}})
				}
			}
			return fraction{p, whole(1)}
		}
	}
	if equalPolynomials(f.num, a.symbol("e").num) && equalPolynomials(f.den, whole(1)) {
		return a.number(big.NewRat(1, 1))
	}
	return a.function("ln", f)
}

// magnitude returns |f|.
func (a *algebra) magnitude(f fraction) fraction {
	if r, ok := f.constant(); ok {
		return a.number(new(big.Rat).Abs(r))
	}
	t, ok := f.num.single()
	if d, flat := f.den.constant(); ok && flat && len(t.mono) == 1 && a.atoms[t.mono[0].atom].kind == variable {
		m := monomial{{a.absolute(t.mono[0].atom), t.mono[0].exp}}
		p := polynomial{}
		c := new(big.Rat).Quo(t.coef, d)
		a.timesTerm(p, term{c.Abs(c), m}, term{coef: big.NewRat(1, 1)})
		return fraction{p, whole(1)}
	}
	return a.function("abs", f)
}

// falling returns the binomial coefficient of f and k, a polynomial in f.
func (a *algebra) falling(f fraction, k int64) fraction {
	result := a.number(big.NewRat(1, 1))
	for i := range k {
		result = a.product(result, a.sum(f, a.number(big.NewRat(-i, 1))))
		result = a.product(result, a.number(big.NewRat(1, i+1)))
	}
	return result
}

// exactly returns the exact value of a function for rational arguments, or nil.
func (a *algebra) exactly(name string, v []*big.Rat) *big.Rat {
	integers := !slices.ContainsFunc(v, func(r *big.Rat) bool { return !r.IsInt() || r.Num().BitLen() > 62 })
	switch name {
	case "!", "binom":
		if !integers || v[0].Sign() < 0 || name == "binom" && v[1].Sign() < 0 {
			return nil
		}
		n := v[0].Num().Int64()
		if name == "!" && n > 500 || name == "binom" && n > maxBits {
			fail(ErrTooBig, "a factorial of %d", n)
		}
		a.spend(int(n))
		if name == "!" {
			return new(big.Rat).SetInt(new(big.Int).MulRange(1, n))
		}
		k := v[1].Num().Int64()
		if k > n {
			return new(big.Rat)
		}
		if min(k, n-k) > 500 {
			fail(ErrTooBig, "a binomial coefficient of %d and %d", n, k)
		}
		a.spend(20 * int(min(k, n-k)))
		return new(big.Rat).SetInt(new(big.Int).Binomial(n, min(k, n-k)))
	case "floor", "ceil":
		q, m := new(big.Int).DivMod(v[0].Num(), v[0].Denom(), new(big.Int))
		if name == "ceil" && m.Sign() != 0 {
			q.Add(q, big.NewInt(1))
		}
		return new(big.Rat).SetInt(q)
	case "max":
		return slices.MaxFunc(v, (*big.Rat).Cmp)
	case "min":
		return slices.MinFunc(v, (*big.Rat).Cmp)
	case "gcd", "lcm":
		if !integers {
			return nil
		}
		r := new(big.Int).Abs(v[0].Num())
		for _, w := range v[1:] {
			g := new(big.Int).GCD(nil, nil, r, new(big.Int).Abs(w.Num()))
			if name == "lcm" && g.Sign() != 0 {
				r.Mul(r, new(big.Int).Quo(new(big.Int).Abs(w.Num()), g))
				a.check(new(big.Rat).SetInt(r))
			} else {
				r = g
			}
		}
		return new(big.Rat).SetInt(r)
	}
	return nil
}
