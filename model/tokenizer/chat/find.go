package chat

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// known maps the Jinja templates with a native form, by the hash of their canonical text.
var known = map[string]Template{
	"006b10a25f1625c6": DeepSeekV3,
	"678993e425bde2d7": DeepSeekV31,
	"70e38c91a0aef963": DeepSeekV31, // a variant that also supports enable_thinking
	"d94c7a8842448740": DeepSeekR1,
	"3019d6ce8852b572": Qwen25,
	"41a21288637bd4a9": Qwen3,
	"6f83976901788438": Llama3,
	"6d5fa8943fc6f095": Llama31,
	"54d3fa6985bf1f64": Llama32,
	"52318330d7e71a41": SmolLM2,
}

// maxJinja is the maximum size of a template in bytes. Known templates have a few thousand.
const maxJinja = 1 << 20

// Find returns the native form of a Jinja template, such as chat_template of
// tokenizer_config.json. Differences in layout that do not affect the output are ignored. A
// template without a native form is an error that wraps ErrUnsupported.
func Find(jinja string) (Template, error) {
	if len(jinja) > maxJinja {
		return "", fmt.Errorf("chat: the template that begins %q has %d bytes, more than %d, and no native form: %w",
			beginning(jinja), len(jinja), maxJinja, ErrUnsupported)
	}
	hash := sha256.Sum256([]byte(canonical(jinja)))
	name := hex.EncodeToString(hash[:8])
	if t, ok := known[name]; ok {
		return t, nil
	}
	return "", fmt.Errorf("chat: the template %s that begins %q has no native form: %w", name, beginning(jinja),
		ErrUnsupported)
}

// beginning returns the first line of a template, truncated for an error message.
func beginning(jinja string) string {
	line, _, _ := strings.Cut(strings.ToValidUTF8(jinja[:min(len(jinja), 200)], ""), "\n")
	return line
}

// canonical returns a Jinja template with normalized layout: the text between tags as
// transformers prints it, with trim_blocks and lstrip_blocks, and tags without white space.
func canonical(jinja string) string {
	var w strings.Builder
	trim, block := false, false // whether the last tag trims the text after it, and whether it is {% %}
	for {
		at := strings.IndexByte(jinja, '{')
		for at >= 0 && (at+1 == len(jinja) || !strings.ContainsRune("{%#", rune(jinja[at+1]))) {
			next := strings.IndexByte(jinja[at+1:], '{')
			if next < 0 {
				at = -1
				break
			}
			at += 1 + next
		}
		text, tag := jinja, ""
		if at >= 0 {
			text, tag = jinja[:at], jinja[at:]
		}
		if trim {
			text = strings.TrimLeft(text, " \t\r\n")
		} else if block {
			text = strings.TrimPrefix(text, "\n")
		}
		if strings.HasPrefix(tag, "{%-") || strings.HasPrefix(tag, "{{-") {
			text = strings.TrimRight(text, " \t\r\n")
		} else if strings.HasPrefix(tag, "{%") {
			if line := strings.TrimRight(text, " \t"); line == "" || line[len(line)-1] == '\n' {
				text = line
			}
		}
		w.WriteString(text)
		if tag == "" {
			return strings.TrimSuffix(w.String(), "\n") // Jinja drops the last line break
		}
		n := tagLength(tag)
		block = tag[1] == '%'
		trim = n >= 3 && tag[n-3] == '-'
		w.WriteString(tag[:2])
		squeeze(&w, strings.Trim(tag[2:max(2, n-2)], "-"))
		w.WriteString(tag[max(2, n-2):n])
		jinja = tag[n:]
	}
}

// tagLength returns the length of the tag at the start of text.
func tagLength(text string) int {
	end := map[byte]string{'{': "}}", '%': "%}", '#': "#}"}[text[1]]
	quote := byte(0)
	for i := 2; i < len(text); i++ {
		switch {
		case quote != 0:
			if text[i] == '\\' {
				i++
			} else if text[i] == quote {
				quote = 0
			}
		case text[1] != '#' && (text[i] == '\'' || text[i] == '"'):
			quote = text[i]
		case strings.HasPrefix(text[i:], end):
			return i + 2
		}
	}
	return len(text)
}

// squeeze writes the inside of a tag without white space, except in quotes, where the escape
// \n becomes a line break.
func squeeze(w *strings.Builder, text string) {
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		b := text[i]
		switch {
		case quote != 0 && b == '\\' && i+1 < len(text):
			i++
			if text[i] == 'n' {
				w.WriteByte('\n')
			} else {
				w.WriteString(text[i-1 : i+1])
			}
			continue
		case quote != 0 && b == quote:
			quote = 0
		case quote == 0 && (b == '\'' || b == '"'):
			quote = b
		case quote == 0 && strings.IndexByte(" \t\r\n", b) >= 0:
			continue
		}
		w.WriteByte(b)
	}
}
