package backend_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

func TestRegistry(t *testing.T) {
	var asked string
	broken := errors.New("no such device")
	backend.Register("test", func(device string) (backend.Backend, error) {
		asked = device
		if device == "9" {
			return nil, broken
		}
		return newCPU(t), nil
	})
	if !slices.Contains(backend.Drivers(), "test") || !slices.IsSorted(backend.Drivers()) {
		t.Errorf("drivers %v, want a sorted list with test", backend.Drivers())
	}
	if _, err := backend.Open("test:3"); err != nil || asked != "3" {
		t.Errorf("Open(test:3) asked for device %q, error %v", asked, err)
	}
	if _, err := backend.Open("test"); err != nil || asked != "" {
		t.Errorf("Open(test) asked for device %q, error %v", asked, err)
	}
	if _, err := backend.Open("test:9"); !errors.Is(err, broken) || !strings.Contains(err.Error(), `"test:9"`) {
		t.Errorf("Open(test:9): error %v, want the driver's, with the name", err)
	}
	if _, err := backend.Open("tpu:0"); err == nil ||
		err.Error() != `backend: Open("tpu:0"): unknown driver "tpu"; registered drivers: cpu, test; `+
			`drivers of this module: cpu, cuda` {
		t.Errorf("Open(tpu:0): error %v, want one that lists the drivers and advises no import", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("registering a name twice did not panic")
		}
	}()
	backend.Register("test", nil)
}
