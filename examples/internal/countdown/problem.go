package countdown

// The numbers of a problem are 1 … MaxNumber, its target is MinTarget …
// MaxTarget, and every result on the way is 1 … maxResult.
const (
	MaxNumber = 30
	MinTarget = 10
	MaxTarget = 99
	maxResult = 99
)

// Problem is the task to reach Target from Numbers, using each exactly once.
type Problem struct {
	Numbers [3]int // ascending
	Target  int
}

// Problems returns the 14,662 problems that some try solves, in ascending order
// of numbers, then target.
func Problems() []Problem {
	var all []Problem
	for a := 1; a <= MaxNumber; a++ {
		for b := a; b <= MaxNumber; b++ {
			for c := b; c <= MaxNumber; c++ {
				numbers := [3]int{a, b, c}
				var reached [MaxTarget + 1]bool
				for _, t := range tries(numbers) {
					reached[t.value] = true
				}
				for target := MinTarget; target <= MaxTarget; target++ {
					if reached[target] {
						all = append(all, Problem{numbers, target})
					}
				}
			}
		}
	}
	return all
}

// Prompt returns the text of the prompt without <bos>, such as "19 29 16:32". Number i
// of the text is Numbers[order[i]].
func (p Problem) Prompt(order [3]int) string {
	return Decode(p.PromptTokens(order)[1:])
}

// PromptTokens returns the tokens of the prompt, which begin with <bos>. Number i of the
// prompt is Numbers[order[i]].
func (p Problem) PromptTokens(order [3]int) []int32 {
	t := text{BOS}
	for i, j := range order {
		if i > 0 {
			t.put(Space)
		}
		t.number(p.Numbers[j])
	}
	t.put(Colon)
	t.number(p.Target)
	return t
}

// Order returns a uniformly random order for Prompt that depends only on seed
// and index.
func Order(seed uint64, index int) [3]int {
	return [3]int(generator(seed, ordering, index).Perm(3))
}

// Split divides the problems so that no two parts share a multiset of numbers.
// Each part is in random order: any prefix is a fair sample of it.
type Split struct {
	Train      []Problem // for the base corpus and RL
	Validation []Problem // 256 problems, for tuning
	Test       []Problem // 512 problems, for reported figures
}

// NewSplit holds out whole multisets of numbers, shuffled by seed, first for
// Test, then for Validation. What the last multiset of either has beyond its
// size belongs to no part.
func NewSplit(seed uint64) Split {
	all := Problems()
	var groups [][]Problem // one per multiset
	for i, start := 1, 0; i <= len(all); i++ {
		if i == len(all) || all[i].Numbers != all[start].Numbers {
			groups = append(groups, all[start:i])
			start = i
		}
	}
	random := generator(seed, splitting, 0)
	random.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })

	// take removes groups from the front until they hold limit problems.
	take := func(limit int) []Problem {
		var part []Problem
		for len(groups) > 0 && len(part) < limit {
			part = append(part, groups[0]...)
			groups = groups[1:]
		}
		part = part[:min(limit, len(part))]
		random.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
		return part
	}
	var s Split
	s.Test = take(512)
	s.Validation = take(256)
	s.Train = take(len(all))
	return s
}
