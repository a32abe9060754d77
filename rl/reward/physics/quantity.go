package physics

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aha-go/aha/rl/reward"
)

// Quantity is a number in base units of the SI.
type Quantity struct {
	Value     float64
	Dimension Dimension
}

// String returns the quantity in base units.
func (q Quantity) String() string {
	if q.Dimension == (Dimension{}) {
		return fmt.Sprintf("%.6g", q.Value)
	}
	return fmt.Sprintf("%.6g %v", q.Value, q.Dimension)
}

var (
	// quantityForm matches a number, perhaps with a power of ten, and a unit.
	quantityForm = regexp.MustCompile(`^([-+−]?(?:\d+(?:[,' ]\d{3})+|\d+)?(?:\.\d+)?)\s*` +
		`(?:[eE]([-+]?\d+)|` +
		`(?:[x×*·⋅]\s*)10\s*(?:\^|\*\*)\s*[({]?\s*([-+−]?\d+)\s*[)}]?|` +
		`(?:[x×*·⋅]\s*)10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?\s*(.*)$`)
	latexGroup = regexp.MustCompile(`\\(?:text|mathrm|rm|mathit|textrm|operatorname|unit|si)\s*\{([^{}]*)\}`)
	latexFrac  = regexp.MustCompile(`\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}`)
	latexPower = regexp.MustCompile(`\^\s*\{([^{}]*)\}`)
	latexWords = strings.NewReplacer(`\times`, "×", `\cdot`, "·", `\,`, " ", `\;`, " ", `\:`, " ", `\!`, "",
		`\ `, " ", "~", " ", "\u00a0", " ", `\mu`, "µ", `\Omega`, "Ω", `\degree`, "°", `^\circ`, "°",
		`^{\circ}`, "°", `\circ`, "°", `\%`, "%", `\left`, "", `\right`, "", "$", "")
)

// maxQuantity is the maximum number of bytes of a quantity.
const maxQuantity = 1 << 10

// ParseQuantity reads a number with a unit, in plain text or LaTeX: "9.81 m/s^2", "3×10^8 m s⁻¹",
// "1,200 kg", "6.02e23 mol^-1", "5\times 10^{-3}\,\mathrm{m/s}". Text before the last "=" or "≈"
// is ignored, as in "v = 3 m/s". The text may have up to 1 KiB.
func ParseQuantity(text string) (Quantity, error) {
	q, _, err := parseQuantity(text)
	return q, err
}

// parseQuantity also returns the unit.
func parseQuantity(text string) (Quantity, Unit, error) {
	if len(text) > maxQuantity {
		return Quantity{}, Unit{}, fmt.Errorf("physics: a quantity of %d bytes, limit %d", len(text), maxQuantity)
	}
	plain := latexWords.Replace(text)
	for range 4 { // groups may be nested
		plain = latexGroup.ReplaceAllString(plain, "$1")
		plain = latexFrac.ReplaceAllString(plain, "($1)/($2)")
	}
	plain = strings.ReplaceAll(latexPower.ReplaceAllString(plain, "^$1"), "\n", " ")
	if i := strings.LastIndexAny(plain, "=≈"); i >= 0 {
		_, size := utf8.DecodeRuneInString(plain[i:])
		plain = plain[i+size:]
	}
	m := quantityForm.FindStringSubmatch(strings.TrimSpace(plain))
	if m == nil || strings.Trim(m[1], "-+−") == "" {
		return Quantity{}, Unit{}, fmt.Errorf("physics: %s is not a number with a unit", strconv.Quote(text))
	}
	digits := strings.NewReplacer(",", "", "'", "", " ", "", "−", "-").Replace(m[1])
	exponent := strings.NewReplacer("−", "-").Replace(m[2] + m[3] + superscripts.Replace(m[4]))
	if exponent != "" {
		digits += "e" + exponent
	}
	value, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return Quantity{}, Unit{}, fmt.Errorf("physics: %s: %w", strconv.Quote(text), err)
	}
	unit, err := ParseUnit(strings.TrimRight(m[5], " ."))
	if err != nil {
		return Quantity{}, Unit{}, err
	}
	q := Quantity{Value: value*unit.Factor + unit.Offset, Dimension: unit.Dimension}
	if math.IsInf(q.Value, 0) {
		return Quantity{}, Unit{}, fmt.Errorf("physics: %s is out of range", strconv.Quote(text))
	}
	return q, unit, nil
}

