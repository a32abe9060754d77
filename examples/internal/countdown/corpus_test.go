package countdown

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sampled is the number of documents from which the statistics are computed.
const sampled = 50_000

// sample returns the first sampled documents of a corpus and their texts.
var sample = sync.OnceValues(func() ([]Document, []string) {
	c := Corpus{Seed: 1, Split: Task{}.Split(1)}
	documents := make([]Document, sampled)
	texts := make([]string, sampled)
	for i := range documents {
		documents[i] = c.Document(i)
		texts[i] = Decode(documents[i].Tokens)
	}
	return documents, texts
})

// expectRate reports an error unless count/total differs from want by at most slack plus
// five standard errors.
func expectRate(t *testing.T, what string, count, total int, want, slack float64) {
	t.Helper()
	got := float64(count) / float64(total)
	tolerance := slack + 5*math.Sqrt(want*(1-want)/float64(total))
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s: %d of %d = %.4f, want %.4f ± %.4f", what, count, total, got, want, tolerance)
	}
}

func TestDocumentsHaveTheirGrammar(t *testing.T) {
	const operation = `\d+[+-]\d+=\d+`
	const verdict = `\?\d+(no|yes)`
	const step = operation + `,` + operation + verdict
	grammar := map[Kind]*regexp.Regexp{
		Trace: regexp.MustCompile(`^<bos>\d+ \d+ \d+:\d+(<think>)?(` + step + `(\n|wait)){0,11}` + step + `(</think>)?` +
			`(<answer>)?\d+[+-](\d+[+-]\d+|\(\d+[+-]\d+\))(</answer>)?<eos>$`),
		Check:      regexp.MustCompile(`^<bos>:\d+(\n` + operation + verdict + `){4,8}<eos>$`),
		Arithmetic: regexp.MustCompile(`^<bos>(` + operation + `\n){2,7}` + operation + `<eos>$`),
	}
	documents, texts := sample()
	for i, d := range documents {
		if !grammar[d.Kind].MatchString(texts[i]) {
			t.Fatalf("%s document %d: %q", d.Kind, i, texts[i])
		}
	}
}

func TestKindsComeAtTheirShares(t *testing.T) {
	count := func(documents []Document) (n [3]int) {
		for _, d := range documents {
			n[d.Kind]++
		}
		return n
	}
	documents, _ := sample()
	n := count(documents)
	expectRate(t, "traces", n[Trace], sampled, 0.80, 0)
	expectRate(t, "checks", n[Check], sampled, 0.15, 0)
	expectRate(t, "arithmetic", n[Arithmetic], sampled, 0.05, 0)

	c := Corpus{Seed: 2, Split: Task{}.Split(1), Mix: Mix{Trace: 74, Check: 20, Arithmetic: 6}}
	documents = nil
	for i := range 10_000 {
		documents = append(documents, c.Document(i))
	}
	n = count(documents)
	expectRate(t, "checks of 74:20:6", n[Check], 10_000, 0.20, 0)
	expectRate(t, "arithmetic of 74:20:6", n[Arithmetic], 10_000, 0.06, 0)

	c.Mix = Mix{Trace: 1}
	for i := range 1000 {
		if d := c.Document(i); d.Kind != Trace {
			t.Fatalf("document %d of a corpus of traces is %s", i, d.Kind)
		}
	}
}

func TestNoDocumentContainsAHeldOutProblem(t *testing.T) {
	documents, _ := sample()
	noneHeldOut(t, Task{}.Split(1), documents)
	c := Corpus{Seed: 1, Split: small.Split(1)}
	documents = nil
	for i := range 20_000 {
		documents = append(documents, c.Document(i))
	}
	noneHeldOut(t, c.Split, documents)
}

