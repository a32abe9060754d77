package physics

import (
	_ "embed"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/aha-go/aha/rl/reward"
)

//go:embed testdata/quantities.json
var pintText []byte

type pintData struct {
	Units []struct {
		Unit      string
		Factor    float64
		Dimension [7]int
	}
	Pairs []struct{ Got, Want, Verdict string }
}

func pint(t *testing.T) (data pintData) {
	t.Helper()
	if err := json.Unmarshal(pintText, &data); err != nil {
		t.Fatal(err)
	}
	if len(data.Units) < 100 || len(data.Pairs) < 60 {
		t.Fatalf("%d units and %d pairs", len(data.Units), len(data.Pairs))
	}
	return data
}

func TestUnitsAreThoseOfPint(t *testing.T) {
	for _, c := range pint(t).Units {
		u, err := ParseUnit(c.Unit)
		d := c.Dimension
		if err != nil || math.Abs(u.Factor/c.Factor-1) > 1e-6 ||
			u.Dimension != (Dimension{d[0], d[1], d[2], d[3], d[4], d[5], d[6]}) {
			t.Errorf("%s: %+v (%v), pint says %v of %v", c.Unit, u, err, c.Factor, d)
		}
	}
}

func TestQuantitiesAreComparedAsByPint(t *testing.T) {
	for _, c := range pint(t).Pairs {
		v := ScoreQuantity(t.Context(), reward.Sample{
			Completion: `<think>\boxed{7 m}</think>So \boxed{` + c.Got + `}.`,
			Answer:     QuantityProblem{Want: c.Want, Tolerance: 0.0101},
		})
		verdict := "equal"
		switch v.Err.(type) {
		case *DimensionError:
			verdict = "dimension"
		case *ValueError:
			verdict = "value"
		case nil:
		default:
			verdict = v.Err.Error()
		}
		if verdict != c.Verdict || (v.Status == reward.Correct) != (verdict == "equal") ||
			(v.Value == 1) != (verdict == "equal") {
			t.Errorf("%s and %s: %+v, pint says %s", c.Got, c.Want, v, c.Verdict)
		}
	}
}

func TestWhatIsNoQuantityIsUnparseable(t *testing.T) {
	for _, text := range []string{"", "m", "three m", "3 furlongs", "3 m^", "3 m^99", "3 (m", "3 m)", "3 m//s", "3 m/",
		"3 m^2.5", "3 " + strings.Repeat("(", 100) + "m" + strings.Repeat(")", 100), "1e400 m", "3 kPaPa", "3 4 5",
		"3 and 4 m", "3 mmin", "--3 m", "3 " + strings.Repeat("m ", 1000)} {
		v := ScoreQuantity(
			t.Context(),
			reward.Sample{Completion: "<answer>" + text + "</answer>", Answer: QuantityProblem{Want: "3 m"}},
		)
		if v.Status != reward.Unparseable || v.Err == nil {
			t.Errorf("%q: %+v", text, v)
		}
	}
	v := ScoreQuantity(t.Context(), reward.Sample{Completion: "3 m", Answer: QuantityProblem{Want: "3 m"}})
	if v.Status != reward.Unparseable {
		t.Errorf("%+v without tags", v)
	}
}

func TestToleranceOfDegreesIsOfTheirNumber(t *testing.T) {
	for _, c := range []struct {
		want, got string
		equal     bool
	}{
		{"20 °C", "20.1 °C", true}, {"20 °C", "293.2 K", true}, {"20 °C", "22 °C", false}, {"20 °C", "295.15 K", false},
		{"0 °C", "2 °C", false}, {"0 °C", "32 °F", true}, {"-40 °C", "-40 °F", true}, {"68 °F", "20 °C", true},
		{"68 °F", "70 °F", false}, {"293.15 K", "22 °C", true},
	} {
		if err := (QuantityProblem{Want: c.want}).Check(c.got); (err == nil) != c.equal {
			t.Errorf("%s for %s: %v, want equal %t", c.got, c.want, err, c.equal)
		}
	}
}

func TestIllFormedQuantityProblemsAreErrors(t *testing.T) {
	for want, answer := range map[string]any{
		"is string":                 "3 m",
		`Want: physics: "" is no`:   QuantityProblem{},
		`"furlong" is not a unit`:   QuantityProblem{Want: "1 furlong"},
		"Tolerance is -1":           QuantityProblem{Want: "1 m", Tolerance: -1},
		"Tolerance is NaN":          QuantityProblem{Want: "1 m", Tolerance: math.NaN()},
		"physics.TrajectoryProblem": TrajectoryProblem{},
	} {
		v := ScoreQuantity(t.Context(), reward.Sample{Completion: "<answer>3 m</answer>", Answer: answer})
		if v.Status != reward.Error || !strings.Contains(v.Err.Error(), want) {
			t.Errorf("%+v, want an Error with %q", v, want)
		}
	}
}

func FuzzParseQuantity(f *testing.F) {
	for _, s := range []string{"9.81 m/s^2",
		`3\times 10^{8}\,\frac{\mathrm{m}}{\mathrm{s}}`, "25 °C", "1 J/(kg K)", "x = −1,200.5e-3 µΩ⁻²"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := ParseQuantity(s)
		if err == nil && (math.IsNaN(q.Value) || math.IsInf(q.Value, 0)) {
			t.Errorf("%q is %v", s, q)
		}
	})
}