// QuantityProblem asks for a quantity. ScoreQuantity expects it in Sample.Answer.
type QuantityProblem struct {
	Want string // a number with a unit, such as "9.81 m/s^2"
	// Tolerance is the maximum difference relative to Want; if Want is 0, it is the absolute
	// difference in base units. 0 means 0.01. For 20 °C it is relative to 20 K, not to
	// 293.15 K.
	Tolerance float64
}

// DimensionError is an answer with another dimension than the wanted one.
type DimensionError struct{ Got, Want Dimension }

func (e *DimensionError) Error() string {
	return fmt.Sprintf("physics: dimension %v, want %v", e.Got, e.Want)
}

// ValueError is an answer with the right dimension and a wrong value.
type ValueError struct{ Got, Want Quantity }

func (e *ValueError) Error() string { return fmt.Sprintf("physics: %v, want %v", e.Got, e.Want) }

// Check compares an answer with Want. It returns nil, a DimensionError, a ValueError, or an
// error of ParseQuantity.
func (p QuantityProblem) Check(answer string) error {
	want, allowed, err := p.want()
	if err != nil {
		return err
	}
	got, err := ParseQuantity(answer)
	if err != nil {
		return err
	}
	if got.Dimension != want.Dimension {
		return &DimensionError{got.Dimension, want.Dimension}
	}
	if math.Abs(got.Value-want.Value) > allowed {
		return &ValueError{got, want}
	}
	return nil
}

// want returns the wanted quantity and the allowed difference, in base units.
func (p QuantityProblem) want() (want Quantity, allowed float64, err error) {
	tolerance := p.Tolerance
	if tolerance == 0 {
		tolerance = 0.01
	}
	if !(tolerance > 0) || math.IsInf(tolerance, 0) {
		return Quantity{}, 0, fmt.Errorf("physics: QuantityProblem.Tolerance is %v, want 0 or more",
			p.Tolerance)
	}
	want, unit, err := parseQuantity(p.Want)
	if err != nil {
		return want, 0, fmt.Errorf("physics: QuantityProblem.Want: %w", err)
	}
	size := math.Abs(want.Value - unit.Offset)
	if size == 0 {
		size = 1
	}
	return want, tolerance * size, nil
}

// ScoreQuantity scores the last \boxed{…} of a completion or, if there is none, its last
// <answer>…</answer>, after </think>. The verdict is Correct with 1 if it equals the problem's
// quantity; Wrong with 0 and a DimensionError or a ValueError if it does not; Unparseable with
// 0 if it is not a quantity; Error if Sample.Answer is not a valid QuantityProblem.
func ScoreQuantity(_ context.Context, s reward.Sample) reward.Verdict {
	problem, ok := s.Answer.(QuantityProblem)
	if !ok {
		return reward.Verdict{Status: reward.Error,
			Err: fmt.Errorf("physics: Sample.Answer is %T, want physics.QuantityProblem", s.Answer)}
	}
	if _, _, err := problem.want(); err != nil {
		return reward.Verdict{Status: reward.Error, Err: err}
	}
	answer, ok := ExtractQuantity(s.Completion)
	if !ok {
		return unparseable(errNoAnswer)
	}
	switch err := problem.Check(answer).(type) {
	case nil:
		return reward.Verdict{Status: reward.Correct, Value: 1}
	case *DimensionError, *ValueError:
		return reward.Verdict{Status: reward.Wrong, Err: err}
	default:
		return unparseable(err)
	}
}
