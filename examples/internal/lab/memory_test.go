package lab

import (
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
)

// The memory of a run's phases is printed before anything is allocated. If the device does
// not have enough, that is an error with the numbers.
func TestRunsAnnounceTheirMemory(t *testing.T) {
	large, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer large.Close()
	phases, err := Base{Seed: 1, Scale: Full}.Phases(large, Teacher(), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := Announce(&text, large, phases); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"memory, base model: ", "memory, GRPO: ", "KV cache ", "optimizer "} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("lacks %q:\n%s", want, text.String())
		}
	}
	if phases[0].Memory.By[backend.KVCache] != 0 || phases[1].Memory.By[backend.KVCache] == 0 {
		t.Errorf("the KV cache is GRPO's:\n%s", text.String())
	}
	most := max(phases[0].Memory.Peak, phases[1].Memory.Peak)
	few, err := cpu.New(cpu.Options{MemoryLimit: most - 1})
	if err != nil {
		t.Fatal(err)
	}
	defer few.Close()
	if err := Announce(&text, few, phases); err == nil || !strings.Contains(err.Error(), ": cpu has ") {
		t.Errorf("error %v", err)
	}
	if total, free := few.MemInfo(); total != free {
		t.Errorf("%d of %d bytes are left: something was allocated", free, total)
	}
	t.Log(text.String())
}
