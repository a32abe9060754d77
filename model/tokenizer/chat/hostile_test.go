package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestHostileTemplatesAreRefused tests templates that would run forever or nest without
// limit if they were executed, and some that are too long.
func TestHostileTemplatesAreRefused(t *testing.T) {
	long := func(piece string) string { return strings.Repeat(piece, maxJinja/len(piece)) }
	for what, jinja := range map[string]string{
		"loop":           "{% for a in range(10**9) %}{% for b in range(10**9) %}{{ a }}{% endfor %}{% endfor %}",
		"macro":          "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
		"import":         "{% include 'self' %}{% extends '/etc/passwd' %}",
		"attributes":     "{{ ''.__class__.__mro__[1].__subclasses__() }}",
		"open tags":      long("{{"),
		"open blocks":    long("{% if x %}"),
		"open comments":  long("{#"),
		"quotes":         long("{{ '"),
		"backslashes":    "{{ '" + long("\\"),
		"nested":         "{{ " + long("(") + " }}",
		"white space":    long("{%- if x -%} \n"),
		"line breaks":    long("\n"),
		"braces":         long("{ "),
		"no characters":  long("\xff"),
		"100 MB":         strings.Repeat("{{ x }} ", 100<<20/8),
		"100 MB of text": strings.Repeat("x", 100<<20),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, err := Find(jinja)
		taken := time.Since(start)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrUnsupported) || len(err.Error()) > 2000 {
			t.Errorf("%s: error %.200v", what, err)
		}
		if size := after.TotalAlloc - before.TotalAlloc; taken > time.Second || size > 16<<20 {
			t.Errorf("%s took %v and %d bytes", what, taken, size)
		}
	}
}

func TestHugeTemplateFilesAreRefused(t *testing.T) {
	for _, name := range []string{"chat_template.jinja", "tokenizer_config.json"} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(`{"chat_template": "`), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 100<<30); err != nil { // a sparse file
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), name) || time.Since(start) > time.Second {
			t.Errorf("error %v after %v, want one that names %s", err, time.Since(start), name)
		}
	}
}

// FuzzTemplate looks for the native form of arbitrary Jinja texts and parses arbitrary
// answers.
func FuzzTemplate(f *testing.F) {
	smol := jinja(f)
	f.Add(smol, "a</think>b")
	f.Add(strings.ReplaceAll(smol, "{%", "\n {%- "), callsBegin+callBegin+"x"+callSep+"{}"+callEnd)
	f.Add("{% for m in messages %}{{ m }}{% endfor %}", "<think>\na\n</think>\n\nb<|im_end|>")
	f.Add("{# ' #}{{ '\\", "<think><tool_call>{\"name\":1}</tool_call>")
	f.Add("{%-", "See."+callsBegin+callBegin+"function"+callSep+"x\n```json\n{}\n```"+callEnd+callsEnd+endOfSentence)
	f.Add("{{ \"\\n\" -}}\n {{- '{%' }}", `{"name": "f", "parameters": {"a": 1}}`+eotID)
	want := canonical(smol)
	f.Fuzz(func(t *testing.T, jinja, answer string) {
		text := canonical(jinja)
		if len(text) > len(jinja) {
			t.Errorf("the canonical form of %q is longer: %q", jinja, text)
		}
		if name, err := Find(jinja); (err == nil) != (text == want) || err == nil && name != SmolLM2 {
			t.Errorf("%q is %s, error %v", jinja, name, err)
		}
		for name := range forms {
			m, _ := name.Parse(answer, Options{Thinking: On})
			n := len(m.Content) + len(m.Reasoning)
			for _, call := range m.ToolCalls {
				if n += len(call.Arguments); !json.Valid([]byte(call.Arguments)) {
					t.Errorf("%s: arguments %q of %q are no JSON", name, call.Arguments, answer)
				}
			}
			if n > len(answer) {
				t.Errorf("%s: %q is parsed to more: %+v", name, answer, m)
			}
		}
	})
}

// FuzzConversation renders arbitrary conversations. The parts must add up to the text, and
// JSON must keep its value.
func FuzzConversation(f *testing.F) {
	for name := range forms {
		for i, c := range conversations(f, name) {
			if i%5 > 0 {
				continue
			}
			messages, err := json.Marshal(c.Messages)
			if err != nil {
				f.Fatal(err)
			}
			tool := []byte(nil)
			if len(c.Tools) > 0 {
				tool = c.Tools[0]
			}
			f.Add(messages, tool, uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, text, tool []byte, flags uint8) {
		for _, indent := range []int{0, 4} {
			written, err := python(tool, indent)
			if (err == nil) != json.Valid(tool) && !(err != nil && strings.Contains(err.Error(), "nested deeper")) {
				t.Fatalf("%q: error %v", tool, err)
			}
			if again, err := python([]byte(written), indent); written != "" && err == nil && again != written {
				t.Errorf("%q is written as %q, and that as %q", tool, written, again)
			}
		}
		var messages []Message
		if json.Unmarshal(text, &messages) != nil {
			return
		}
		o := Options{Generate: flags&1 > 0, Thinking: Thinking(flags >> 1 & 3)}
		if len(tool) > 0 {
			o.Tools = []json.RawMessage{tool}
		}
		for name, form := range forms {
			if o.Date = (time.Time{}); form.dated {
				o.Date = llamaDate
			}
			text, err := name.Render(messages, o)
			parts, partsErr := name.RenderParts(messages, o)
			if (err == nil) != (partsErr == nil) {
				t.Fatalf("%s: errors %v and %v", name, err, partsErr)
			}
			var all bytes.Buffer
			for _, p := range parts {
				all.WriteString(p.Text)
			}
			if all.String() != text {
				t.Errorf("%s: the parts of %q are %q", name, text, all.String())
			}
		}
	})
}
