// Package policy scores a reasoning by rules on its steps: what no step may contain, what
// every step must, and which steps there must be, in which order. A verdict names the steps
// and the rules that they break.
package policy
