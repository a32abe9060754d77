package tokenizer

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkEncode measures the vocabularies of AHA_TOKENIZERS (see .ci/run) on every file of AHA_TEXTS, a
// folder of texts, in documents of 64 KiB. It tells tokens per byte too.
func BenchmarkEncode(b *testing.B) {
	folder := os.Getenv("AHA_TOKENIZERS")
	files, err := filepath.Glob(filepath.Join(os.Getenv("AHA_TEXTS"), "*"))
	if folder == "" || os.Getenv("AHA_TEXTS") == "" || err != nil {
		b.Skip("AHA_TOKENIZERS or AHA_TEXTS is not set")
	}
	for _, name := range []string{"deepseek_v3", "qwen3", "llama3_1", "smollm2"} {
		tok := load(b, filepath.Join(folder, name))
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(name+"/"+filepath.Base(file), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				var ids []int32
				tokens := 0
				for b.Loop() {
					tokens = 0
					for rest := string(text); rest != ""; {
						n := min(len(rest), 64<<10)
						if ids, err = tok.Append(ids[:0], rest[:n]); err != nil {
							b.Fatal(err)
						}
						tokens += len(ids)
						rest = rest[n:]
					}
				}
				b.ReportMetric(float64(tokens)/float64(len(text)), "tokens/byte")
			})
		}
	}
}
