package cuda

import (
	"fmt"
	"os"
)

// debugging reports whether AHA_CUDA_DEBUG asks for debug mode.
func debugging() (bool, error) {
	switch v := os.Getenv("AHA_CUDA_DEBUG"); v {
	case "", "0":
		return false, nil
	case "1":
		return true, nil
	default:
		return false, fmt.Errorf("cuda: AHA_CUDA_DEBUG is %q, want 1, 0 or nothing", v)
	}
}

// await waits for the newest launch of the queue, of the named kernel. Its
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
