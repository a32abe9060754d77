package tokenizer_test

import (
	"fmt"
	"log"

	"github.com/aha-go/aha/model/tokenizer"
)

// Convert a text to ids, with BOS first if the file says so, and back.
func Example() {
	t, err := tokenizer.Load("testdata/cut_deepseek_v3.json") // Load also takes a folder, such as "DeepSeek-R1"
	if err != nil {
		log.Fatal(err)
	}
	ids, err := t.Encode("Hello, world: 2026")
	if err != nil {
		log.Fatal(err)
	}
	var tokens []string
	for _, id := range ids {
		tokens = append(tokens, t.Decode([]int32{id}))
	}
	fmt.Printf("%q\n", tokens)
	fmt.Println(t.Decode(ids))
	// Output:
	// ["Hello" "," " w" "orld" ":" " " "20" "2" "6"]
	// Hello, world: 2026
}

// A vocabulary of characters, for experiments: first the token that ends an answer, then
// the characters of a text.
func ExampleNewCharacters() {
	t, err := tokenizer.NewCharacters("0123456789+=", tokenizer.Added{Content: "<eos>", Special: true})
	if err != nil {
		log.Fatal(err)
	}
	ids, err := t.Encode("1+2=3<eos>")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(t.Len(), ids)
	_, err = t.Encode("1-2")
	fmt.Println(err)
	// Output:
	// 13 [2 11 3 12 4 0]
	// tokenizer: character "-" after "1": not in the vocabulary
}
