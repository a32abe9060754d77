package countdown

import (
	"math/rand/v2"
	"slices"
)

// author is a style of search traces. All authors choose tries at random.
type author struct {
	share   float64 // share of the traces
	giveUp  float64 // probability of giving up after each "no"
	repeats bool    // the author may repeat a try
	wait    float64 // probability of "wait" instead of a newline between tries
}

var authors = [...]author{
	{share: 0.60, giveUp: 0.60, repeats: true, wait: 0},
	{share: 0.25, giveUp: 0.35, repeats: true, wait: 0.1},
	{share: 0.15, giveUp: 0.06, repeats: false, wait: 0.8},
}

// maxTries is the maximum number of tries of a search.
const maxTries = 12

// lastTryRate is the share of abandoned searches whose answer is the last try. The answer
// of the others is a random try.
const lastTryRate = 0.70

// faults holds the rates of errors in traces.
type faults struct {
	slip       float64 // of results: slightly wrong
	missed     float64 // of results that equal the target: judged "no"
	mistaken   float64 // of other results: judged "yes"
	miscopy    float64 // of answers: one number is slightly wrong
	droppedTag float64 // of traces: one of the four tags is missing
}

// faults returns the rates of errors of the task.
func (k Task) faults() faults {
	f := k.Faults
	return faults{slip: 0.02 * f, missed: 0.05 * f, mistaken: 0.02 * f, miscopy: 0.03 * f, droppedTag: 0.12 * f}
}

// trace returns a document with a search for p by a random author.
func (k Task) trace(random *rand.Rand, p Problem) Document {
	who, rate := chooseAuthor(random), k.faults()
	dropped := int32(-1)
	if random.Float64() < rate.droppedTag {
		dropped = ThinkOpen + random.Int32N(AnswerClose-ThinkOpen+1)
	}
	t := text(p.PromptTokens([3]int(random.Perm(3))))
	tag := func(id int32) {
		if id != dropped {
			t.put(id)
		}
	}
	tag(ThinkOpen)
	answer := t.search(random, who, rate, p)
	if random.Float64() < rate.miscopy {
		n := &answer.numbers[random.IntN(3)]
		*n = near(random, *n, maxResult)
	}
	tag(ThinkClose)
	tag(AnswerOpen)
	t.expression(answer)
	tag(AnswerClose)
	t.put(EOS)

	readable := dropped != AnswerOpen && dropped != AnswerClose
	return Document{Tokens: t, Kind: Trace, Correct: readable && solves(answer, p)}
}

// search appends tries until one is judged equal to the target or the author gives up.
// It returns the answer that the author chooses.
func (t *text) search(random *rand.Rand, who author, rate faults, p Problem) expression {
	all := tries(p.Numbers)
	limit := maxTries
	if !who.repeats {
		limit = min(limit, len(all))
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	for n := 1; ; n++ {
		next := all[n%len(all)]
		if who.repeats {
			next = all[random.IntN(len(all))]
		}
		w := next.write(random, rate.slip)
		t.operation(w.first)
		t.put(Comma)
		t.operation(w.second)
		equal := rate.judge(random, w.second.result == p.Target)
		t.verdict(p.Target, equal)
		if equal {
			return w.expression()
		}
		if n == limit || random.Float64() < who.giveUp {
			if random.Float64() < lastTryRate {
				return w.expression()
			}
			return all[random.IntN(len(all))].write(random, 0).expression()
		}
		if random.Float64() < who.wait {
			t.put(Wait)
		} else {
			t.put(Newline)
		}
	}
}

// chooseAuthor returns a random author; share is its probability.
func chooseAuthor(random *rand.Rand) author {
	u := random.Float64()
	for _, a := range authors[:len(authors)-1] {
		if u < a.share {
			return a
		}
		u -= a.share
	}
	return authors[len(authors)-1]
}

// judge returns the author's verdict on a result, which is sometimes wrong; equal says
// whether the result equals the target.
func (f faults) judge(random *rand.Rand, equal bool) bool {
	if equal {
		return random.Float64() >= f.missed
	}
	return random.Float64() < f.mistaken
}

// solves reports whether the answer uses exactly p's numbers and reaches its
// target.
func solves(e expression, p Problem) bool {
	used := e.numbers
	slices.Sort(used[:])
	return used == p.Numbers && e.value() == p.Target
}