func noneHeldOut(t *testing.T, split Split, documents []Document) {
	t.Helper()
	held := make(map[[3]int]bool)
	for _, p := range slices.Concat(split.Validation, split.Test) {
		held[p.Numbers] = true
	}
	// list matches everything that looks like a prompt's list of three numbers.
	list := regexp.MustCompile(`(\d+)\D(\d+)\D(\d+):`)
	for i, d := range documents {
		text := Decode(d.Tokens)
		if d.Kind != Trace {
			if slices.Contains(d.Tokens, Space) || list.MatchString(text) {
				t.Errorf("%s document %d holds a list of numbers: %q", d.Kind, i, text)
			}
			continue
		}
		found := list.FindAllStringSubmatch(text, -1)
		if len(found) != 1 {
			t.Fatalf("trace %d has %d prompts: %q", i, len(found), text)
		}
		if n := numbers(found[0][0]); held[[3]int(n)] {
			t.Errorf("trace %d shows the held-out numbers %v: %q", i, n, text)
		}
	}
}

// small is a task with smaller numbers and lower error rates.
var small = Task{MaxNumber: 12, MaxTarget: 36, Faults: 0.25}

func TestSmallTaskHasSmallNumbersAndFewFaults(t *testing.T) {
	c := Corpus{Seed: 1, Split: small.Split(1)}
	var traces, untagged int
	for i := range 20_000 {
		d := c.Document(i)
		text := Decode(d.Tokens)
		switch d.Kind {
		case Trace:
			prompt := promptPattern.FindStringSubmatch(text)
			if n := numbers(strings.Join(prompt[1:4], " ")); n[2] > small.MaxNumber {
				t.Errorf("trace %d has the numbers %v", i, n)
			}
			traces++
			for _, tag := range []string{"<think>", "</think>", "<answer>", "</answer>"} {
				if !strings.Contains(text, tag) {
					untagged++
				}
			}
		case Check:
			target, err := strconv.Atoi(targetPattern.FindStringSubmatch(text)[1])
			if err != nil || target > small.MaxTarget {
				t.Errorf("check %d has the target %d, %v", i, target, err)
			}
		}
	}
	expectRate(t, "tags dropped", untagged, traces, 0.03, 0)
}

func TestCorrectAgreesWithTheReferenceChecker(t *testing.T) {
	documents, texts := sample()
	for i, d := range documents {
		if got, want := d.Correct, d.Kind == Trace && correct(texts[i]); got != want {
			t.Errorf("%s %d: Correct = %t, the reference says %t: %q", d.Kind, i, got, want, texts[i])
		}
	}
}

func TestTracesEndCorrectAsOftenAsPlanned(t *testing.T) {
	right, tried := Corpus{Seed: 1, Split: Task{}.Split(1)}.CorrectShare(sampled)
	t.Logf("correct %.4f, tries %.4f", right, tried)
	if math.Abs(right-0.465) > 0.015 {
		t.Errorf("%.3f of the traces are correct, want 0.465 ± 0.015", right)
	}
	if math.Abs(tried-1.75) > 0.05 {
		t.Errorf("%.3f tries a trace, want 1.75 ± 0.05", tried)
	}
}

var operationPattern = regexp.MustCompile(`(\d+)([+-])(\d+)=(\d+)`)

// slips counts the wrong results, and all results, of a text.
func slips(text string) (wrong, total int) {
	for _, m := range operationPattern.FindAllStringSubmatch(text, -1) {
		value, _ := evaluate(m[1] + m[2] + m[3])
		if value.RatString() != m[4] {
			wrong++
		}
		total++
	}
	return wrong, total
}

