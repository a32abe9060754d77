package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strings"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/train/run"
)

// Files of a checkpoint in addition to checkpoint.SingleFile and the caller's own.
const (
	configFile    = "config.json"           // config of the model
	optimizerFile = "optimizer.safetensors" // moments
	emaFile       = "ema.safetensors"       // moving average, with the names of the weights
	stateKey      = "train"                 // key in the manifest's metadata
	stateVersion  = 2                       // version 1 has no evaluations
)

// ExtraFile is a file that the caller adds to each checkpoint.
type ExtraFile struct {
	Name  string // must differ from the names of the Trainer's and the checkpoint's files
	Write func(w io.Writer) error
	// Read is called with the file's path on resume, before the weights are loaded, so that
	// they are unchanged if it fails.
	Read func(path string) error
}

// state is the state of a run in the manifest.
type state struct {
	Version  int             `json:"version"`
	Step     int             `json:"step"`
	Tokens   int64           `json:"tokens"`
	Factor   float64         `json:"next_factor"`    // value of Schedule for the next step
	BiasRate float64         `json:"next_bias_rate"` // value of BiasRate for the next step
	Identity json.RawMessage `json:"identity"`
	// Evaluated and Best are the fields evaluated and best of the Trainer.
	Evaluated int   `json:"evaluated,omitempty"`
	Best      *best `json:"best,omitempty"`
}

// Save writes a checkpoint of the present step to Dir: weights, moving average, optimizer
// state, counters and the caller's files. If it fails, earlier checkpoints are not
// affected. It does nothing without Dir, before the first step, and if the step was saved
// already.
func (t *Trainer) Save() error {
	if t.failed != nil {
		return t.failed
	}
	if t.Dir == "" || t.step == t.saved {
		return nil
	}
	if err := t.start(); err != nil {
		return err
	}
	if err := t.relock(); err != nil {
		return err
	}
	if err := t.save(t.store); err != nil {
		return err
	}
	t.saved = t.step
	t.Logger().Info("checkpoint saved", "step", t.step, "dir", t.Dir)
	if t.KeepLast > 0 {
		return t.store.Prune(t.KeepLast)
	}
	return nil
}

// save writes a checkpoint of the present state to store.
func (t *Trainer) save(store checkpoint.Store) error {
	meta, err := t.state()
	if err != nil {
		return err
	}
	if t.metrics != nil { // so that the file has all lines up to this checkpoint
		if err := t.metrics.sync(); err != nil {
			return err
		}
	}
	return store.Save(t.step, t.files(), map[string]json.RawMessage{stateKey: meta})
}

// state returns the JSON of the run's state.
func (t *Trainer) state() (json.RawMessage, error) {
	identity, err := t.identity()
	if err != nil {
		return nil, err
	}
	meta, err := json.Marshal(state{
		Version: stateVersion, Step: t.step, Tokens: t.tokens, Identity: identity,
		Factor:   t.Schedule.at(t.step, t.tokens, 1),
		BiasRate: t.BiasRate.at(t.step, t.tokens, defaultBiasRate), Evaluated: t.evaluated, Best: t.best,
	})
	if err != nil {
		return nil, fmt.Errorf("train: save: %w", err)
	}
	return meta, nil
}

// relock locks Dir again if it was deleted or moved since the run began. It returns an
// error if another run has locked a new folder there.
func (t *Trainer) relock() error {
	if !t.lock.Lost() {
		return nil
	}
	lock, err := run.Lock(t.Dir)
	if err != nil {
		return fmt.Errorf("train: %s was deleted or moved since the run began: %w", t.Dir, err)
	}
	if err := t.lock.Close(); err != nil {
		t.Logger().Warn("closing the lock of the deleted folder", "dir", t.Dir, "error", err)
	}
	t.lock = lock
	t.Logger().Warn("the folder was deleted or moved since the run began: "+
		"it is created again, without the checkpoints and metrics so far", "dir", t.Dir)
	return nil
}

// files returns the functions that write a checkpoint's files.
func (t *Trainer) files() map[string]func(io.Writer) error {
	tensors := func(list []checkpoint.Tensor) func(io.Writer) error {
		return func(w io.Writer) error { return checkpoint.Write(w, list, map[string]string{"format": "pt"}) }
	}
	files := map[string]func(io.Writer) error{
		checkpoint.SingleFile: tensors(append(checkpoint.Tensors(t.stored), t.Unclaimed...)),
		optimizerFile:         tensors(checkpoint.Tensors(t.moments.Params())),
		configFile: func(w io.Writer) error {
			return model.WriteConfig(w, t.Model.Config.StoredAs(t.Model.Params.DType()))
		},
	}
	if t.ema != nil {
		files[emaFile] = tensors(checkpoint.Tensors(t.ema.values))
	}
	for _, x := range t.Extra {
		if files[x.Name] != nil {
			panic("train: two files of a checkpoint named " + x.Name)
		}
		files[x.Name] = x.Write
	}
	return files
}

// Resume continues from the newest complete checkpoint in Dir, and reports whether there
// was one. If the checkpoint has other settings, Resume returns an error that lists the
// differences. After an error the weights are undefined.
func (t *Trainer) Resume() (bool, error) { return t.resume(math.MaxInt) }

