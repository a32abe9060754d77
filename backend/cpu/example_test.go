package cpu_test

import (
	"fmt"
	"log"

	"github.com/aha-go/aha/backend/cpu"
)

// An allocation beyond the limit returns an error and allocates nothing.
func ExampleNew() {
	b, err := cpu.New(cpu.Options{MemoryLimit: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	_, err = b.Alloc(2 << 20)
	fmt.Println(err)
	// Output:
	// cpu: out of memory: 2.0 MiB for other do not fit: the budget is 1.0 MiB (Options.MemoryLimit), 0 B are in use
}
