package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Nested returns the files of t's checkpoints as Extra files of another Trainer, whose
// checkpoints then hold the state of both. It is for a model that is trained together with
// another one, such as the critic of PPO. The names of the files begin with prefix. On
// resume, settings of t that differ are an error, as in Resume. t must not have a Dir; its
// run begins with this call.
func (t *Trainer) Nested(prefix string) ([]ExtraFile, error) {
	if t.Dir != "" {
		return nil, errors.New("train: Trainer.Dir of a nested Trainer is set: it is in the other's checkpoints")
	}
	if err := t.start(); err != nil {
		return nil, err
	}
	nested := []ExtraFile{{Name: prefix + stateKey + ".json", Write: t.writeState, Read: t.readState}}
	for _, f := range t.tensorFiles() {
		write := func(w io.Writer) error { return t.files()[f.file](w) }
		nested = append(nested, ExtraFile{Name: prefix + f.file, Write: write, Read: f.read})
	}
	for _, x := range t.Extra {
		nested = append(nested, ExtraFile{Name: prefix + x.Name, Write: x.Write, Read: x.Read})
	}
	return nested, nil
}

func (t *Trainer) writeState(w io.Writer) error {
	if t.failed != nil {
		return t.failed
	}
	meta, err := t.state()
	if err == nil {
		_, err = w.Write(append(meta, '\n'))
	}
	return err
}

func (t *Trainer) readState(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var was state
	if err := json.Unmarshal(text, &was); err != nil {
		return err
	}
	if err := was.known(); err != nil {
		return err
	}
	if err := t.sameRun(was); err != nil {
		return fmt.Errorf("the nested Trainer: %w", err)
	}
	t.continueFrom(was)
	return nil
}
