package rollout

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// canDraw reports why m cannot generate for trained.
func canDraw(m, trained *model.Model) error {
	switch {
	case m == trained:
		return errors.New("it is the model of Generator.Generator itself: leave it nil")
	case !reflect.DeepEqual(m.Config, trained.Config):
		return errors.New("its config differs from that of the model of Generator.Generator")
	case m.Params.DType() != trained.Params.DType():
		return fmt.Errorf("its dtype is %s, that of the model of Generator.Generator is %s", trained.Params.DType(),
			m.Params.DType())
	case m.Backend() != trained.Backend():
		return fmt.Errorf("it is on a backend %s, the model of Generator.Generator on another backend, %s",
			trained.Backend().Name(), m.Backend().Name())
	}
	for _, p := range trained.Params.All() {
		if p.Kind == tensor.KindAdapter && m.Params.Get(p.Name) == nil {
			return fmt.Errorf("it has the adapter %s, which the model of Generator.Generator lacks", p.Name)
		}
	}
	for _, p := range m.Params.All() {
		q := trained.Params.Get(p.Name)
		switch {
		case q == nil:
			return fmt.Errorf("it lacks the parameter %s of the model of Generator.Generator", p.Name)
		case q.Packed():
			return fmt.Errorf("its parameter %s is packed: it has no master value", p.Name)
		}
	}
	return nil
}

// takeWeights copies the weights of Trained to Generator's model if they have changed.
func (g *Generator) takeWeights() error {
	if g.Trained == nil {
		return nil
	}
	var now []uint64
	for _, p := range g.Generator.Model().Params.All() {
		now = append(now, g.Trained.Params.Get(p.Name).Version())
	}
	if reflect.DeepEqual(now, g.taken) {
		return nil
	}
	if err := g.Generator.Model().Params.CopyFrom(g.Trained.Params); err != nil {
		g.taken = nil
		return err
	}
	g.taken = now
	return nil
}
