package countdown

import "math/rand/v2"

// operation is one operation of a trace, "a op b = result". The result is the one in the
// text, which may be wrong.
type operation struct {
	op           int32 // Plus or Minus
	a, b, result int
}

// combine returns the exact operation on a and b. A difference is the larger minus the
// smaller.
func combine(op int32, a, b int) operation {
	if op == Plus {
		return operation{Plus, a, b, a + b}
	}
	a, b = max(a, b), min(a, b)
	return operation{Minus, a, b, a - b}
}

// allowed reports whether the result is in the range that tries may have.
func (o operation) allowed() bool { return 1 <= o.result && o.result <= maxResult }

// try is a way to combine three numbers: first combines a and b, and second combines
// their result and c.
type try struct {
	first, second int32 // Plus or Minus
	a, b, c       int
	value         int // result of the second operation
}

// tries returns the allowed tries of three numbers: there are three choices of the first
// pair and two operators for each operation; an addition counts once for both orders, and
// all results must be from 1 to 99. If numbers are equal, a try may occur twice.
func tries(n [3]int) []try {
	all := make([]try, 0, 12)
	operators := [...]int32{Plus, Minus}
	for _, pick := range [...][3]int{{0, 1, 2}, {0, 2, 1}, {1, 2, 0}} {
		a, b, c := n[pick[0]], n[pick[1]], n[pick[2]]
		for _, first := range operators {
			one := combine(first, a, b)
			if !one.allowed() {
				continue
			}
			for _, second := range operators {
				two := combine(second, one.result, c)
				if two.allowed() {
					all = append(all, try{first, second, a, b, c, two.result})
				}
			}
		}
	}
	return all
}

// written is a try as it is written in a trace, with its errors.
type written struct {
	first, second operation
	c             int
	resultFirst   bool // second is "result op c", where result is that of first, not "c − result"
}

// write chooses the order of a first addition and makes each result wrong with
// probability slip. The second operation uses the result of the first as written, so a
// wrong result can make the second result 0.
func (t try) write(random *rand.Rand, slip float64) written {
	w := written{first: combine(t.first, t.a, t.b), c: t.c}
	if t.first == Plus && random.IntN(2) == 1 {
		w.first.a, w.first.b = w.first.b, w.first.a
	}
	if random.Float64() < slip {
		limit := maxResult
		if t.second == Plus {
			limit -= t.c
		}
		w.first.result = near(random, w.first.result, limit)
	}
	w.second = combine(t.second, w.first.result, t.c)
	w.resultFirst = t.second == Plus || w.first.result >= t.c
	if random.Float64() < slip {
		w.second.result = near(random, w.second.result, maxResult)
	}
	return w
}

// near returns a random number from 1 to limit that differs from n by 1, 2 or 10.
func near(random *rand.Rand, n, limit int) int {
	offsets := [...]int{-10, -2, -1, 1, 2, 10}
	for {
		m := n + offsets[random.IntN(len(offsets))]
		if 1 <= m && m <= limit {
			return m
		}
	}
}

// expression is a final answer: "a first b second c", or "c second (a first b)".
type expression struct {
	first, second int32
	numbers       [3]int // a, b, c
	pairFirst     bool
}

// expression returns the try as an answer.
func (w written) expression() expression {
	return expression{w.first.op, w.second.op, [3]int{w.first.a, w.first.b, w.c}, w.resultFirst}
}

// value evaluates the answer exactly.
func (e expression) value() int {
	apply := func(op int32, a, b int) int {
		if op == Plus {
			return a + b
		}
		return a - b
	}
	pair := apply(e.first, e.numbers[0], e.numbers[1])
	if e.pairFirst {
		return apply(e.second, pair, e.numbers[2])
	}
	return apply(e.second, e.numbers[2], pair)
}

// expression appends the answer's tokens.
func (t *text) expression(e expression) {
	pair := func() {
		t.number(e.numbers[0])
		t.put(e.first)
		t.number(e.numbers[1])
	}
	if e.pairFirst {
		pair()
		t.put(e.second)
		t.number(e.numbers[2])
		return
	}
	t.number(e.numbers[2])
	t.put(e.second, ParenOpen)
	pair()
	t.put(ParenClose)
}
