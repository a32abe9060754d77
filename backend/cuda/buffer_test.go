package cuda_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

// Using a buffer of another device would make this device fail with an illegal
// address.
func TestBuffersThatAreNotTheDevicesPanic(t *testing.T) {
	d := emulatedDevice(t)
	other, cpu := on(t, "cuda:0", 2), on(t, "cpu", 3)
	freed, err := d.Alloc(16)
	d.must(err)
	d.Free(freed)
	for _, x := range []struct {
		buf  backend.Buffer
		want string
	}{
		{freed, "the buffer was freed"},
		{other.normal(backend.F32, 4).Buf, "the buffer belongs to another device"},
		{cpu.normal(backend.F32, 4).Buf, "the buffer belongs to another device"},
	} {
		v, own := backend.NewView(x.buf, backend.F32, 4), d.normal(backend.F32, 4)
		for call, fn := range map[string]func(){
			"Copy":     func() { d.Do(&backend.Copy{Dst: own, Src: v}) },
			"Upload":   func() { d.Upload(x.buf, 0, make([]byte, 16)) },
			"Download": func() { d.Download(make([]byte, 16), x.buf, 0) },
		} {
			func() {
				defer func() {
					if got, want := fmt.Sprint(recover()), "cuda:0: "+call+": "+x.want; !strings.Contains(got, want) {
						t.Errorf("panic %v, want %q", got, want)
					}
				}()
				fn()
			}()
		}
	}
	d.must(d.Sync())
}
