package tune

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/examples/internal/progress"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/lora"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/model/train/run"
)

// Subfolders of the output folder for the results.
const (
	AdapterFolder = "adapter"
	ModelFolder   = "model"
)

// Run is one run: its options, the model and the device.
type Run struct {
	Options
	Config model.Config
	// Texts is the path of the folder or GGUF file with the tokenizer and the chat template.
	Texts    string
	Backend  backend.Backend
	Trained  *model.Model
	Adapters *lora.Adapters // nil if all weights are trained

	Params, TrainedParams int

	format backend.Format
	source *model.Source
	lock   *run.FolderLock
}

// New checks the options and reads the model's config. It creates no file and opens no device.
func New(o Options) (*Run, error) {
	r := &Run{Options: o}
	var err error
	if r.format, err = o.check(); err != nil {
		return nil, err
	}
	var dir string
	if r.Config, dir, err = lab.ReadConfig(o.Model); err != nil {
		return nil, err
	}
	r.Texts = cmp.Or(dir, o.Model)
	longest := r.Config.MaxPositionEmbeddings
	if r.MaxTokens == 0 {
		r.MaxTokens = min(longest, 4096)
	}
	if r.MaxTokens > longest {
		return nil, fmt.Errorf("-max-tokens %d, max_position_embeddings of the model is %d", r.MaxTokens, longest)
	}
	return r, nil
}

// Open opens the device and locks the output folder.
func (r *Run) Open() (err error) {
	if r.Backend, err = lab.Open(r.Device); err != nil {
		return err
	}
	r.lock, err = run.Lock(r.Out)
	return err
}

// Close frees the model, unlocks the output folder and closes the device.
func (r *Run) Close() error {
	if r.Trained != nil {
		r.Trained.Free()
	}
	var err error
	if r.lock != nil {
		err = r.lock.Close()
	}
	if r.Backend != nil {
		err = errors.Join(err, r.Backend.Close())
	}
	return err
}

// Settle writes settings, which determine the result, to config.json. If the output folder has
// a run already, it returns an error unless -resume is set and the settings are the same.
func (r *Run) Settle(settings any) error {
	path := filepath.Join(r.Out, "config.json")
	if _, err := os.Stat(path); !r.Resume && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has a run: -resume continues it; or choose another -out", r.Out)
	}
	if r.Resume {
		lab.NoteNothingToResume(path)
	}
	return run.Settle(path, settings)
}

// modelOptions returns the options of the trained model.
func (r *Run) modelOptions() model.Options {
	return model.Options{Format: r.format, Packed: r.Rank > 0 && r.format != backend.Native}
}

// Build builds the trained model with its adapters on b without initialising the weights, to
// measure the memory.
func (r *Run) Build(b backend.Backend) (*model.Model, error) {
	o := r.modelOptions()
	o.Uninitialized = true
	m, err := model.NewWith(b, r.Config, 0, o)
	if err != nil {
		return nil, err
	}
	_, err = r.attach(m)
	return m, err
}

// LoadAnother loads a second copy of the model, with separate adapters, for a critic. The
// caller frees it.
func (r *Run) LoadAnother() (*model.Model, error) {
	m, _, err := r.read(r.modelOptions())
	if err != nil {
		return nil, err
	}
	if _, err := r.attach(m); err != nil {
		m.Free()
		return nil, err
	}
	return m, nil
}

// read loads the model and shows the progress.
func (r *Run) read(o model.Options) (*model.Model, *model.Source, error) {
	shown, end := progress.Watch("loading", "MB")
	defer end()
	const mb = 1e6
	show := func(done, total int64) {
		shown(int(math.Ceil(float64(done)/mb)), int(math.Ceil(float64(total)/mb)))
	}
	return model.Load(r.Backend, r.Model, model.LoadOptions{Options: o, Config: &r.Config, Progress: show})
}

// Load loads the model and attaches its adapters.
func (r *Run) Load() (err error) {
	if r.Trained, r.source, err = r.read(r.modelOptions()); err != nil {
		return err
	}
	if r.Adapters, err = r.attach(r.Trained); err != nil {
		return err
	}
	for _, p := range r.Trained.Params.All() {
		r.Params += p.Len()
		if p.Trainable {
			r.TrainedParams += p.Len()
		}
	}
	fmt.Printf("model: %d parameters, %d of them trained\n", r.Params, r.TrainedParams)
	return nil
}

// attach adds adapters to m, unless all weights are trained.
func (r *Run) attach(m *model.Model) (*lora.Adapters, error) {
	if r.Rank == 0 {
		return nil, nil
	}
	return lora.Attach(m, lora.Config{Rank: r.Rank, Alpha: r.Alpha, Targets: r.targets(), Seed: r.Seed})
}

// Trainer returns a trainer of m for a number of steps; data is the SHA-256 of the data. The
// trainer's Dir is not set.
func (r *Run) Trainer(m *model.Model, steps int, data string) *train.Trainer {
	return &train.Trainer{
		Model: m, Optimizer: train.AdamW{LR: r.LR}, MaxRows: r.Rows, Seed: r.Seed, KeepLast: 2, SaveEvery: r.SaveEvery,
		Schedule: train.WarmUp(max(steps/30, 1), train.Linear(0, steps, 0.1)),
		Settings: struct {
			Data  string `json:"data_sha256"`
			Steps int    `json:"steps"`
		}{data, steps},
	}
}

// Save writes the adapters, if there are any, and the model with the adapters merged into the
// weights. It returns the SHA-256 of the trained parameters.
func (r *Run) Save() (sum string, err error) {
	trained := r.Trained.Params.All()
	if r.Adapters != nil {
		trained = r.Adapters.Params()
	}
	if sum, err = train.WeightsSHA256(trained); err != nil {
		return "", err
	}
	if r.Adapters != nil {
		if err := r.merge(); err != nil {
			return "", err
		}
	}
	var files map[string]func(io.Writer) error
	if r.source.Metadata != nil {
		if files, err = lab.TokenizerFiles(r.Model); err != nil {
			return "", err
		}
	}
	return sum, model.Save(filepath.Join(r.Out, ModelFolder), r.Trained, model.SaveOptions{Source: r.source, Files: files})
}

// merge saves the adapters, loads the original model again, and merges the adapters into it.
// It becomes r.Trained.
func (r *Run) merge() error {
	dir := filepath.Join(r.Out, AdapterFolder)
	if err := r.Adapters.Save(dir, r.Model); err != nil {
		return err
	}
	r.Trained.Free() // the memory may be too small for both models
	m, source, err := r.read(model.Options{})
	if err != nil {
		r.Trained = nil
		return err
	}
	r.Trained, r.source = m, source
	a, err := lora.Load(m, dir)
	if err != nil {
		return err
	}
	return a.Merge()
}
