//go:build unix

package tokenizer

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkEncode measures the vocabularies of AHA_TOKENIZERS (see .ci/run) on every file
// of AHA_TEXTS, a folder of texts as written by testdata/corpus.py. It also reports the
// number of tokens and the user CPU time. testdata/bench.py runs it in turn with the
// library tokenizers.
func BenchmarkEncode(b *testing.B) {
	folder := os.Getenv("AHA_TOKENIZERS")
	files, err := filepath.Glob(filepath.Join(os.Getenv("AHA_TEXTS"), "*"))
	if folder == "" || os.Getenv("AHA_TEXTS") == "" || err != nil {
		b.Skip("AHA_TOKENIZERS or AHA_TEXTS is not set")
	}
	for _, name := range []string{"deepseek_v3", "qwen3", "llama3_1", "smollm2"} {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		b.Run(name, func(b *testing.B) {
			tok := load(b, path)
			for _, file := range files {
				b.Run(filepath.Base(file), func(b *testing.B) { encodeFile(b, tok, file) })
			}
		})
	}
}

// encodeFile encodes a file in documents of whole lines, of at most 64 KiB unless a line is
// longer.
func encodeFile(b *testing.B, tok *Tokenizer, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	var documents []string
	for rest := string(text); rest != ""; {
		n := len(rest)
		if n > 64<<10 {
			if n = strings.LastIndexByte(rest[:64<<10], '\n') + 1; n == 0 {
				n = strings.IndexByte(rest, '\n') + 1
			}
			if n == 0 {
				n = len(rest)
			}
		}
		documents, rest = append(documents, rest[:n]), rest[n:]
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var ids []int32
	tokens := 0
	start := userTime(b)
	for b.Loop() {
		tokens = 0
		for _, document := range documents {
			if ids, err = tok.Append(ids[:0], document); err != nil {
				b.Fatal(err)
			}
			tokens += len(ids)
		}
	}
	b.ReportMetric(float64((userTime(b)-start).Nanoseconds())/float64(b.N), "user-ns/op")
	b.ReportMetric(float64(tokens), "tokens")
}

// userTime returns the user CPU time of the process, including the garbage collector.
func userTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano())
}