func TestTracesGoWrongAtTheirRates(t *testing.T) {
	judged := regexp.MustCompile(`=(\d+)\?(\d+)(no|yes)`)
	first := regexp.MustCompile(`(?:^|\D)(\d+[+-]\d+)=\d+,`)
	documents, texts := sample()
	var traces, results, wrong, equal, missed, unequal, mistaken, tagged, miscopied, gaveUp, last int
	var wantLast float64
	for i, text := range texts {
		if documents[i].Kind != Trace {
			continue
		}
		traces++
		if strings.Contains(text, "<think>") { // without it no token separates the target from the first number
			w, n := slips(text)
			wrong += w
			results += n
		}
		for _, m := range judged.FindAllStringSubmatch(text, -1) {
			switch {
			case m[1] == m[2]:
				equal++
				if m[3] == "no" {
					missed++
				}
			default:
				unequal++
				if m[3] == "yes" {
					mistaken++
				}
			}
		}
		for _, tag := range []string{"<think>", "</think>", "<answer>", "</answer>"} {
			if !strings.Contains(text, tag) {
				tagged++
			}
		}
		answer := answerPattern.FindStringSubmatch(text)
		if answer == nil {
			continue
		}
		prompt := promptPattern.FindStringSubmatch(text)
		if given := numbers(strings.Join(prompt[1:4], " ")); !slices.Equal(given, numbers(answer[1])) {
			miscopied++
		} else if strings.Contains(text, "no</think>") {
			gaveUp++
			pairs := first.FindAllStringSubmatch(text, -1)
			if strings.Contains(answer[1], pairs[len(pairs)-1][1]) {
				last++
			}
			wantLast += lastTryRate
		}
	}
	expectRate(t, "wrong results", wrong, results, 0.02, 0)
	expectRate(t, "equal judged no", missed, equal, 0.05, 0)
	expectRate(t, "unequal judged yes", mistaken, unequal, 0.02, 0)
	expectRate(t, "tags dropped", tagged, traces, 0.12, 0)
	// If one of the two answer tags is dropped, the answer cannot be read.
	expectRate(t, "miscopied answers", miscopied, traces*94/100, 0.03, 0)
	// About 1/10 of random tries begin like the last one: the pair (1/3), the operator
	// (1/2) and, if that is +, the order must be the same.
	expectRate(t, "giving up with the last try", last, gaveUp, 0.70+0.30*0.12, 0.01)
}

func TestAuthorsShowTheirHabits(t *testing.T) {
	// The problem has twelve tries, none of which reaches 99, so that a search ends early
	// only if the author gives up or judges "yes" by mistake.
	p := Problem{[3]int{7, 19, 30}, 99}
	const seed, n = 3, 4000
	random := generator(seed, documents, 0)
	step := regexp.MustCompile(`(\d+)([+-])(\d+)=\d+,(?:\d+)[+-](?:\d+)=`)
	for i, want := range []struct {
		share, giveUp, wait float64
		repeats             bool
	}{
		{0.60, 0.60, 0, true},
		{0.25, 0.35, 0.1, true},
		{0.15, 0.06, 0.8, false},
	} {
		chosen := 0
		for range n {
			if chooseAuthor(random) == authors[i] {
				chosen++
			}
		}
		expectRate(t, fmt.Sprintf("author %d", i), chosen, n, want.share, 0)

		var goingOn, gaveUp, waits, breaks, repeats int
		for range n {
			var search text
			search.search(random, authors[i], Task{}.Resolved().faults(), p)
			written := Decode(search)
			tries := strings.Count(written, "?")
			if tries > 12 {
				t.Fatalf("author %d: %d tries: %q", i, tries, written)
			}
			goingOn += tries - 1
			if tries < 12 && strings.HasSuffix(written, "no") {
				gaveUp++
			}
			waits += strings.Count(written, "wait")
			breaks += strings.Count(written, "\n")
			// Two different tries can begin with the same operation; a third is a repetition.
			begun := make(map[string]int)
			for _, m := range step.FindAllStringSubmatch(written, -1) {
				pair := fmt.Sprint(m[2], numbers(m[1]+" "+m[3]))
				if begun[pair]++; begun[pair] == 3 {
					repeats++
				}
			}
		}
		expectRate(t, fmt.Sprintf("author %d giving up", i), gaveUp, gaveUp+goingOn, want.giveUp, 0)
		expectRate(t, fmt.Sprintf("author %d saying wait", i), waits, waits+breaks, want.wait, 0)
		if (repeats > 0) != want.repeats {
			t.Errorf("author %d: %d of %d searches repeat a try", i, repeats, n)
		}
	}
}

