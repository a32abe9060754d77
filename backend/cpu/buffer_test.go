package cpu

import (
	"bytes"
	"testing"
)

// The memory behind a buffer is larger than the buffer, because of alignment,
// so the bounds must be checked explicitly.
func TestTransfersBeyondABufferPanic(t *testing.T) {
	b := withWorkers(t, 1)
	buf, err := b.Alloc(8)
	if err != nil {
		t.Fatal(err)
	}
	panics(t, func() { b.Upload(buf, 0, make([]byte, 12)) }, "Upload", "bytes 0 to 12 of a buffer of 8")
	panics(t, func() { b.Upload(buf, 9, nil) }, "Upload", "bytes 9 to 9 of a buffer of 8")
	panics(t, func() { b.Download(make([]byte, 4), buf, 6) }, "Download", "bytes 6 to 10 of a buffer of 8")
	panics(t, func() { b.Download(make([]byte, 4), buf, -1) }, "Download", "bytes -1 to 3")
	if err := b.Upload(buf, 4, []byte{1, 2, 3, 4}); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 8)
	if err := b.Download(got, buf, 0); err != nil || !bytes.Equal(got, []byte{0, 0, 0, 0, 1, 2, 3, 4}) {
		t.Errorf("content %v, error %v", got, err)
	}
	b.Free(buf)
	panics(t, func() { b.Download(got, buf, 0) }, "Download", "a buffer of 0")
}

func TestAllocRefusesMoreThanTheMachineHas(t *testing.T) {
	b, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if total, _ := b.MemInfo(); total == 0 {
		t.Skip("the machine's memory is not known on this system")
	}
	for _, bytes := range []int{-1, 1 << 60, int(^uint(0) >> 1)} {
		if buf, err := b.Alloc(bytes); err == nil {
			t.Errorf("Alloc(%d) gave %v", bytes, buf)
		}
	}
}
