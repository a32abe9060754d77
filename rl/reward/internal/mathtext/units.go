package mathtext

import (
	"strings"
	"unicode/utf8"
)

// units holds short names of units. Without a space before them, they are units and not products
// of letters. Any word of four or more letters after a number counts as a unit.
var units = wordSet(`cm mm km dm nm kg mg ml mL cl dl kl ft in inch inches lb lbs oz yd mi hr hrs min mins sec secs ms
	mph kph kmh kmph rpm am pm th st nd rd deg rad cc gal pt qt usd eur gbp rs sq cu hz khz mhz ghz kw kwh mw kj kcal cal
	mol atm psi pa kpa mpa db ev au ly bps gb mb kb tb yrs yr day days men car cars dog dogs egg eggs pie pies toy toys
	way ways pen pens box boxes bag bags cup cups cow cows job jobs tie ties hat hats kid kids per of a the
	more less each left USD EUR GBP AM PM Hz kHz MHz GHz kW kWh MW kJ Pa kPa MPa eV AU KB MB GB TB`)

// letterUnits holds units of one letter, which must have a space before them and stand at the
// end.
var letterUnits = wordSet(`m g s h L l N J W V K C F A B T t`)

// endsValue reports whether a unit may follow t.
func endsValue(t token) bool {
	return t.kind == tokNumber ||
		t.kind == tokOp && (t.text == ")" || t.text == "}" || t.text == "%" || t.text == "degree" || t.text == "/")
}

// unit skips a unit after a value, with its power and divisor, and reports whether there was
// one.
func (p *parser) unit() bool {
	t := p.peek()
	after := p.tokens[max(0, p.pos-1)]
	value := endsValue(after)
	switch {
	case t.kind == tokText && p.pos > 0 && !strings.ContainsAny(t.text, "=<>"):
	case t.kind == tokWord && value && (len(t.text) >= 4 || units[t.text] || units[strings.ToLower(t.text)]):
	case t.kind == tokWord && p.units && after.kind != tokOp: // miles per hour
	case t.kind == tokLetter && (t.spaced && value || p.units) && letterUnits[t.text] && p.endsAt(1) && !p.letterBefore():
	default:
		return false
	}
	p.pos++
	p.units = true
	if p.isOp("^") && p.at(1).kind == tokNumber {
		p.pos += 2
	} else if p.isOp("^") && p.at(1).text == "{" && p.at(2).kind == tokNumber && p.at(3).text == "}" {
		p.pos += 4
	} else if p.isOp("^") && p.at(1).text == "{" && p.at(2).text == "-" && p.at(4).text == "}" {
		p.pos += 5
	}
	return true
}

// letterBefore reports whether the item already has a letter. Then another letter is not a
// unit.
func (p *parser) letterBefore() bool {
	for i := p.pos - 1; i >= 0; i-- {
		switch t := p.tokens[i]; {
		case t.kind == tokLetter:
			return !p.units
		case t.kind == tokOp && (t.text == "," || t.text == "=" || t.text == "and" || t.text == "or"):
			return false
		}
	}
	return false
}

// endsAt reports whether the item ends after i more tokens, or a power or a division of units
// follows there.
func (p *parser) endsAt(i int) bool {
	t := p.at(i)
	return t.kind == tokEnd || t.kind == tokText || t.kind == tokOp &&
		(t.text == "," || t.text == "and" || t.text == "or" || t.text == ")" || t.text == "}" || t.text == ";" ||
			t.text == "^" && p.endsAt(i+2))
}

// splitWords splits words of up to 3 letters into products of letters if an operator, a number
// or a letter is next to them, such as xy in 2xy + 1. Words next to words are prose, and units
// after a number are not split.
func splitWords(tokens []token) []token {
	split := make([]token, 0, len(tokens))
	for i, t := range tokens {
		if t.kind != tokWord || utf8.RuneCountInString(t.text) > 3 || !splits(tokens, i) {
			split = append(split, t)
			continue
		}
		for _, r := range t.text {
			split = append(split, token{kind: tokLetter, text: string(r), spaced: t.spaced})
			t.spaced = false
		}
	}
	return split
}

// splits reports whether the word at i is a product of letters.
func splits(tokens []token, i int) bool {
	before := token{kind: tokEnd}
	if i > 0 {
		before = tokens[i-1]
	}
	after := tokens[i+1]
	switch {
	case before.kind == tokWord || after.kind == tokWord || before.kind == tokText || after.kind == tokText:
		return false
	case endsValue(before) && units[strings.ToLower(tokens[i].text)]:
		return false
	case before.kind == tokEnd && after.kind == tokEnd:
		return true
	}
	beside := func(t token, spaced bool) bool {
		if t.kind == tokOp {
			return t.text != "," && t.text != "and" && t.text != "or"
		}
		return t.kind != tokEnd && !spaced
	}
	return strings.HasPrefix(before.text, `\`) || beside(before, tokens[i].spaced) || beside(after, after.spaced)
}
