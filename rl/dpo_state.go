package rl

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/train"
)

// The files of DPO in a checkpoint, in addition to referenceFile.
const (
	dpoFile    = "dpo.json"
	dpoVersion = 1
	knownFile  = "reference_logps.safetensors" // written under Precompute
	knownName  = "logps"                       // name of the tensor in knownFile
)

// dpoState is the content of dpoFile.
type dpoState struct {
	Version int `json:"version"`
	Step    int `json:"step"`
}

// dpoSettings holds the fields that affect the results of a run. A run with other
// settings cannot resume from the checkpoint.
type dpoSettings struct {
	Beta           float64        `json:"beta"`
	Loss           PreferenceLoss `json:"loss_type"`
	LabelSmoothing float64        `json:"label_smoothing"`
	Batch          int            `json:"batch"`
	RefSync        int            `json:"ref_sync"`
	RefMix         float64        `json:"ref_mix,omitempty"`
	Precompute     bool           `json:"precompute_ref_log_probs"`
	Pairs          string         `json:"pairs"`          // hashPairs of Pairs
	Held           string         `json:"held,omitempty"` // hashPairs of Held, under Precompute
	Own            any            `json:"own"`            // the caller's Trainer.Settings
}

func (d *DPO) settings(own any) dpoSettings {
	s := dpoSettings{
		Beta: d.beta(), Loss: cmp.Or(d.Loss, PreferenceSigmoid), LabelSmoothing: d.LabelSmoothing, Batch: d.batch(),
		RefSync: d.RefSync, RefMix: d.RefMix, Precompute: d.Precompute, Pairs: hashPairs(d.Pairs), Own: own,
	}
	if d.Precompute {
		s.Held = hashPairs(d.Held)
	}
	return s
}

// hashPairs returns the SHA-256 of pairs, in hexadecimal.
func hashPairs(pairs []Pair) string {
	h := sha256.New()
	var buf []byte
	for _, p := range pairs {
		buf = binary.LittleEndian.AppendUint64(buf[:0], math.Float64bits(cmp.Or(p.Weight, 1)))
		if p.Margin != 0 {
			buf = binary.LittleEndian.AppendUint64(buf, math.Float64bits(p.Margin))
		}
		for _, ids := range [][]int32{p.Prompt, p.Chosen, p.Rejected} {
			buf = appendIDs(buf, ids)
		}
		h.Write(buf)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// appendIDs appends the number of ids and the ids.
func appendIDs(buf []byte, ids []int32) []byte {
	buf = binary.LittleEndian.AppendUint64(buf, uint64(len(ids)))
	for _, id := range ids {
		buf = binary.LittleEndian.AppendUint32(buf, uint32(id))
	}
	return buf
}

// check reports an invalid field, a field that has changed since the first step, or a
// closed DPO.
func (d *DPO) check() error {
	if d.closed {
		return errors.New("rl: the DPO is closed")
	}
	if err := d.validate(); err != nil {
		return fmt.Errorf("rl: %w", err)
	}
	if d.prepared {
		return unchanged(d.began, fixed("DPO", d))
	}
	if err := d.validatePairs(); err != nil {
		return fmt.Errorf("rl: %w", err)
	}
	return nil
}

// prepare makes a run ready for its next step. It checks the fields; the first time, it
// also borrows the Trainer, makes the reference model and resumes from a checkpoint.
func (d *DPO) prepare(ctx context.Context) (err error) {
	if err := d.check(); err != nil || d.prepared {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.release())
		}
	}()
	if err := d.borrow(); err != nil {
		return err
	}
	if _, err := d.Trainer.Resume(); err != nil {
		return err
	}
	if d.Precompute && d.known == nil {
		if err := d.precompute(ctx); err != nil {
			return err
		}
	}
	d.prepared, d.began = true, fixed("DPO", d)
	return nil
}

// borrow sets the Trainer's Settings and Extra so that its checkpoints include the state
// of this run, and makes the reference model. release restores the Trainer.
func (d *DPO) borrow() (err error) {
	t := d.Trainer
	own, extra := t.Settings, t.Extra
	d.restore = func() error {
		t.Settings, t.Extra = own, extra
		return t.AcceptSettings()
	}
	t.Settings = d.settings(own)
	t.Extra = append(slices.Clone(extra), train.ExtraFile{Name: dpoFile, Write: d.writeState, Read: d.readState})
	if d.Precompute {
		d.reference = &reference{policy: t.Model}
		t.Extra = append(t.Extra, train.ExtraFile{Name: knownFile, Write: d.writeKnown, Read: d.readKnown})
		return nil
	}
	if d.reference, err = newReference(t); err != nil {
		return err
	}
	t.Extra = append(t.Extra, d.reference.files()...)
	return nil
}

