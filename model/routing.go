package model

import (
	"errors"
	"fmt"
	"math"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/moe"
)

// On the host the experts of a row are those of each of Model.Gates in order, K ascending
// ids a gate, one row after the other. On the device they are [N, K] of each gate, one gate
// after the other, in one vector.

// routing are the experts of the rows of a forward, as vectors on the device.
type routing struct {
	given  tensor.Tensor // those that rows are routed to; absent leaves the choice to the gates
	chosen tensor.Tensor // set to those that the gates choose; absent where nobody reads them
}

// ExpertsPerRow is the number of experts that a row of a forward is routed to, summed over
// Gates: the length of its record.
func (m *Model) ExpertsPerRow() int {
	n := 0
	for _, b := range m.Blocks {
		for _, g := range b.Gates() {
			_, k := g.Shape()
			n += k
		}
	}
	return n
}

// CheckExperts reports why experts cannot be those of a number of rows: another length, an
// id that a gate does not have, or ids of a row and gate that do not ascend.
func (m *Model) CheckExperts(rows int, experts []uint16) error {
	gates, layers := m.Gates()
	if want := rows * m.ExpertsPerRow(); len(experts) != want {
		return fmt.Errorf("%d experts for %d rows, want %d of each row", len(experts), rows, m.ExpertsPerRow())
	}
	if _, dry := backend.As[*backend.Dry](m.Backend()); dry { // nothing has values
		return nil
	}
	for row := range rows {
		for i, g := range gates {
			e, k := g.Shape()
			for j, id := range experts[:k] {
				switch {
				case int(id) >= e:
					return fmt.Errorf("row %d, layer %d: expert %d, gate %d has %d", row, layers[i], id, i, e)
				case j > 0 && id <= experts[j-1]:
					return fmt.Errorf("row %d, layer %d: experts %v, want ascending ones", row, layers[i], experts[:k])
				}
			}
			experts = experts[k:]
		}
	}
	return nil
}

// canRecordExperts reports why the experts of rows cannot be written down.
func (m *Model) canRecordExperts() error {
	gates, layers := m.Gates()
	if len(gates) == 0 {
		return errors.New("the model has no experts")
	}
	for i, g := range gates {
		if e, _ := g.Shape(); e > math.MaxUint16+1 {
			return fmt.Errorf("a gate of layer %d has %d experts, a record holds at most %d", layers[i], e, math.MaxUint16+1)
		}
	}
	return nil
}

// RecordExperts has a forward of b keep the experts that the gates choose, for
// ChosenExperts. Those of a forward whose experts are given are what the gates would have
// chosen for its hidden states.
func (m *Model) RecordExperts(b *Batch) {
	b.routing.chosen = m.newChosen(b.IDs.Scope(), b.IDs.Len())
}

// newChosen is room for the experts of n rows.
func (m *Model) newChosen(s *tensor.Scope, n int) tensor.Tensor {
	return s.Empty(backend.I32, n*m.ExpertsPerRow()).Keep()
}

// ChosenExperts are the experts that the gates chose in the forward of b, of each sequence
// as Sequence.Experts has them. b went through RecordExperts before.
func (m *Model) ChosenExperts(b Batch) ([][]uint16, error) {
	n := b.IDs.Len()
	all, err := m.download(b.routing.chosen, n)
	if err != nil {
		return nil, err
	}
	out := make([][]uint16, len(b.Host))
	for i, q := range b.Host {
		length := q.Rows() * m.ExpertsPerRow()
		out[i], all = all[:length:length], all[length:]
	}
	return out, nil
}

// download brings the experts of n rows to the host.
func (m *Model) download(experts tensor.Tensor, n int) ([]uint16, error) {
	width := m.ExpertsPerRow()
	ids := make([]int32, n*width)
	if err := tensor.Download(ids, head(experts, len(ids))); err != nil {
		return nil, err
	}
	out := make([]uint16, len(ids))
	m.eachGate(n, func(host, device int) { out[host] = uint16(ids[device]) })
	return out, nil
}

// given uploads the experts of seqs; absent if they have none.
func (m *Model) given(s *tensor.Scope, seqs []Sequence) tensor.Tensor {
	var all []uint16
	n := 0
	for i, q := range seqs {
		if (q.Experts == nil) != (seqs[0].Experts == nil) {
			panic(fmt.Sprintf("model: NewBatch: of sequences 0 and %d one has Experts and the other has none", i))
		}
		if q.Experts != nil {
			if err := m.CheckExperts(q.Rows(), q.Experts); err != nil {
				panic(fmt.Sprintf("model: NewBatch: sequence %d: %v", i, err))
			}
		}
		all = append(all, q.Experts...)
		n += q.Rows()
	}
	if len(all) == 0 {
		return tensor.Tensor{}
	}
	ids := make([]int32, len(all))
	m.eachGate(n, func(host, device int) { ids[device] = int32(all[host]) })
	return s.Ints(ids, len(ids))
}

// eachGate pairs the places of the experts of n rows on host and device.
func (m *Model) eachGate(n int, visit func(host, device int)) {
	width, before := m.ExpertsPerRow(), 0
	gates, _ := m.Gates()
	for _, g := range gates {
		_, k := g.Shape()
		for row := range n {
			for j := range k {
				visit(row*width+before+j, n*before+row*k+j)
			}
		}
		before += k
	}
}

// choices deals out a forward's routing to the gates in their order.
type choices struct {
	routing
	rows, at int
}

func (r routing) reader(rows int) *choices {
	if !r.given.Present() && !r.chosen.Present() {
		return nil
	}
	return &choices{routing: r, rows: rows}
}

// next are the choices of the gates that come next; nil without routing.
func (c *choices) next(gates []*moe.Gate) []moe.Choice {
	if c == nil {
		return nil
	}
	out := make([]moe.Choice, len(gates))
	for i, g := range gates {
		_, k := g.Shape()
		part := func(t tensor.Tensor) tensor.Tensor {
			if !t.Present() {
				return t
			}
			return t.Slice(0, c.at, c.at+c.rows*k).Reshape(c.rows, k)
		}
		out[i] = moe.Choice{Given: part(c.given), Chosen: part(c.chosen)}
		c.at += c.rows * k
	}
	return out
}

// choose gives the gates of b their choices until done, which panics unless each gate was
// used once: else the block's other forwards would go their own way.
func choose(b Block, choices []moe.Choice) (done func()) {
	if choices == nil {
		return func() {}
	}
	gates, used := b.Gates(), make([]moe.Choice, len(choices))
	copy(used, choices)
	for i, g := range gates {
		g.Choose(&used[i])
	}
	return func() {
		for i, g := range gates {
			g.Choose(nil)
			if n := used[i].Forwards(); n != 1 {
				panic(fmt.Sprintf("model: %T.Forward used gate %d of %d %d times: experts can be recorded and given "+
					"where each is used once", b, i, len(gates), n))
			}
		}
	}
}
