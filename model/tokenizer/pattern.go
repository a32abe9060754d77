package tokenizer

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Pattern names a pre-tokenizer, which splits text into the pieces within which BPE merges.
// The names are those of llama.cpp.
type Pattern string

const (
	DeepSeekV3 Pattern = "deepseek-v3"  // DeepSeek-V3, R1 and V3.1
	DeepSeekV2 Pattern = "deepseek-llm" // DeepSeek-V2 and V2-Lite
	Qwen2      Pattern = "qwen2"        // Qwen2, Qwen2.5, Qwen3 and R1-Distill-Qwen
	Llama3     Pattern = "llama-bpe"    // Llama-3 and R1-Distill-Llama
	SmolLM2    Pattern = "smollm"
	Whole      Pattern = "whole"      // no split: the text is one piece
	Characters Pattern = "characters" // one token per character, without bytes
)

// finder returns the begin and end of the first match in s at or after i, or len(s) twice
// if there is none. Matches are not empty.
type finder func(c *classes, s string, i int) (begin, end int)

// scheme describes how a Pattern splits text.
type scheme struct {
	// finders are applied one after another, each to the pieces of the previous one. Each
	// splits a piece into its matches and the text between them.
	finders []finder
	json    string // pre_tokenizer in tokenizer.json
}

var schemes = map[Pattern]scheme{
	DeepSeekV3: {[]finder{digits(3), run(cjk), deepseekV3},
		sequence(split(`\p{N}{1,3}`), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(regexDeepSeekV3),
			byteLevel)},
	DeepSeekV2: {[]finder{lineBreak, spaced(cased), spaced(fullWidth), trailingSpace, run(uncased), numericRune},
		sequence(split("[\r\n]"), split(`\s?[`+casedLetters.String()+`]+`), split(`\s?[`+asciiAndFullWidth.String()+`]+`),
			split(`\s+$`), split(`[`+uncasedScripts.String()+`]+`), individualDigits, byteLevel)},
	Qwen2:  {[]finder{qwen2(1)}, sequence(split(strings.Replace(regexQwen2, "DIGITS", `\p{N}`, 1)), byteLevel)},
	Llama3: {[]finder{qwen2(3)}, sequence(split(strings.Replace(regexQwen2, "DIGITS", `\p{N}{1,3}`, 1)), byteLevel)},
	SmolLM2: {[]finder{numericRune, gpt2},
		sequence(individualDigits,
			`{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}`)},
	Whole:      {nil, byteLevel},
	Characters: {nil, "null"},
}

const (
	regexDeepSeekV3 = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|" +
		" ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
	regexQwen2 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|` +
		`\s+(?!\S)|\s+`
	byteLevel        = `{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}`
	individualDigits = `{"type": "Digits", "individual_digits": true}`
)

// split returns the JSON of a Split by a regular expression.
func split(regex string) string {
	text, err := json.Marshal(regex)
	if err != nil {
		panic(err)
	}
	return `{"type": "Split", "pattern": {"Regex": ` + string(text) + `}, "behavior": "Isolated", "invert": false}`
}

// sequence returns the JSON of a sequence of pre-tokenizers.
func sequence(parts ...string) string {
	return `{"type": "Sequence", "pretokenizers": [` + strings.Join(parts, ", ") + `]}`
}

// comparable decodes the JSON of a pre-tokenizer and drops settings that change no token,
// such as trim_offsets, which changes offsets only.
func comparable(text []byte) (any, error) {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, err
	}
	var clean func(v any)
	clean = func(v any) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		delete(m, "trim_offsets")
		list, _ := m["pretokenizers"].([]any)
		for _, part := range list {
			clean(part)
		}
	}
	clean(v)
	return v, nil
}

// patternOf returns the Pattern whose pre_tokenizer is text.
func patternOf(text []byte) (Pattern, error) {
	got, err := comparable(text)
	if err != nil {
		return "", err
	}
	for pattern, s := range schemes {
		known, err := comparable([]byte(s.json))
		if err != nil {
			panic(fmt.Sprintf("tokenizer: JSON of %s: %v", pattern, err))
		}
		if reflect.DeepEqual(got, known) {
			return pattern, nil
		}
	}
	names := []string{}
	for pattern := range schemes {
		names = append(names, string(pattern))
	}
	slices.Sort(names)
	return "", fmt.Errorf("pre_tokenizer %s is none of %s: %w", shorten(string(text)), strings.Join(names, ", "),
		ErrUnsupported)
}

// shorten truncates a text for an error message.
func shorten(text string) string {
	if len(text) <= 1000 {
		return text
	}
	return strings.ToValidUTF8(text[:1000], "") + "…"
}
