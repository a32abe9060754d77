package main

import (
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// disks is the number of disks that the test fills; .ci/soak sets a higher number.
var disks = flag.Int("disks", 2, "number of disks of random sizes that the test of full disks fills")

// mount mounts a file system of the given size at out.
func mount(t *testing.T, out string, size int64) (resize func(size int64)) {
	t.Helper()
	if err := syscall.Mount("tmpfs", out, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("skipped: cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(out, 0) })
	return func(size int64) {
		t.Helper()
		if err := syscall.Mount("tmpfs", out, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", size)); err != nil {
			t.Fatal(err)
		}
	}
}

// If the disk is full at a random point, the run stops with an error. With more space it can
// be resumed.
func TestFullDiskStopsARunThatContinuesWithMoreRoom(t *testing.T) {
	dir, _ := reference(t)
	var whole int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			whole += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range *disks {
		out := t.TempDir()
		size := int64(os.Getpagesize()) + random.Int64N(whole)
		what := fmt.Sprintf("seed %d, disk %d of %d bytes", seed, i, size)
		resize := mount(t, out, size)
		o := finish(t, command(t, "-out", out))
		if o.code != 1 || !strings.Contains(o.stderr, "no space left on device") || !strings.Contains(o.stderr, out) {
			t.Errorf("%s: exit code %d, %s", what, o.code, o.stderr)
		}
		resize(4 * whole)
		_, result := must(t, out, "-resume")
		wantUndisturbed(t, what, out, result)
	}
}
func TestReadOnlyFolderIsAnErrorBeforeAnythingIsComputed(t *testing.T) {
	out := clone(t)
	if err := syscall.Mount(out, out, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("skipped: cannot mount a folder read-only: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(out, 0) })
	if err := syscall.Mount("", out, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("skipped: cannot mount a folder read-only: %v", err)
	}
	for _, args := range [][]string{{"-out", out}, {"-out", out, "-resume"}, {"-out", filepath.Join(out, "new")}} {
		o := finish(t, command(t, args...))
		if o.code != 1 || o.stdout != "" || !strings.Contains(o.stderr, "read-only file system") ||
			!strings.Contains(o.stderr, out) {
			t.Errorf("%v: exit code %d, %s%s", args, o.code, o.stdout, o.stderr)
		}
	}
}
