package model

import (
	"errors"
	"fmt"
	"math"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/moe"
)

// On the host, the experts of a forward are stored row by row; each row has the experts of
// each of Model.Gates in order, K ascending ids per gate. On the device they are one
// vector, gate by gate, with [N, K] ids per gate.

// routing holds the experts of the rows of a forward, as vectors on the device.
type routing struct {
	given  tensor.Tensor // experts that rows are routed to; if absent, the gates choose
	chosen tensor.Tensor // receives the experts that the gates choose; absent if they are not needed
}

// ExpertsPerRow returns the number of experts that a row is routed to, summed over Gates.
// It is the length of a row's record in Sequence.Experts.
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

// CheckExperts returns an error if experts cannot be the experts of the given number of
// rows: if their number is wrong, if a gate does not have an id, or if the ids of a row and
// gate are not ascending.
func (m *Model) CheckExperts(rows int, experts []uint16) error {
	gates, layers := m.Gates()
	if want := rows * m.ExpertsPerRow(); len(experts) != want {
		return fmt.Errorf("%d experts for %d rows, want %d of each row", len(experts), rows, m.ExpertsPerRow())
	}
	if _, dry := backend.As[*backend.Dry](m.Backend()); dry { // a dry run has no values
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

// canRecordExperts returns an error if the experts of rows cannot be recorded.
func (m *Model) canRecordExperts() error {
	gates, layers := m.Gates()
	if len(gates) == 0 {
		return errors.New("the model has no experts")
	}
	for i, g := range gates {
		if e, _ := g.Shape(); e > math.MaxUint16+1 {
			return fmt.Errorf("a gate of layer %d has %d experts, but at most %d can be recorded", layers[i], e,
				math.MaxUint16+1)
		}
	}
	return nil
}

// RecordExperts makes the forward of b record the experts that the gates choose, for
// ChosenExperts. If the batch prescribes experts, the record holds those that the gates
// would choose by themselves for the same hidden states.
func (m *Model) RecordExperts(b *Batch) {
	b.routing.chosen = m.newChosen(b.IDs.Scope(), b.IDs.Len())
}

// newChosen allocates a vector for the experts of n rows.
func (m *Model) newChosen(s *tensor.Scope, n int) tensor.Tensor {
	return s.Empty(backend.I32, n*m.ExpertsPerRow()).Keep()
}

// ChosenExperts returns the experts that the gates chose in the forward of b, for each
// sequence in the form of Sequence.Experts. RecordExperts must have been called for b
// before the forward.
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

// download copies the experts of n rows to the host.
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

// given uploads the experts of seqs; the result is absent if they have none.
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

// eachGate calls visit with the indices, on the host and on the device, of the experts of
// each row and gate.
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

// choices distributes the routing of a forward to the gates in order.
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

// next returns the choices of the next gates; nil without routing.
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

// choose sets the choices of b's gates until done is called. done panics unless each gate
// was used exactly once, because a further forward of a gate would not follow the recorded
// experts.
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
				panic(fmt.Sprintf("model: %T.Forward used gate %d of %d %d times: experts can be recorded or given only "+
					"if each gate is used once", b, i, len(gates), n))
			}
		}
	}
}
