package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aha-go/aha/model/checkpoint"
)

// GRPO saves to a file system that holds two checkpoints and a half.
func TestFullDiskLeavesTheLastCheckpoint(t *testing.T) {
	out := clone(t)
	grpo := filepath.Join(out, "grpo")
	if err := os.RemoveAll(grpo); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(grpo, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", grpo, "tmpfs", 0, "size=68m"); err != nil {
		t.Skipf("skipped: cannot mount a small file system: %v", err)
	}
	defer syscall.Unmount(grpo, 0)
	o := finish(t, command(t, "-out", out, "-resume"))
	if o.code != 1 || !strings.Contains(o.stderr, "no space left on device") || !strings.Contains(o.stderr, grpo) {
		t.Errorf("exit code %d, %s", o.code, o.stderr)
	}
	last := newest(t, grpo)
	if _, err := checkpoint.Verify(last); err != nil {
		t.Error(err)
	}
	if err := syscall.Mount("tmpfs", grpo, "tmpfs", syscall.MS_REMOUNT, "size=200m"); err != nil {
		t.Fatal(err)
	}
	_, result := must(t, out, "-resume")
	wantUndisturbed(t, "after a full disk", out, result)
}
