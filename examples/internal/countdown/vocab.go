package countdown

import (
	"fmt"

	"github.com/aha-go/aha/model/tokenizer"
)

// The token ids. Numbers are written digit by digit; digit d is Digit0 + d.
const (
	Pad int32 = iota
	BOS
	EOS
	ThinkOpen
	ThinkClose
	AnswerOpen
	AnswerClose
	No
	Yes
	Wait
	Newline
	Space
	Colon
	Comma
	Equals
	Plus
	Minus
	Times
	Divide
	ParenOpen
	ParenClose
	Question
	Digit0
)

// VocabSize is the number of tokens; ids are 0 … VocabSize-1.
const VocabSize = int(Digit0) + 10

// vocabulary holds the text of each id. No token is a prefix of another, so the
// text of a token sequence determines the sequence.
var vocabulary = [VocabSize]string{
	Pad: "<pad>", BOS: "<bos>", EOS: "<eos>",
	ThinkOpen: "<think>", ThinkClose: "</think>",
	AnswerOpen: "<answer>", AnswerClose: "</answer>",
	No: "no", Yes: "yes", Wait: "wait",
	Newline: "\n", Space: " ", Colon: ":", Comma: ",", Equals: "=",
	Plus: "+", Minus: "-", Times: "*", Divide: "/",
	ParenOpen: "(", ParenClose: ")", Question: "?",
	Digit0: "0", "1", "2", "3", "4", "5", "6", "7", "8", "9",
}

// Tokenizer is the tokenizer of the vocabulary. Words and tags are added tokens; all other tokens
// are single characters. It begins each text with <bos>.
var Tokenizer = func() *tokenizer.Tokenizer {
	v := tokenizer.Vocabulary{Pattern: tokenizer.Characters, Tokens: vocabulary[:], Prefix: []int32{BOS}}
	for id, text := range vocabulary[:Newline] {
		v.Added = append(v.Added, tokenizer.Added{ID: int32(id), Content: text, Special: int32(id) <= EOS})
	}
	t, err := tokenizer.New(v)
	if err != nil {
		panic(err)
	}
	return t
}()

// Encode returns the ids of text without adding <bos>. Special tokens are written <pad>,
// <bos> and <eos>. If a character is not in the vocabulary, the error names it.
func Encode(text string) ([]int32, error) { return Tokenizer.Append(nil, text) }

// Decode returns the text of ids; Encode(Decode(ids)) returns ids. It panics on an id
// outside the vocabulary.
func Decode(ids []int32) string {
	for i, id := range ids {
		if id < 0 || int(id) >= VocabSize {
			panic(fmt.Sprintf("countdown: Decode: id %d at position %d is outside [0, %d)", id, i, VocabSize))
		}
	}
	return Tokenizer.Decode(ids)
}

// text is a token sequence to which tokens are appended.
type text []int32

// put appends tokens.
func (t *text) put(ids ...int32) { *t = append(*t, ids...) }

// number appends the digits of n ≥ 0.
func (t *text) number(n int) {
	if n >= 10 {
		t.number(n / 10)
	}
	t.put(Digit0 + int32(n%10))
}

// operation appends "a+b=result".
func (t *text) operation(o operation) {
	t.number(o.a)
	t.put(o.op)
	t.number(o.b)
	t.put(Equals)
	t.number(o.result)
}

// verdict appends "?target" and yes or no.
func (t *text) verdict(target int, equal bool) {
	t.put(Question)
	t.number(target)
	if equal {
		t.put(Yes)
	} else {
		t.put(No)
	}
}
