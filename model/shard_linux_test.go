package model_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
)

// BenchmarkV3Layer loads one MoE layer of DeepSeek-V3 in FP8, 256 experts of full size in
// 11.5 GB, from a disk whose cache was dropped, and compares that with a plain read. It
// writes the files to the folder AHA_BENCH_SHARD and leaves them there for later runs:
//
//	AHA_BENCH_SHARD=/tmp/v3 go test -run=- -bench=V3Layer -benchtime=1x ./model
func BenchmarkV3Layer(b *testing.B) {
	dir := os.Getenv("AHA_BENCH_SHARD")
	if dir == "" {
		b.Skip("AHA_BENCH_SHARD names no folder for 11.5 GB")
	}
	path := filepath.Join(dir, checkpoint.SingleFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		must(b, writeV3Layer(dir))
	}
	info, err := os.Stat(path)
	must(b, err)
	for _, c := range []struct {
		name string
		do   func() (bytes int, err error) // returns the bytes in the files
	}{
		{"read", func() (int, error) { return 0, readAll(path) }},
		{"load", func() (int, error) { return loadV3Layer(dir) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(info.Size())
			for b.Loop() {
				b.StopTimer()
				must(b, dropCache(path))
				must(b, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)) // reset the peak of the resident memory
				before, err := memoryOf("VmRSS:")
				must(b, err)
				b.StartTimer()
				bytes, err := c.do()
				must(b, err)
				b.StopTimer()
				peak, err := memoryOf("VmHWM:")
				must(b, err)
				b.ReportMetric(float64(peak-before-bytes)/1e6, "MB-extra")
				b.StartTimer()
			}
		})
	}
}

// writeV3Layer writes a folder with a config and random weights.
func writeV3Layer(dir string) error {
	cfg := model.DeepSeekV3()
	cfg.NumHiddenLayers, cfg.FirstKDenseReplace, cfg.NumNextNPredictLayers, cfg.VocabSize = 1, 0, 0, 4096
	text, err := json.Marshal(cfg)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600)
	}
	if err != nil {
		return err
	}
	device, err := cpu.New(cpu.Options{})
	if err != nil {
		return err
	}
	defer device.Close()
	shapes, err := model.New(backend.DryRun(device), cfg, 0)
	if err != nil {
		return err
	}
	random := make([]byte, 1<<20)
	rng := rand.New(rand.NewPCG(1, 0))
	for i := range random {
		random[i] = byte(rng.IntN(0x7f)) // finite both in FP8 and in BF16
	}
	fill := func(n int) func(io.Writer) error {
		return func(w io.Writer) error {
			for n := n; n > 0; n -= len(random) {
				if _, err := w.Write(random[:min(n, len(random))]); err != nil {
					return err
				}
			}
			return nil
		}
	}
	var tensors []checkpoint.Tensor
	for _, t := range checkpoint.Tensors(shapes.Params.All()) {
		t.DType, t.Stream = checkpoint.BF16, nil
		n := 1
		for _, d := range t.Shape {
			n *= d
		}
		if strings.Contains(t.Name, "_proj") {
			t.DType = checkpoint.F8E4M3
			across, down := (t.Shape[1]+127)/128, (t.Shape[0]+127)/128
			tensors = append(tensors, checkpoint.Tensor{Name: t.Name + "_scale_inv", DType: checkpoint.F32,
				Shape: []int{down, across}, Stream: fill(4 * down * across)})
		}
		t.Stream = fill(n * t.DType.Size())
		tensors = append(tensors, t)
	}
	path := filepath.Join(dir, checkpoint.SingleFile)
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = checkpoint.Write(w, tensors, nil)
	if err := errors.Join(err, w.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// dropCache drops a file, which must be synced, from the page cache, so that the next read
// comes from the disk.
func dropCache(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
}

func readAll(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	return errors.Join(err, f.Close())
}

func loadV3Layer(dir string) (bytes int, err error) {
	device, err := cpu.New(cpu.Options{})
	if err != nil {
		return 0, err
	}
	defer device.Close()
	last := time.Now()
	m, _, err := model.Load(device, dir, model.LoadOptions{
		Options: model.Options{Format: backend.FP8, Packed: true},
		Progress: func(done, total int64) {
			if time.Since(last) > 2*time.Second {
				last = time.Now()
				fmt.Fprintf(os.Stderr, "%d of %d MB\n", done/1e6, total/1e6)
			}
		},
	})
	if err != nil {
		return 0, err
	}
	defer m.Free()
	total, free := device.MemInfo()
	return total - free, nil
}

// memoryOf returns the value of a line of /proc/self/status in bytes.
func memoryOf(line string) (int, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), line)
	var kB int
	_, err = fmt.Sscanf(rest, "%d kB", &kB)
	return kB << 10, err
}