// resume is Resume with a limit: if the checkpoint has more than the given number of steps,
// it returns an error before anything has changed.
func (t *Trainer) resume(most int) (bool, error) {
	if err := t.AcceptSettings(); err != nil {
		return false, err
	}
	if err := t.start(); err != nil {
		return false, err
	}
	if t.Dir == "" {
		return false, nil
	}
	snapshot, err := t.store.LatestComplete()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	for _, err := range snapshot.Refused {
		t.Logger().Warn("checkpoint passed over", "reason", err)
	}
	if err := t.restore(snapshot, most); err != nil {
		return false, fmt.Errorf("train: resume from %s: %w", snapshot.Dir, err)
	}
	t.Logger().Info("resumed", "step", t.step, "checkpoint", snapshot.Dir)
	return true, nil
}

func (t *Trainer) restore(snapshot checkpoint.Snapshot, most int) error {
	var was state
	if err := json.Unmarshal(snapshot.Meta[stateKey], &was); err != nil {
		return fmt.Errorf("the manifest's %q: %w", stateKey, err)
	}
	if err := was.known(); err != nil {
		return err
	}
	if was.Step > most {
		return fmt.Errorf("Trainer.Steps is %d, the checkpoint has %d", most, was.Step)
	}
	if err := t.sameRun(was); err != nil {
		return err
	}
	for _, x := range t.Extra {
		if err := x.Read(snapshot.Path(x.Name)); err != nil {
			return fmt.Errorf("%s: %w", x.Name, err)
		}
	}
	for _, f := range t.tensorFiles() {
		if err := f.read(snapshot.Path(f.file)); err != nil {
			return err
		}
	}
	t.continueFrom(was)
	return nil
}

// known returns an error if this program does not support the version of the state.
func (was state) known() error {
	if was.Version < 1 || was.Version > stateVersion {
		return fmt.Errorf("its state has version %d, this program supports 1 to %d", was.Version, stateVersion)
	}
	return nil
}

// continueFrom sets the counters to those of a checkpoint.
func (t *Trainer) continueFrom(was state) {
	t.step, t.tokens, t.saved = was.Step, was.Tokens, was.Step
	t.evaluated, t.best = was.Evaluated, was.Best
}

// tensorFile is a checkpoint's file of tensors and the parameters for them.
type tensorFile struct {
	file   string
	params []*tensor.Param
	keep   []checkpoint.Tensor
}

// tensorFiles returns a checkpoint's files of tensors.
func (t *Trainer) tensorFiles() []tensorFile {
	files := []tensorFile{
		{checkpoint.SingleFile, t.stored, t.Unclaimed},
		{optimizerFile, t.moments.Params(), nil},
	}
	if t.ema != nil {
		files = append(files, tensorFile{emaFile, t.ema.values, nil})
	}
	return files
}

// read sets the parameters of f from a file, which must have exactly these tensors.
func (f tensorFile) read(path string) error {
	unclaimed, err := checkpoint.Load(path, f.params)
	if err != nil {
		return err
	}
	for _, k := range f.keep {
		unclaimed = slices.DeleteFunc(unclaimed, func(name string) bool { return name == k.Name })
	}
	if len(unclaimed) > 0 {
		return fmt.Errorf("%s has %d tensors that this run does not, such as %s", f.file, len(unclaimed), unclaimed[0])
	}
	return nil
}

// sameRun returns an error if the checkpoint belongs to a run with other settings.
func (t *Trainer) sameRun(was state) error {
	identity, err := t.identity()
	if err != nil {
		return err
	}
	then, err := decodeIdentity(was.Identity)
	if err != nil {
		return err
	}
	now, err := decodeIdentity(identity)
	if err != nil {
		return err
	}
	if t.AllowDifferentPath {
		if d := run.Differences(then["platform"], now["platform"]); len(d) > 0 {
			t.Logger().Warn("resuming on another platform: results will not be bit-for-bit the same", "differences", d)
		}
		delete(then, "platform")
		delete(now, "platform")
	}
	for _, v := range []map[string]any{then, now} {
		if v["config"], err = comparableConfig(v["config"]); err != nil {
			return err
		}
	}
	found := run.Differences(then, now)
	// Functions cannot be compared, but their next values can.
	probe := func(name string, then, now float64) {
		if then != now {
			found = append(found, fmt.Sprintf("%s after step %d: %v there, %v now", name, was.Step, then, now))
		}
	}
	probe("Schedule", was.Factor, t.Schedule.at(was.Step, was.Tokens, 1))
	probe("BiasRate", was.BiasRate, t.BiasRate.at(was.Step, was.Tokens, defaultBiasRate))
	if len(found) > 0 {
		return fmt.Errorf("it is of another run:\n\t%s", strings.Join(found, "\n\t"))
	}
	return nil
}

// comparableConfig returns the config of an identity in the form that this version writes,
// in which 10000 equals 10000.0, without what is not part of a run: the storage format of
// the original weights, and keys that the model does not use. A config that this version
// cannot read is returned unchanged.
func comparableConfig(was any) (any, error) {
	text, err := json.Marshal(was)
	if err != nil {
		return nil, err
	}
	var c model.Config
	if json.Unmarshal(text, &c) != nil {
		return was, nil
	}
	c.DType, c.Quantization, c.Extra = "", nil, nil
	if text, err = json.Marshal(c); err != nil {
		return nil, err
	}
	return decodeIdentity(text)
}

// decodeIdentity preserves numbers as they are written, since a seed among the settings may
// have 64 bits.
func decodeIdentity(text json.RawMessage) (v map[string]any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return v, nil
}
