package cuda_test

import (
	"fmt"
	"log"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cuda"
	"github.com/aha-go/aha/model"
)

// Importing the package registers the driver; all else is as on the CPU.
// Without a GPU or its driver, Open returns an error that says what is missing.
func Example() {
	b, err := backend.Open("cuda:0")
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	m, err := model.New(b, model.Tiny(32), 1)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Free()
	total, free := b.MemInfo()
	fmt.Printf("%d of %d bytes are free\n", free, total)
}