func TestCheckVerdictsAreTrueAndBalanced(t *testing.T) {
	line := regexp.MustCompile(`=(\d+)\?(\d+)(no|yes)`)
	documents, texts := sample()
	var lines, equal, close int
	for i, text := range texts {
		switch documents[i].Kind {
		case Check:
			for _, m := range line.FindAllStringSubmatch(text, -1) {
				if (m[1] == m[2]) != (m[3] == "yes") {
					t.Errorf("check %d judges wrongly: %q", i, text)
				}
				result, _ := strconv.Atoi(m[1])
				target, _ := strconv.Atoi(m[2])
				lines++
				switch max(result-target, target-result) {
				case 0:
					equal++
				case 1, 2, 10:
					close++
				}
			}
			fallthrough
		case Arithmetic:
			if wrong, _ := slips(text); wrong > 0 {
				t.Errorf("%s %d calculates wrongly: %q", documents[i].Kind, i, text)
			}
		}
	}
	// A quarter of the results is random; some of these equal the target or are close.
	expectRate(t, "equal results", equal, lines, 0.5, 0.01)
	expectRate(t, "near misses", close, lines, 0.25, 0.03)
}

func TestDocumentDependsOnSeedAndIndexAlone(t *testing.T) {
	documents, _ := sample()
	c := Corpus{Seed: 1, Split: Task{}.Split(1)}
	for _, i := range []int{sampled - 1, 17, 0, 31_415} {
		if diff := cmp.Diff(documents[i], c.Document(i)); diff != "" {
			t.Errorf("document %d differs when made alone:\n%s", i, diff)
		}
	}
	c.Seed = 2
	same := 0
	for i := range 1000 {
		if cmp.Equal(c.Document(i).Tokens, documents[i].Tokens) {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d of 1000 documents are equal under seeds 1 and 2", same)
	}
}

func TestDocumentRefusesAWrongCorpus(t *testing.T) {
	for name, c := range map[string]Corpus{
		"no training problems": {Mix: Mix{Trace: 1}},
		"a negative weight":    {Split: Task{}.Split(1), Mix: Mix{Trace: 1, Check: -1}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Document accepts %s", name)
				}
			}()
			c.Document(0)
		}()
	}
}

func TestBatchesUseEveryDocumentOnceInOrder(t *testing.T) {
	documents, _ := sample()
	b := Batches{Corpus: Corpus{Seed: 1, Split: Task{}.Split(1)}}
	next := 0
	for step := range 100 {
		used := 0
		for _, got := range b.Batch(step) {
			if !slices.Equal(got, documents[next].Tokens) {
				t.Fatalf("step %d does not go on with document %d", step, next)
			}
			used += len(got)
			next++
		}
		if used > 2048 || used+len(documents[next].Tokens) <= 2048 {
			t.Errorf("step %d has %d tokens, the next document %d", step, used, len(documents[next].Tokens))
		}
	}
}

func TestBatchDoesNotDependOnTheStepsAskedBefore(t *testing.T) {
	c := Corpus{Seed: 1, Split: Task{}.Split(1)}
	for _, tokens := range []int{0, 1, 300} {
		forward, backward := Batches{Corpus: c, Tokens: tokens}, Batches{Corpus: c, Tokens: tokens}
		var want [][][]int32
		for step := range 20 {
			want = append(want, forward.Batch(step))
		}
		for step := 19; step >= 0; step-- {
			if diff := cmp.Diff(want[step], backward.Batch(step)); diff != "" {
				t.Errorf("budget %d, step %d:\n%s", tokens, step, diff)
			}
		}
		if tokens == 1 && len(want[3]) != 1 {
			t.Errorf("a budget of one token gives %d documents a batch, want 1", len(want[3]))
		}
	}
}

func ExampleCorpus_Document() {
	c := Corpus{Seed: 1, Split: Task{}.Split(1)}
	for i := range 3 {
		d := c.Document(i)
		fmt.Printf("%s correct=%t\n%q\n", d.Kind, d.Correct, Decode(d.Tokens))
	}
	// Output:
	// trace correct=false
	// "<bos>6 29 18:53<think>18-6=12,29-12=17?53no</think><answer>29-(18-6)</answer><eos>"
	// trace correct=true
	// "<bos>17 16 24:57<think>16+17=33,33-24=9?57no\n16+24=40,40+17=57?57yes</think><answer>16+24+17</answer><eos>"
	// trace correct=true
	// "<bos>7 9 30:28<think>30-9=21,21+7=28?28yes</think><answer>30-9+7</answer><eos>"
}
