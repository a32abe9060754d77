package countdown

import "math/rand/v2"

// check writes ":T" and 4–8 lines of one operation with "?T" and a true verdict:
// half of the results equal T, a quarter miss it narrowly, the rest are random.
func (k Task) check(random *rand.Rand) Document {
	target := minTarget + random.IntN(k.MaxTarget-minTarget+1)
	t := text{BOS, Colon}
	t.number(target)
	for range 4 + random.IntN(5) {
		var o operation
		switch random.IntN(4) {
		case 0, 1:
			o = k.reaching(random, target)
		case 2:
			o = k.reaching(random, near(random, target, maxResult))
		default:
			o = k.randomOperation(random)
		}
		t.put(Newline)
		t.operation(o)
		t.verdict(target, o.result == target)
	}
	t.put(EOS)
	return Document{Tokens: t, Kind: Check}
}

// arithmetic writes 3–8 lines of one exact operation.
func (k Task) arithmetic(random *rand.Rand) Document {
	t := text{BOS}
	for i := range 3 + random.IntN(6) {
		if i > 0 {
			t.put(Newline)
		}
		t.operation(k.randomOperation(random))
	}
	t.put(EOS)
	return Document{Tokens: t, Kind: Arithmetic}
}

// randomOperation draws operands of the size a try's second step has: a first
// result, at most twice the largest number, and a number.
func (k Task) randomOperation(random *rand.Rand) operation {
	for {
		op := Plus + random.Int32N(2)
		o := combine(op, 1+random.IntN(2*k.MaxNumber), 1+random.IntN(k.MaxNumber))
		if o.allowed() {
			return swapped(random, o)
		}
	}
}

// reaching draws an operation with the given result, one operand being a number
// of a problem.
func (k Task) reaching(random *rand.Rand, result int) operation {
	for {
		n := 1 + random.IntN(k.MaxNumber)
		if random.IntN(2) == 0 && n < result {
			return swapped(random, combine(Plus, result-n, n))
		}
		if result+n <= maxResult {
			return combine(Minus, result+n, n)
		}
	}
}

// swapped swaps the operands of an addition with probability 1/2.
func swapped(random *rand.Rand, o operation) operation {
	if o.op == Plus && random.IntN(2) == 1 {
		o.a, o.b = o.b, o.a
	}
	return o
}
