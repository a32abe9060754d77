package countdown

import "fmt"

// Kind is the kind of a document.
type Kind uint8

const (
	Trace      Kind = iota // an imperfect search for the solution of a problem
	Check                  // single operations whose results are compared with a target
	Arithmetic             // single operations
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case Trace:
		return "trace"
	case Check:
		return "check"
	case Arithmetic:
		return "arithmetic"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Document is one text of the base corpus.
type Document struct {
	Tokens []int32 // <bos> … <eos>
	Kind   Kind
	// Correct reports whether the answer of a trace, between <answer> and </answer>,
	// uses exactly the problem's numbers and reaches the target. Correct and wrong
	// traces are both in the corpus.
	Correct bool
}

// Mix holds the shares of the kinds of documents, relative to their sum. The zero Mix
// means 80 % traces, 15 % check and 5 % arithmetic documents. In any other Mix a zero
// means that there are no documents of that kind.
type Mix struct {
	Trace, Check, Arithmetic float64
}

// Corpus is an endless base corpus. It never shows a held-out problem: traces
// take their problems from Split.Train, whose multisets of numbers no other part
// has; check and arithmetic documents consist of single operations on two
// numbers, none of which takes up another's result, so that no list of three
// numbers with a target can be read from them (they hold no space token, which
// every prompt holds). In the full task, with the zero Mix, a document has 62 tokens
// on average and 46 traces in a hundred are correct, after 1.8 tries on average.
type Corpus struct {
	Seed  uint64
	Split Split
	Mix   Mix
}

// Document returns document i, which depends only on the fields of c and on i.
// It panics if there are no training problems or a weight of Mix is negative.
func (c Corpus) Document(i int) Document {
	mix := c.Mix
	if mix == (Mix{}) {
		mix = Mix{Trace: 80, Check: 15, Arithmetic: 5}
	}
	if min(mix.Trace, mix.Check, mix.Arithmetic) < 0 {
		panic(fmt.Sprintf("countdown: Corpus.Document: negative weight in %+v", mix))
	}
	random, task := generator(c.Seed, documents, i), c.Split.Task.Resolved()
	u := random.Float64() * (mix.Trace + mix.Check + mix.Arithmetic)
	switch {
	case u < mix.Check:
		return task.check(random)
	case u < mix.Check+mix.Arithmetic:
		return task.arithmetic(random)
	}
	if len(c.Split.Train) == 0 {
		panic("countdown: Corpus.Document: Split.Train is empty; see Task.Split")
	}
	return task.trace(random, c.Split.Train[random.IntN(len(c.Split.Train))])
}

// CorrectShare returns the share of correct traces among the traces of the first n
// documents, and the mean number of tries of a trace.
func (c Corpus) CorrectShare(n int) (correct, meanTries float64) {
	var traces, right, tried int
	for i := range n {
		d := c.Document(i)
		if d.Kind != Trace {
			continue
		}
		traces++
		tried += Count(d.Tokens).Tries
		if d.Correct {
			right++
		}
	}
	return float64(right) / float64(traces), float64(tried) / float64(traces)
}

// Batches divides the documents of a corpus, in order and each once, into batches of
// whole documents for a trainer that packs sequences.
type Batches struct {
	Corpus Corpus
	// Tokens is the maximum number of tokens of a batch; 0 means 2048. A longer document
	// is a batch of its own.
	Tokens int

	starts []int // starts[s] is the first document of step s; starts[0] = 0
}

// Batch returns the documents of a step ≥ 0. The result depends only on the exported
// fields and step. If the steps before have not been requested, Batch generates their
// documents once to find where step starts. It is not safe for concurrent use.
func (b *Batches) Batch(step int) [][]int32 {
	if len(b.starts) == 0 {
		b.starts = []int{0}
	}
	for len(b.starts) <= step {
		last := b.starts[len(b.starts)-1]
		b.starts = append(b.starts, last+len(b.fill(last)))
	}
	batch := b.fill(b.starts[step])
	if len(b.starts) == step+1 {
		b.starts = append(b.starts, b.starts[step]+len(batch))
	}
	return batch
}

// fill returns the documents of the batch that begins with document first.
func (b *Batches) fill(first int) [][]int32 {
	limit := b.Tokens
	if limit == 0 {
		limit = 2048
	}
	var batch [][]int32
	for used := 0; ; {
		d := b.Corpus.Document(first + len(batch)).Tokens
		used += len(d)
		if used > limit && len(batch) > 0 {
			return batch
		}
		batch = append(batch, d)
	}
}
