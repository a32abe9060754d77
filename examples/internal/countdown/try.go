package countdown

import "math/rand/v2"

// operation is one written step, "a op b = result". The result is what the text
// shows: a slip makes it wrong.
type operation struct {
	op           int32 // Plus or Minus
	a, b, result int
}

// combine returns the exact operation on a and b; a difference takes the smaller
// from the larger.
func combine(op int32, a, b int) operation {
	if op == Plus {
		return operation{Plus, a, b, a + b}
	}
	a, b = max(a, b), min(a, b)
	return operation{Minus, a, b, a - b}
}

// allowed reports whether the result may stand in a try.
func (o operation) allowed() bool { return 1 <= o.result && o.result <= maxResult }

// try is a way to use three numbers: a and b by first, their result and c by
// second.
type try struct {
	first, second int32 // Plus or Minus
	a, b, c       int
	value         int // the second result
}

// tries returns the allowed tries of three numbers: three choices of the pair,
// two operators each time, addition counted once whatever the order, and all
// results 1 … 99. Equal numbers are told apart, so a try may occur twice.
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

// written is a try as the text shows it.
type written struct {
	first, second operation
	c             int
	resultFirst   bool // second is "first's result op c", not "c − first's result"
}

// write chooses the order of a first addition and lets each result slip at the
// given rate. The second operation works on the first's result as written, so
// that a slip may leave it 0.
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

// near returns a number close to n, but not n, in 1 … limit: off by 1, by 2 or in
// the tens digit by 1.
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

// expression copies the try into an answer.
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
