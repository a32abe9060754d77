package checkpoint

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// loadedSize returns the size of the synthetic F32 checkpoint: 256 MiB, or the number of GB
// in AHA_TEST_CHECKPOINT_GB.
func loadedSize(t *testing.T) int {
	gb, ok := os.LookupEnv("AHA_TEST_CHECKPOINT_GB")
	if !ok {
		return 256 << 20
	}
	n, err := strconv.Atoi(gb)
	if err != nil || n < 1 {
		t.Fatalf("AHA_TEST_CHECKPOINT_GB=%s, want a number of GB", gb)
	}
	return n * 1e9
}

// synthetic adds the parameters of an F32 model of about the given size: two tables, and
// layers of four matrices and a stack of experts, of at most 128 MB each.
func synthetic(ps *tensor.Params, size int) {
	width, vocabulary := 2048, 16384
	if size < 1e9 {
		width, vocabulary = 512, 4096
	}
	ps.Table("embed", vocabulary, width)
	ps.Table("head", vocabulary, width)
	for l := 0; 4*ps.Len() < size; l++ {
		for _, name := range []string{"q", "k", "v", "o"} {
			ps.Matrix(fmt.Sprintf("layers.%d.%s", l, name), width, width)
		}
		ps.Stack(fmt.Sprintf("layers.%d.experts.*.up", l), 4, 4*width, width)
		ps.Gain(fmt.Sprintf("layers.%d.norm", l), width)
	}
}

// The peak memory of a process that loads a checkpoint, as the operating system measures
// it, is little more than that of the parameters in their final form.
func TestLoadNeedsLittleBesideTheParameters(t *testing.T) {
	if os.Getenv("AHA_TEST_LOAD") != "" {
		loadAndReport(t)
		return
	}
	size := loadedSize(t)
	path := t.TempDir() + "/" + SingleFile
	if err := WriteAtomic(path, func(w io.Writer) error { return Write(w, describe(size), nil) }); err != nil {
		t.Fatal(err)
	}
	for format, within := range map[string]float64{"q8": 1.3 / 4, "bf16": 2.3 / 4} {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "AHA_TEST_LOAD="+format, "AHA_TEST_FILE="+path, "AHA_TEST_SIZE="+strconv.Itoa(size))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", format, err, out)
		}
		var before, peak, bytes int
		_, report, _ := strings.Cut(string(out), "report: ")
		if _, err := fmt.Sscanf(report, "%d %d %d", &before, &peak, &bytes); err != nil {
			t.Fatalf("%s: %v\n%s", format, err, out)
		}
		const spare = 48e6 // for the program, its stacks, and the pieces in transfer
		t.Logf("%s: %d MB of F32 in %d MB, peak %d MB (%d MB before loading)", format, size/1e6, bytes/1e6, peak/1e6,
			before/1e6)
		if float64(peak) > within*float64(size)+spare {
			t.Errorf("%s: peak %d MB, want at most %.0f MB", format, peak/1e6, (within*float64(size)+spare)/1e6)
		}
	}
}

// describe returns the tensors of a synthetic checkpoint. Their values are generated while
// they are written.
func describe(size int) []Tensor {
	shapes := tensor.NewParams(nowhere{}, tensor.Init{Uninitialized: true})
	synthetic(shapes, size)
	var list []Tensor
	for _, p := range shapes.All() {
		for i, part := range parts(p) {
			list = append(list, Tensor{Name: part.name, DType: F32, Shape: part.shape, Stream: func(w io.Writer) error {
				b := bufio.NewWriterSize(w, 1<<20)
				mem := make([]byte, 4)
				for n := range part.len() {
					backend.F32.Put(mem, 0, float64((n*2654435761+i)>>7&1023)/1024-0.5)
					b.Write(mem)
				}
				return b.Flush()
			}})
		}
	}
	return list
}

// nowhere is a backend without memory, for parameters of which only the shapes are used.
type nowhere struct{ backend.Backend }

type nothing int

func (n nothing) Bytes() int { return int(n) }

func (nowhere) Alloc(n int) (backend.Buffer, error) { return nothing(n), nil }

func loadAndReport(t *testing.T) {
	format := map[string]backend.Format{"q8": backend.Q8, "bf16": backend.BFloat16}[os.Getenv("AHA_TEST_LOAD")]
	size, err := strconv.Atoi(os.Getenv("AHA_TEST_SIZE"))
	if err != nil {
		t.Fatal(err)
	}
	ps := tensor.NewParams(open(t), tensor.Init{Format: format, Tables: format, Packed: true, Uninitialized: true})
	synthetic(ps, size)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	before := peakMemory(t)
	if _, err := Load(os.Getenv("AHA_TEST_FILE"), ps.All()); err != nil {
		t.Fatal(err)
	}
	bytes := 0
	for _, p := range ps.All() {
		bytes += p.Bytes()
	}
	fmt.Printf("report: %d %d %d\n", before, peakMemory(t), bytes)
}

// peakMemory returns the peak resident memory of this process.
func peakMemory(t *testing.T) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	var kB int
	if _, err := fmt.Sscanf(line, "%d kB", &kB); err != nil {
		t.Fatal(err)
	}
	return kB << 10
}
