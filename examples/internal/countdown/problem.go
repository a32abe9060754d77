package countdown

// Targets are at least minTarget, and intermediate results are from 1 to maxResult.
const (
	minTarget = 10
	maxResult = 99
)

// Problem is the task to reach Target from Numbers, using each exactly once.
type Problem struct {
	Numbers [3]int // ascending
	Target  int
}

// Problems returns the problems that can be solved, in ascending order of the numbers and
// then of the target. The full task has 14,662 of them.
func (t Task) Problems() []Problem {
	t = t.Resolved()
	var all []Problem
	for a := 1; a <= t.MaxNumber; a++ {
		for b := a; b <= t.MaxNumber; b++ {
			for c := b; c <= t.MaxNumber; c++ {
				numbers := [3]int{a, b, c}
				var reached [maxResult + 1]bool
				for _, way := range tries(numbers) {
					reached[way.value] = true
				}
				for target := minTarget; target <= t.MaxTarget; target++ {
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

// Split is a division of the problems of a task into parts that share no multiset of
// numbers. Each part is in random order, so that any prefix is a random sample.
type Split struct {
	Task       Task
	Train      []Problem // for the base corpus and RL
	Validation []Problem // for tuning: half as many as Test
	Test       []Problem // for reported results: 512, but at most a fifth of all
}

// Split shuffles the multisets of numbers by seed and holds out whole multisets, first
// for Test and then for Validation. Problems of the last multiset that exceed the size of
// the part belong to no part.
func (t Task) Split(seed uint64) Split {
	all := t.Problems()
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
	s := Split{Task: t}
	held := min(512, len(all)/5)
	s.Test = take(held)
	s.Validation = take(held / 2)
	s.Train = take(len(all))
	return s
}
