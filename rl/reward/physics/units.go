package physics

import (
	"math"
	"strings"
)

// named is a row of the table of units.
type named struct {
	names    string // separated by spaces: symbols before "|", words after it
	prefixed bool   // symbols may have prefix symbols, and words prefix words
	factor   float64
	of       Dimension
}

var (
	number      = Dimension{}
	length      = Dimension{Length: 1}
	area        = Dimension{Length: 2}
	volume      = Dimension{Length: 3}
	mass        = Dimension{Mass: 1}
	duration    = Dimension{Time: 1}
	frequency   = Dimension{Time: -1}
	speed       = Dimension{Length: 1, Time: -1}
	temperature = Dimension{Temperature: 1}
	force       = Dimension{Length: 1, Mass: 1, Time: -2}
	pressure    = Dimension{Length: -1, Mass: 1, Time: -2}
	energy      = Dimension{Length: 2, Mass: 1, Time: -2}
	power       = Dimension{Length: 2, Mass: 1, Time: -3}
)

// table has the units of the SI Brochure, 9th edition (2019), with the constants of CODATA
// 2018, and other units by NIST SP 811. Words may also have a plural in s.
var table = []named{
	// base units; prefixes of mass apply to the gram
	{"m | meter metre", true, 1, length},
	{"g | gram gramme", true, 1e-3, mass},
	{"s sec | second", true, 1, duration},
	{"A | ampere amp", true, 1, Dimension{Current: 1}},
	{"K | kelvin", true, 1, temperature},
	{"mol | mole", true, 1, Dimension{Amount: 1}},
	{"cd | candela", true, 1, Dimension{Luminosity: 1}},

	// derived units with names
	{"rad | radian", true, 1, number},
	{"sr | steradian", true, 1, number},
	{"Hz | hertz", true, 1, frequency},
	{"N | newton", true, 1, force},
	{"Pa | pascal", true, 1, pressure},
	{"J | joule", true, 1, energy},
	{"W | watt", true, 1, power},
	{"C | coulomb", true, 1, Dimension{Time: 1, Current: 1}},
	{"V | volt", true, 1, Dimension{Length: 2, Mass: 1, Time: -3, Current: -1}},
	{"F | farad", true, 1, Dimension{Length: -2, Mass: -1, Time: 4, Current: 2}},
	{"Ω Ω | ohm", true, 1, Dimension{Length: 2, Mass: 1, Time: -3, Current: -2}},
	{"S | siemens", true, 1, Dimension{Length: -2, Mass: -1, Time: 3, Current: 2}},
	{"Wb | weber", true, 1, Dimension{Length: 2, Mass: 1, Time: -2, Current: -1}},
	{"T | tesla", true, 1, Dimension{Mass: 1, Time: -2, Current: -1}},
	{"H | henry", true, 1, Dimension{Length: 2, Mass: 1, Time: -2, Current: -2}},
	{"lm | lumen", true, 1, Dimension{Luminosity: 1}},
	{"lx | lux", true, 1, Dimension{Length: -2, Luminosity: 1}},
	{"Bq | becquerel", true, 1, frequency},
	{"Gy | gray", true, 1, Dimension{Length: 2, Time: -2}},
	{"Sv | sievert", true, 1, Dimension{Length: 2, Time: -2}},
	{"kat | katal", true, 1, Dimension{Amount: 1, Time: -1}},

	// numbers and angles
	{"% | percent", false, 1e-2, number},
	{"ppm |", false, 1e-6, number},
	{"° deg | degree", false, math.Pi / 180, number},
	{"rev | revolution turn", false, 2 * math.Pi, number},
	{"rpm |", false, 2 * math.Pi / 60, frequency},

	// time
	{"min | minute", false, 60, duration},
	{"h hr | hour", false, 3600, duration},
	{"d | day", false, 86400, duration},
	{"yr a | year", false, 365.25 * 86400, duration},

	// length, area, volume, speed
	{"Å | angstrom ångström", false, 1e-10, length},
	{"in | inch", false, 0.0254, length},
	{"ft | foot feet", false, 0.3048, length},
	{"yd | yard", false, 0.9144, length},
	{"mi | mile", false, 1609.344, length},
	{"nmi |", false, 1852, length},
	{"au AU |", false, 149597870700, length},
	{"ly | lightyear", false, 9460730472580800, length},
	{"pc | parsec", true, 149597870700 * 648000 / math.Pi, length},
	{"ha | hectare", false, 1e4, area},
	{"L l | liter litre", true, 1e-3, volume},
	{"gal | gallon", false, 3.785411784e-3, volume},
	{"mph |", false, 0.44704, speed},
	{"kph kmh |", false, 1 / 3.6, speed},
	{"kn kt | knot", false, 1852. / 3600, speed},

	// mass, force, pressure
	{"t | tonne", true, 1e3, mass},
	{"Da u amu | dalton", false, 1.66053906660e-27, mass},
	{"lb lbs | pound", false, 0.45359237, mass},
	{"oz | ounce", false, 0.028349523125, mass},
	{"dyn | dyne", false, 1e-5, force},
	{"lbf |", false, 4.4482216152605, force},
	{"kgf |", false, 9.80665, force},
	{"bar | bar", true, 1e5, pressure},
	{"atm | atmosphere", false, 101325, pressure},
	{"mmHg |", false, 133.322387415, pressure},
	{"Torr torr |", false, 101325. / 760, pressure},
	{"psi |", false, 4.4482216152605 / (0.0254 * 0.0254), pressure},

	// energy, power and others
	{"eV | electronvolt", true, 1.602176634e-19, energy},
	{"cal | calorie", true, 4.184, energy},
	{"erg | erg", false, 1e-7, energy},
	{"Wh |", true, 3600, energy},
	{"BTU Btu |", false, 1055.05585262, energy},
	{"hp | horsepower", false, 550 * 0.3048 * 4.4482216152605, power},
	{"Ah |", true, 3600, Dimension{Time: 1, Current: 1}},
	{"G | gauss", true, 1e-4, Dimension{Mass: 1, Time: -2, Current: -1}},
}

