package countdown

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const wanted = "<bos>19 29 16:32<think>29-19=10,16-10=6?32no\n19-16=3,3+29=32?32yes</think>" +
	"<answer>19-16+29</answer><eos>"

func TestVocabularyIsThirtyTwoPrefixFreeTokens(t *testing.T) {
	if VocabSize != 32 {
		t.Errorf("VocabSize = %d, want 32", VocabSize)
	}
	for i, a := range vocabulary {
		for j, b := range vocabulary {
			if i != j && strings.HasPrefix(b, a) {
				t.Errorf("token %d, %q, is a prefix of token %d, %q", i, a, j, b)
			}
		}
	}
}

func TestEncodeTakesTagsAndWordsAsOneToken(t *testing.T) {
	got, err := Encode("<bos>1:20<think>wait?no yes</think>\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []int32{BOS, Digit0 + 1, Colon, Digit0 + 2, Digit0, ThinkOpen, Wait, Question, No, Space, Yes, ThinkClose,
		Newline}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Encode (-want +got):\n%s", diff)
	}
}

func TestEncodeAndDecodeAreInverse(t *testing.T) {
	ids, err := Encode(wanted)
	if err != nil {
		t.Fatal(err)
	}
	if got := Decode(ids); got != wanted {
		t.Errorf("Decode(Encode(%q)) = %q", wanted, got)
	}
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOf(rapid.Int32Range(0, int32(VocabSize)-1)).Draw(t, "ids")
		got, err := Encode(Decode(ids))
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) > 0 && !cmp.Equal(ids, got) {
			t.Fatalf("Encode(Decode(%v)) = %v", ids, got)
		}
	})
}

func TestEncodeNamesTheUnknownCharacter(t *testing.T) {
	for text, want := range map[string]string{
		"1+2x":          `"x" after "1+2"`,
		"19 × 2":        `"×" after "19 "`,
		"<think>wai":    `"w" after ""`,
		"<answers>":     `"<" after ""`,
		"1\xff":         `"\xff" after "1"`,
		"<think>\t":     `"\t" after ""`,
		"</think>1=1,N": `"N" after "1=1,"`,
	} {
		_, err := Encode(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Encode(%q): error %v, want one with %s", text, err, want)
		}
	}
}

func TestDecodePanicsOutsideTheVocabulary(t *testing.T) {
	for _, id := range []int32{-1, 32} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Decode accepts id %d", id)
				}
			}()
			Decode([]int32{BOS, id})
		}()
	}
}

func TestTokenizerHasTheVocabulary(t *testing.T) {
	if n := Tokenizer.Len(); n != VocabSize {
		t.Errorf("%d tokens, want %d", n, VocabSize)
	}
	for want, text := range vocabulary {
		if got, ok := Tokenizer.ID(text); !ok || int(got) != want || Tokenizer.Special(got) != (got <= EOS) {
			t.Errorf("%q is token %d, %v, special %v, want %d", text, got, ok, Tokenizer.Special(got), want)
		}
	}
}
