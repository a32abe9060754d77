package dynlib

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// newestFirst returns the files that match pattern, those with higher version
// numbers in their path first.
func newestFirst(pattern string) []string {
	paths, err := filepath.Glob(pattern)
	if err != nil { // a folder whose own name is no pattern, such as one with a [
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
		list[i], _ = strconv.Atoi(f) // a number out of range sorts by what Atoi makes of it
	}
	return list
}

// env returns one place for each sub-folder of the folder that the environment
// variable name holds, or one that says that it is not set.
func env(name string, subs ...string) []Place {
	return under("$"+name, os.Getenv(name), subs...)
}

// under returns one place for each sub-folder of root.
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
