package train

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
)

// identity returns the JSON of all settings that determine the bits of a run and that are
// data. Functions cannot be recorded; Settings must describe them.
func (t *Trainer) identity() (json.RawMessage, error) {
	type platform struct {
		Backend string `json:"backend"` // name of the driver, since a run may move to another device of it
		Path    string `json:"path"`    // kernel path
		GOARCH  string `json:"goarch"`
	}
	b := t.Model.Backend()
	driver, _, _ := strings.Cut(b.Name(), ":")
	drafted := false
	if t.Drafter != nil && t.BalanceAlpha != 0 {
		gates, _ := t.Drafter.Gates()
		drafted = len(gates) > 0
	}
	tables := ""
	if f := t.Model.Options.Tables; f != backend.Native {
		tables = f.String()
	}
	precision := ""
	if dt := t.Model.ActivationDType(); dt != t.Model.Params.DType() {
		precision = dt.String()
	}
	base, err := t.baseSHA256()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(struct {
		Config    model.Config `json:"config"`
		DType     string       `json:"dtype"`
		Precision string       `json:"precision,omitempty"` // unless equal to dtype
		RoundKV   bool         `json:"round_kv,omitempty"`
		Format    string       `json:"format"`
		Tables    string       `json:"tables,omitempty"` // unless native
		Absorbed  bool         `json:"absorbed_mla"`
		Drafter   any          `json:"drafter"`
		Optimizer any          `json:"optimizer"`
		Rule      string       `json:"optimizer_type"`
		Seed      string       `json:"seed"` // a string, because a JSON number does not hold 64 bits
		MaxRows   int          `json:"max_rows"`
		ClipNorm  string       `json:"clip_norm"` // a string, because it may be +Inf
		Alpha     float64      `json:"balance_alpha"`
		// Drafted records that Alpha applies to the gates of the Drafter too. Older
		// checkpoints lack the key, because it did not then, so their runs cannot resume
		// with a different loss.
		Drafted  bool     `json:"balance_of_drafter,omitempty"`
		Center   bool     `json:"center_bias"`
		EMADecay float64  `json:"ema_decay"`
		Skip     bool     `json:"skip_non_finite"`
		Base     string   `json:"base_sha256,omitempty"` // checksum of the parameters that checkpoints do not hold
		Settings any      `json:"settings"`
		Platform platform `json:"platform"`
	}{
		Config: t.Model.Config, DType: t.Model.Params.DType().String(), Format: t.Model.Options.Format.String(),
		Absorbed: t.Model.Absorbed(),
		Tables:   tables, Precision: precision, RoundKV: t.Model.Options.RoundKV,
		Drafter:   t.drafter(),
		Optimizer: t.Optimizer, Rule: fmt.Sprintf("%T", t.Optimizer),
		Seed: strconv.FormatUint(t.Seed, 10), MaxRows: t.MaxRows, ClipNorm: fmt.Sprint(t.clipNorm()),
		Alpha: t.BalanceAlpha, Drafted: drafted, Center: t.CenterBias, EMADecay: t.EMADecay, Skip: t.SkipNonFinite,
		Base: base, Settings: t.Settings, Platform: platform{driver, backend.Path(b), runtime.GOARCH},
	})
	if err != nil {
		return nil, fmt.Errorf("train: the run's settings: %w", err)
	}
	return text, nil
}

// drafter returns the settings of the Drafter, nil without one.
func (t *Trainer) drafter() any {
	if t.Drafter == nil {
		return nil
	}
	return t.Drafter.Settings()
}
