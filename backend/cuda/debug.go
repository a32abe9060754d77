package cuda

import (
	"fmt"
	"os"
)

// debugging is what AHA_CUDA_DEBUG asks for.
func debugging() (bool, error) {
	switch v := os.Getenv("AHA_CUDA_DEBUG"); v {
	case "", "0":
		return false, nil
	case "1":
		return true, nil
	default:
		return false, fmt.Errorf("cuda: AHA_CUDA_DEBUG is %q, want 1, or 0 or nothing", v)
	}
}

// await waits for the launch of the kernel of that name, the newest of the queue. Its
// error names the kernel.
func (b *CUDA) await(kernel string) error {
	err := b.driver.StreamSynchronize(b.stream)
	if err == nil {
		err = b.asynchronous()
	}
	if err != nil {
		return fmt.Errorf("%s: kernel %s: %w", b.name, kernel, err)
	}
	return nil
}