// precompute computes log π_ref of all pairs. Before the first step, the policy is the
// reference model.
func (d *DPO) precompute(ctx context.Context) error {
	var known [][]float64
	total := len(d.Pairs) + len(d.Held)
	for _, pairs := range [][]Pair{d.Pairs, d.Held} {
		indices := make([]int, len(pairs))
		for i := range indices {
			indices[i] = i
		}
		for _, run := range d.runs(pairs, indices) {
			if ctx.Err() != nil {
				return fmt.Errorf("rl: stopped while the reference model scores the pairs: %w", context.Cause(ctx))
			}
			scored, _, err := d.comparisons(pairs, run, 0)
			if err != nil {
				return err
			}
			for _, c := range scored {
				known = append(known, c.chosen.ref, c.rejected.ref)
			}
			if d.OnPrecompute != nil {
				d.OnPrecompute(len(known)/2, total)
			}
		}
	}
	d.known = known
	return nil
}

// Close ends a run and frees the reference model. It restores the Trainer's fields; the
// Trainer keeps its weights, optimizer state and step count.
func (d *DPO) Close() error {
	d.closed = true
	return d.release()
}

func (d *DPO) release() (err error) {
	if d.restore != nil {
		err = d.restore()
		d.restore = nil
	}
	d.reference.free()
	d.reference, d.known = nil, nil
	return err
}

func (d *DPO) writeState(w io.Writer) error {
	return json.NewEncoder(w).Encode(dpoState{dpoVersion, d.step})
}

func (d *DPO) readState(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var s dpoState
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	if s.Version != dpoVersion {
		return fmt.Errorf("version %d, this program reads version %d", s.Version, dpoVersion)
	}
	if d.Steps > 0 && s.Step > d.Steps {
		return fmt.Errorf("DPO.Steps is %d, but the checkpoint is of step %d", d.Steps, s.Step)
	}
	d.step = s.Step
	return nil
}

// knownDType returns the dtype of knownFile: that in which the device computes.
func (d *DPO) knownDType() checkpoint.DType {
	if d.Trainer.Model.Params.DType() == backend.F64 {
		return checkpoint.F64
	}
	return checkpoint.F32
}

func (d *DPO) writeKnown(w io.Writer) error {
	n := 0
	for _, x := range d.known {
		n += len(x)
	}
	dt := d.knownDType()
	return checkpoint.Write(w, []checkpoint.Tensor{{
		Name: knownName, DType: dt, Shape: []int{n},
		Stream: func(w io.Writer) error {
			var buf []byte
			for _, x := range d.known {
				buf = buf[:0]
				for _, v := range x {
					if dt == checkpoint.F64 {
						buf = binary.LittleEndian.AppendUint64(buf, math.Float64bits(v))
					} else {
						buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(float32(v)))
					}
				}
				if _, err := w.Write(buf); err != nil {
					return err
				}
			}
			return nil
		},
	}}, nil)
}

func (d *DPO) readKnown(path string) error {
	r, err := checkpoint.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	data, err := r.Read(knownName)
	if err != nil {
		return err
	}
	info, _ := r.Lookup(knownName)
	n := 0
	for _, p := range slices.Concat(d.Pairs, d.Held) {
		n += len(p.Chosen) + len(p.Rejected)
	}
	if dt := d.knownDType(); info.DType != dt || len(data) != n*dt.Size() {
		return fmt.Errorf("%s has %d bytes of %s, want %d of %s for %d tokens", knownName, len(data), info.DType,
			n*dt.Size(), dt, n)
	}
	var known [][]float64
	for _, p := range slices.Concat(d.Pairs, d.Held) {
		for _, ids := range [][]int32{p.Chosen, p.Rejected} {
			x := make([]float64, len(ids))
			for i := range x {
				if info.DType == checkpoint.F64 {
					x[i], data = math.Float64frombits(binary.LittleEndian.Uint64(data)), data[8:]
				} else {
					x[i], data = float64(math.Float32frombits(binary.LittleEndian.Uint32(data))), data[4:]
				}
			}
			known = append(known, x)
		}
	}
	d.known = known
	return nil
}
