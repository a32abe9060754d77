package physics

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Dimension holds the exponents of the seven base quantities of the SI.
type Dimension struct{ Length, Mass, Time, Current, Temperature, Amount, Luminosity int }

func (d Dimension) times(e Dimension, power int) Dimension {
	return Dimension{d.Length + power*e.Length, d.Mass + power*e.Mass, d.Time + power*e.Time,
		d.Current + power*e.Current, d.Temperature + power*e.Temperature, d.Amount + power*e.Amount,
		d.Luminosity + power*e.Luminosity}
}

// String returns the dimension in base units, such as "m kg s^-2", or "1".
func (d Dimension) String() string {
	var parts []string
	for _, e := range []struct {
		unit  string
		power int
	}{{"m", d.Length}, {"kg", d.Mass}, {"s", d.Time}, {"A", d.Current}, {"K", d.Temperature}, {"mol", d.Amount},
		{"cd", d.Luminosity}} {
		switch e.power {
		case 0:
		case 1:
			parts = append(parts, e.unit)
		default:
			parts = append(parts, fmt.Sprintf("%s^%d", e.unit, e.power))
		}
	}
	if len(parts) == 0 {
		return "1"
	}
	return strings.Join(parts, " ")
}

// Unit is a unit in terms of base units of the SI: the value x in this unit is Factor·x + Offset
// in base units.
type Unit struct {
	Factor    float64
	Offset    float64 // 0 except for °C and °F
	Dimension Dimension
}

// ParseUnit reads a unit: symbols or English names joined by "*", "·" or spaces, "/" and
// "per", with powers ("m/s^2", "m s⁻²", "J/(kg K)", "kilometers per hour"). A "/" divides only
// by the next unit or parenthesis: "J/kg*K" is J·K/kg. "" and "1" are the unit of plain
// numbers. °C and °F have an offset only if they stand alone; in products they are temperature
// differences.
func ParseUnit(text string) (Unit, error) {
	p := unitParser{rest: strings.TrimSpace(text)}
	u, err := p.product(0)
	if err == nil && p.rest != "" {
		err = fmt.Errorf("%q is left over", p.rest)
	}
	if err == nil && (u.Factor == 0 || math.IsInf(u.Factor, 0)) {
		err = fmt.Errorf("its factor is %v", u.Factor)
	}
	if err != nil {
		return Unit{}, fmt.Errorf("physics: unit %q: %w", text, err)
	}
	return u, nil
}

type unitParser struct{ rest string }

// take removes from the rest the first of the given tokens that it begins with.
func (p *unitParser) take(tokens ...string) bool {
	for _, t := range tokens {
		if rest, ok := strings.CutPrefix(p.rest, t); ok {
			p.rest = strings.TrimLeft(rest, " ")
			return true
		}
	}
	return false
}

const (
	maxNesting = 16
	maxPower   = 12
)

func (p *unitParser) product(nesting int) (Unit, error) {
	u, single := Unit{Factor: 1}, true
	if p.rest == "" {
		return u, nil
	}
	for n := 0; ; n++ {
		power := 1
		switch {
		case p.take("/", "per "):
			power = -1
		case n == 0:
		case p.rest == "" || strings.HasPrefix(p.rest, ")"):
			return u, nil
		default:
			p.take("*", "·", "⋅", "×", ".")
		}
		factor, err := p.factor(nesting)
		if err != nil {
			return u, err
		}
		if n == 0 && power == 1 {
			u = factor
			continue
		}
		if single {
			u.Offset, single = 0, false
		}
		u.Factor *= math.Pow(factor.Factor, float64(power))
		u.Dimension = u.Dimension.times(factor.Dimension, power)
	}
}

func (p *unitParser) factor(nesting int) (Unit, error) {
	var u Unit
	switch {
	case p.take("("):
		if nesting == maxNesting {
			return u, fmt.Errorf("more than %d parentheses", maxNesting)
		}
		var err error
		if u, err = p.product(nesting + 1); err != nil {
			return u, err
		}
		if !p.take(")") {
			return u, fmt.Errorf(`no ")"`)
		}
	case p.take("1"):
		u.Factor = 1
	default:
		end := strings.IndexFunc(p.rest, func(r rune) bool {
			return strings.ContainsRune(" */()^.·⋅×-+0123456789⁻⁰¹²³⁴⁵⁶⁷⁸⁹", r)
		})
		if end < 0 {
			end = len(p.rest)
		}
		name := p.rest[:end]
		var ok bool
		if u, ok = lookup(name); !ok {
			return u, fmt.Errorf("%q is not a unit", name)
		}
		p.rest = strings.TrimLeft(p.rest[end:], " ")
	}
	power, err := p.power()
	if err != nil || power == 1 {
		return u, err
	}
	return Unit{Factor: math.Pow(u.Factor, float64(power)), Dimension: Dimension{}.times(u.Dimension, power)}, nil
}

var superscripts = strings.NewReplacer("⁻", "-", "⁰", "0", "¹", "1", "²", "2", "³", "3", "⁴", "4", "⁵", "5",
	"⁶", "6", "⁷", "7", "⁸", "8", "⁹", "9")

// power reads a power, "^2", "**-1", "²" or "⁻¹", or "2" or "-1" right after a symbol. It
// returns 1 if there is none.
func (p *unitParser) power() (int, error) {
	explicit := p.take("^", "**")
	bracket := explicit && p.take("(", "{")
	end := 0
	for end < len(p.rest) {
		r, size := utf8.DecodeRuneInString(p.rest[end:])
		if !strings.ContainsRune("-+0123456789⁻⁰¹²³⁴⁵⁶⁷⁸⁹", r) {
			break
		}
		end += size
	}
	if end == 0 && !explicit {
		return 1, nil
	}
	power, err := strconv.Atoi(superscripts.Replace(p.rest[:end]))
	if err != nil || power < -maxPower || power > maxPower {
		return 0, fmt.Errorf("power %q, want an integer from %d to %d", p.rest[:end], -maxPower, maxPower)
	}
	p.rest = strings.TrimLeft(p.rest[end:], " ")
	if bracket && !p.take(")", "}") {
		return 0, fmt.Errorf("a power without its closing bracket")
	}
	return power, nil
}
