package countdown

import "math/rand/v2"

// check returns a document of ":T" and 4–8 lines, each with one operation, "?T" and the
// right verdict: half of the results equal T, a quarter differ from it by a little, and
// the rest are random.
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

// arithmetic returns a document of 3–8 lines with one exact operation each.
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

// randomOperation returns a random operation with operands like those of a try's second
// operation: a first result, which is at most twice the largest number, and a number.
func (k Task) randomOperation(random *rand.Rand) operation {
	for {
		op := Plus + random.Int32N(2)
		o := combine(op, 1+random.IntN(2*k.MaxNumber), 1+random.IntN(k.MaxNumber))
		if o.allowed() {
			return swapped(random, o)
		}
	}
}

// reaching returns a random operation with the given result. One operand is at most
// MaxNumber.
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
