//go:build linux && (amd64 || arm64)

package dynlib

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The loader's message belongs to the call that failed, even though goroutines
// move between threads.
func TestErrorsOfManyGoroutinesNameTheirOwnFile(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			path := filepath.Join(dir, string(rune('a'+g))+".so")
			for range 500 {
				if _, err := open(path); err == nil || !strings.Contains(err.Error(), path) {
					t.Errorf("open %s: error %v", path, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
