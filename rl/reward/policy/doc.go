// Package policy scores the reasoning of a completion by rules on its steps: what no step may
// contain, what every step must contain, and which steps are required in which order. A
// verdict names the rules that are broken and the steps that break them.
package policy
