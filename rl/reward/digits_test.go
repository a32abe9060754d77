package reward

import (
	"math"
	"strings"
	"testing"
)

func TestDigitsTexts(t *testing.T) {
	for _, c := range []struct {
		d                  Digits
		prompt, completion string
	}{
		{Digits{First: 7, Step: 1, Modulus: 10, Count: 4}, "7,8:10,4", "9,0,1,2"},
		{Digits{First: 9, Step: 3, Modulus: 10, Count: 3}, "9,2:10,3", "5,8,1"},
		{Digits{First: 9, Step: 1, Modulus: 20, Count: 2}, "9,10:20,2", "11,12"}, // the example of verl
		{Digits{First: 4, Step: 0, Modulus: 5, Count: 1}, "4,4:5,1", "4"},
	} {
		if err := c.d.Validate(); err != nil {
			t.Error(err)
		}
		if p, a := c.d.Prompt(), c.d.Completion(); p != c.prompt || a != c.completion {
			t.Errorf("%+v: %s → %s, want %s → %s", c.d, p, a, c.prompt, c.completion)
		}
	}
}

func TestDigitRewards(t *testing.T) {
	d := Digits{First: 7, Step: 1, Modulus: 10, Count: 4} // 9,0,1,2
	for _, c := range []struct {
		text   string
		share  float64
		status Status
	}{
		{"9,0,1,2", 1, Correct},
		{"9,0,1,2,3", 4. / 5, Wrong},
		{"9,0,1", 3. / 4, Wrong},
		{"9,5,1,2", 3. / 4, Wrong},
		{"1,1,1,1", 1. / 4, Wrong},
		{"9,0,1,02", 3. / 4, Wrong},
		{"9012", 0, Wrong},
		{"", 0, Wrong},
	} {
		s := Sample{Completion: c.text, Answer: d}
		if v := DigitShare(t.Context(), s); math.Abs(v.Value-c.share) > 1e-15 || v.Status != c.status {
			t.Errorf("DigitShare(%q) = %+v, want %v", c.text, v, c.share)
		}
	}
}

func TestDigitRewardsReportWrongTaskData(t *testing.T) {
	for want, answer := range map[string]any{
		"is string": "9,0",
		"Modulus 1": Digits{Modulus: 1, Count: 1},
		"First 10":  Digits{First: 10, Modulus: 10, Count: 1},
		"Step -1":   Digits{Step: -1, Modulus: 10, Count: 1},
		"Count 0":   Digits{Modulus: 10},
	} {
		v := DigitShare(t.Context(), Sample{Answer: answer})
		if v.Status != Error || !strings.Contains(v.Err.Error(), want) {
			t.Errorf("%+v, want an Error that says %q", v, want)
		}
	}
}
