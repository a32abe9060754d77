package run_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/aha-go/aha/model/train/run"
)

// A program locks its folder, refuses to continue a run with other settings, and reads the
// metrics that a run wrote.
func Example() {
	parent, err := os.MkdirTemp("", "run")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(parent)
	dir := filepath.Join(parent, "mine")

	lock, err := run.Lock(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer lock.Close()

	type settings struct {
		Seed uint64  `json:"seed"`
		LR   float64 `json:"lr"`
	}
	config := filepath.Join(dir, "config.json")
	if err := run.Settle(config, settings{Seed: 1, LR: 0.001}); err != nil {
		log.Fatal(err)
	}
	err = run.Settle(config, settings{Seed: 2, LR: 0.001})
	fmt.Println(strings.ReplaceAll(err.Error(), config, "config.json"))

	metrics := filepath.Join(dir, "metrics.jsonl") // a Trainer writes it
	lines := `{"step":1,"reward":0.25}` + "\n" + `{"step":2,"reward":0.75}` + "\n"
	if err := os.WriteFile(metrics, []byte(lines), 0o666); err != nil {
		log.Fatal(err)
	}
	rows, err := run.ReadMetrics(metrics)
	if err != nil {
		log.Fatal(err)
	}
	best, _ := rows.Max("reward")
	fmt.Println("best reward:", best)
	// Output:
	// config.json is of a run with other settings (choose another folder, or those settings):
	//   seed: 1 there, 2 now
	// best reward: 0.75
}
