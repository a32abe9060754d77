package dynlib

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// newestFirst returns the files that match pattern, those with the highest
// version numbers in their paths first.
func newestFirst(pattern string) []string {
	paths, err := filepath.Glob(pattern)
	if err != nil { // a folder whose name is not a valid pattern, such as one with a [
		if _, err := os.Stat(pattern); err == nil {
			return []string{pattern}
		}
	}
	slices.SortStableFunc(paths, func(a, b string) int { return slices.Compare(numbers(b), numbers(a)) })
	return paths
}

// numbers returns the numbers in path: 12 and 4 of "cuda-12.4".
func numbers(path string) []int {
	fields := strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' })
	list := make([]int, len(fields))
	for i, f := range fields {
		list[i], _ = strconv.Atoi(f) // Atoi limits a number out of range to the range of int
	}
	return list
}

// env returns one Place for each sub-folder of the folder in the environment
// variable name. If the variable is not set, it returns one Place that says so.
func env(name string, subs ...string) []Place {
	return under("$"+name, os.Getenv(name), subs...)
}

// under returns one Place for each sub-folder of root.
func under(from, root string, subs ...string) []Place {
	if root == "" {
		return []Place{{From: from}}
	}
	var list []Place
	for _, sub := range subs {
		list = append(list, Place{from, filepath.Join(root, sub)})
	}
	return list
}
