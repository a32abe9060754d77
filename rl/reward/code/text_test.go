package code

import (
	"math"
	"testing"
)

func nan() float64 { return math.NaN() }

func TestLastBlock(t *testing.T) {
	for _, c := range []struct{ name, completion, want string }{
		{"one", "```python\na\n```", "a\n"},
		{"the last", "```python\na\n```\n```py\nb\n```", "b\n"},
		{"not another language", "```python\na\n```\n```go\nb\n```\n```\noutput\n```", "a\n"},
		{"without a label", "```\na\n```", "a\n"},
		{"after thinking", "<think>```python\na\n```</think>\n```python\nb\n```", "b\n"},
		{"thinking alone", "<think>```python\na\n```</think>", "none"},
		{"thinking that does not end", "<think>```python\na\n```\n", "none"},
		{"in the answer", "```python\na\n```\n<answer>\n```python\nb\n```\n</answer>\n```python\nc\n```", "b\n"},
		{"an answer without one", "```python\na\n```\n<answer>see above</answer>", "a\n"},
		{"not closed", "```python\na\n", "none"},
		{"fences inside", "````python\na = '''\n```\n'''\n````", "a = '''\n```\n'''\n"},
		{"indented", "  ```Python\n  a\n  ```", "  a\n"},
		{"empty", "```python\n```", ""},
		{"none", "a", "none"},
	} {
		got, ok := LastBlock(c.completion, Python)
		if !ok {
			got = "none"
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestOutputsAreCompared(t *testing.T) {
	for _, c := range []struct {
		got, want string
		tolerance float64
		equal     bool
	}{
		{"a\nb\n", "a\nb", 0, true},
		{"a  \r\nb\n\n\n", "a\nb", 0, true},
		{" a", "a", 0, false},
		{"a b", "a  b", 0, false},
		{"a\n\nb", "a\nb", 0, false},
		{"A", "a", 0, false},
		{"a", "", 0, false},
		{"", "", 0, true},
		{"1.0", "1", 0, false},
		{"1.0\n x", "1 x", 1e-9, true},
		{"1.001", "1", 1e-2, true},
		{"1.001", "1", 1e-4, false},
		{"nan", "1", 1, false},
		{"inf", "inf", 1, true},
		{"1 2", "1", 1, false},
	} {
		if err := compareOutput(c.got, c.want, c.tolerance); (err == nil) != c.equal {
			t.Errorf("%q and %q within %v: %v, want equal %t", c.got, c.want, c.tolerance, err, c.equal)
		}
	}
}

func TestResultsAreCompared(t *testing.T) {
	for _, c := range []struct {
		got, want string
		tolerance float64
		equal     bool
	}{
		{"1", "1.0", 0, true},
		{"10000000000000000000000001", "10000000000000000000000000", 0, false},
		{"1e25", "10000000000000000000000000", 0, true},
		{"5e18", "5000000000000000005", 0, false},
		{"9007199254740992.0", "9007199254740993", 0, false},
		{"9007199254740993", "9007199254740992.0", 0, false},
		{"1.1805916207174113e+21", "1180591620717411303424", 0, true},
		{"1180591620717411303424", "1.1805916207174113e+21", 0, true},
		{"4e15", "4000000000000000", 0, true},
		{"0.30000000000000004", "0.3", 0, false},
		{"0.30000000000000004", "0.3", 1e-12, true},
		{"true", "1", 0, false},
		{`"1"`, "1", 0, false},
		{"null", "null", 0, true},
		{"[1,2]", "[1, 2]", 0, true},
		{"[2,1]", "[1,2]", 0, false},
		{"[1]", "[1,2]", 0, false},
		{`{"a":1,"b":[2]}`, `{"b":[2.0],"a":1}`, 0, true},
		{`{"a":1}`, `{"a":1,"b":null}`, 0, false},
		{`{"a":1,"c":1}`, `{"a":1,"b":1}`, 0, false},
		{"1 2", "1", 0, false},
		{"", "1", 0, false},
		{"x", "1", 0, false},
		{"1e400", "1e400", 0, true},
		{"1e400", "1e401", 0, false},
	} {
		if err := compareResult([]byte(c.got), []byte(c.want), c.tolerance); (err == nil) != c.equal {
			t.Errorf("%s and %s within %v: %v, want equal %t", c.got, c.want, c.tolerance, err, c.equal)
		}
	}
}

func FuzzLastBlock(f *testing.F) {
	for _, s := range []string{"```go\na\n```", "</think><answer>```\n```</answer>", "````\n```\n````"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if program, ok := LastBlock(s, Go); len(program) > len(s) || !ok && program != "" {
			t.Errorf("%q, %t", program, ok)
		}
	})
}

func FuzzCompareResult(f *testing.F) {
	f.Add([]byte(`{"a":[1,2.5e300,"x",null,true]}`), []byte(`[1e9999]`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if v, err := decode(a); err == nil {
			if err := compareResult(a, a, 0); err != nil {
				t.Errorf("%s (%v) is not itself: %v", a, v, err)
			}
		}
		_ = compareResult(a, b, 1e-6) // must return
	})
}
