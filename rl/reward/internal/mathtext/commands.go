package mathtext

import "strings"

// symbols maps Unicode characters to the equivalent LaTeX or ASCII.
var symbols = map[rune]string{
	'×': `*`, '·': `*`, '⋅': `*`, '∙': `*`, '•': `*`, '∗': `*`,
	'÷': `/`, '⁄': `/`, '∕': `/`, '−': `-`, '–': `-`, '—': `-`,
	'≤': `\le `, '⩽': `\le `, '≥': `\ge `, '⩾': `\ge `, '≠': `\ne `,
	'≈': `\approx `, '≡': `\equiv `, '∞': `\infty `,
	'√': `\sqrt `, '±': `\pm `, '∓': `\mp `, '∪': `\cup `, '∩': `\cap `, '∖': `\setminus `, '∈': `\in `,
	'∅': `\emptyset `, '°': `\degree `, 'º': `\degree `, '′': `'`, '’': `'`, '∣': `|`,
	'，': `,`, '；': `;`, '：': `:`,
	'（': `(`, '）': `)`, '＝': `=`, '。': `.`, '％': `%`, '\u00a0': ` `, '\u2009': ` `, '\u202f': ` `,
	'ℝ': `\mathbb{R}`, 'ℤ': `\mathbb{Z}`, 'ℕ': `\mathbb{N}`, 'ℚ': `\mathbb{Q}`, 'ℂ': `\mathbb{C}`,
	'α': `\alpha `, 'β': `\beta `, 'γ': `\gamma `, 'δ': `\delta `,
	'ε': `\epsilon `, 'θ': `\theta `, 'λ': `\lambda `,
	'μ': `\mu `, 'π': `\pi `, 'ρ': `\rho `, 'σ': `\sigma `, 'τ': `\tau `, 'φ': `\phi `, 'ω': `\omega `,
	'⟨': `\langle `, '⟩': `\rangle `, '⌊': `\lfloor `, '⌋': `\rfloor `, '⌈': `\lceil `, '⌉': `\rceil `,
}

const superscripts = "⁰¹²³⁴⁵⁶⁷⁸⁹"

// vulgars holds the fractions that are Unicode characters, such as ½.
var vulgars = map[rune][2]int64{
	'½': {1, 2}, '⅓': {1, 3}, '⅔': {2, 3}, '¼': {1, 4}, '¾': {3, 4}, '⅕': {1, 5}, '⅖': {2, 5}, '⅗': {3, 5},
	'⅘': {4, 5}, '⅙': {1, 6}, '⅚': {5, 6}, '⅛': {1, 8}, '⅜': {3, 8}, '⅝': {5, 8}, '⅞': {7, 8},
}

// ignored holds commands that change only the layout.
var ignored = wordSet(`left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle
	textstyle limits nolimits rm bf it mathstrut quad qquad enspace thinspace nobreak strut hfill noindent`)

// textual holds commands whose argument is text.
var textual = wordSet(`text textbf textit textrm textnormal textsf texttt textsc mbox hbox mathrm mathbf mathit mathsf
	mathtt mathcal operatorname boldsymbol bm emph underline`)

// renamed maps commands to another command with the same meaning.
var renamed = map[string]string{
	"dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "leq": "le", "leqslant": "le", "leqq": "le", "geq": "ge",
	"geqslant": "ge", "geqq": "ge", "neq": "ne", "lt": "<", "gt": ">", "cdot": "*", "times": "*", "ast": "*", "div": "/",
	"varnothing": "emptyset", "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "lbrace": `\{`, "rbrace": `\}`,
	"lbrack": "[", "rbrack": "]", "land": "and", "wedge": "and", "lor": "or", "vee": "or", "smallsetminus": "setminus",
	"backslash": "setminus", "simeq": "approx", "cong": "approx", "sim": "approx", "dbinom": "binom", "tbinom": "binom",
	"circ": "degree", "prime": "'", "bar": "overline", "varphi": "phi", "varepsilon": "epsilon", "iff": "equiv",
	"colon": ":", "dots": "ldots", "cdots": "ldots", "infin": "infty", "fbox": "boxed", "asin": "arcsin",
	"acos": "arccos", "atan": "arctan", "reals": "R", "lgroup": "(", "rgroup": ")",
}

// spoken maps words of plain text to commands.
var spoken = map[string]string{
	"pi": "pi", "sqrt": "sqrt", "infinity": "infty", "inf": "infty", "oo": "infty", "theta": "theta", "alpha": "alpha",
	"beta": "beta", "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc", "log": "log",
	"ln": "ln", "lg": "lg", "exp": "exp", "arcsin": "arcsin", "arccos": "arccos", "arctan": "arctan", "asin": "arcsin",
	"acos": "arccos", "atan": "arctan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "and": "and", "or": "or",
	"percent": "%", "percentage": "%", "pct": "%", "abs": "abs", "max": "max", "min": "min", "gcd": "gcd", "lcm": "lcm",
	"union": "cup", "floor": "floor", "ceil": "ceil",
}

// greek holds the commands of Greek letters.
var greek = wordSet(`alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon
	phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell infty`)

// operators holds the commands that are tokens of kind tokOp.
var operators = wordSet(`* / < > le ge ne approx equiv in cup cap setminus pm mp | [ ] ( ) \{ \} ' and or
	degree % : ldots`)

// wordSet returns the words as a set.
func wordSet(words string) map[string]bool {
	s := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		s[w] = true
	}
	return s
}
