package checkpoint

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestFullDeviceIsReported(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("skipped: no full device: %v", err)
	}
	defer f.Close()
	if err := Write(f, []Tensor{{Name: "w", DType: U8, Shape: []int{1}, Data: []byte{1}}}, nil); !errors.Is(err,
		syscall.ENOSPC) {
		t.Errorf("want ENOSPC, got %v", err)
	}
}

// The test fills a real file system of 256 KiB.
func TestFullDiskLeavesTheLastCheckpoint(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("skipped: cannot mount a small file system: %v", err)
	}
	defer syscall.Unmount(disk, 0)
	s := Store{Dir: filepath.Join(disk, "run")}
	mustSave(t, s, 1)
	big := Tensor{Name: "w", DType: U8, Shape: []int{1 << 20}, Stream: func(w io.Writer) error {
		for range 1 << 8 {
			if _, err := w.Write(make([]byte, 1<<12)); err != nil {
				return err
			}
		}
		return nil
	}}
	err := s.Save(2, map[string]func(io.Writer) error{SingleFile: func(w io.Writer) error {
		return Write(w,
			[]Tensor{big}, nil)
	}}, nil)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "step-000002") {
		t.Errorf("want ENOSPC, got %v", err)
	}
	wantLatest(t, s, 1)
	if names := strings.Join(list(t, s.Dir), " "); names != "step-000001" {
		t.Errorf("left behind: %s", names)
	}
	mustSave(t, s, 3) // the failed save has released its space
	wantLatest(t, s, 3)
}