// celsius and fahrenheit are the units with offsets.
var (
	celsius    = Unit{1, 273.15, temperature}
	fahrenheit = Unit{5. / 9, 273.15 - 32*5./9, temperature}
)

var prefixes = []struct {
	symbol, word string
	factor       float64
}{
	{"Q", "quetta", 1e30}, {"R", "ronna", 1e27}, {"Y", "yotta", 1e24}, {"Z", "zetta", 1e21}, {"E", "exa", 1e18},
	{"P", "peta", 1e15}, {"T", "tera", 1e12}, {"G", "giga", 1e9}, {"M", "mega", 1e6}, {"k", "kilo", 1e3},
	{"h", "hecto", 1e2}, {"da", "deca", 1e1}, {"d", "deci", 1e-1}, {"c", "centi", 1e-2}, {"m", "milli", 1e-3},
	{"µ", "micro", 1e-6}, {"μ", "micro", 1e-6}, {"u", "micro", 1e-6}, {"n", "nano", 1e-9}, {"p", "pico", 1e-12},
	{"f", "femto", 1e-15}, {"a", "atto", 1e-18}, {"z", "zepto", 1e-21}, {"y", "yocto", 1e-24},
	{"r", "ronto", 1e-27}, {"q", "quecto", 1e-30},
}

// symbols and words are the units by name; prefixedSymbols and prefixedWords are those that may
// have prefixes.
var symbols, words, prefixedSymbols, prefixedWords = index()

func index() (symbols, words, prefixedSymbols, prefixedWords map[string]Unit) {
	symbols, words = map[string]Unit{}, map[string]Unit{}
	prefixedSymbols, prefixedWords = map[string]Unit{}, map[string]Unit{}
	for _, n := range table {
		u := Unit{Factor: n.factor, Dimension: n.of}
		before, after, _ := strings.Cut(n.names, "|")
		for name := range strings.FieldsSeq(before) {
			symbols[name] = u
			if n.prefixed {
				prefixedSymbols[name] = u
			}
		}
		for name := range strings.FieldsSeq(after) {
			for _, name := range []string{name, name + "s", name + "es"} {
				words[name] = u
				if n.prefixed {
					prefixedWords[name] = u
				}
			}
		}
	}
	for _, name := range []string{"°C", "℃", "degC", "celsius"} {
		symbols[name] = celsius
	}
	for _, name := range []string{"°F", "℉", "degF", "fahrenheit"} {
		symbols[name] = fahrenheit
	}
	return symbols, words, prefixedSymbols, prefixedWords
}

// lookup finds a unit by its symbol or word. A symbol has priority over a symbol with a prefix,
// so that "min" is the minute and "cd" the candela. The case of words is ignored.
func lookup(name string) (Unit, bool) {
	if u, ok := symbols[name]; ok {
		return u, true
	}
	for _, p := range prefixes {
		if base, ok := strings.CutPrefix(name, p.symbol); ok {
			if u, ok := prefixedSymbols[base]; ok {
				u.Factor *= p.factor
				return u, true
			}
		}
	}
	name = strings.ToLower(name)
	if u, ok := words[name]; ok {
		return u, true
	}
	for _, p := range prefixes {
		if base, ok := strings.CutPrefix(name, p.word); ok {
			if u, ok := prefixedWords[base]; ok {
				u.Factor *= p.factor
				return u, true
			}
		}
	}
	if name == "celsius" || name == "fahrenheit" {
		return symbols[name], true
	}
	return Unit{}, false
}
