package attention

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// absorbed is the weight-absorbed form of MLA (DeepSeek-V2 §2.1.2). With W_UK and W_UV, the
// two halves of kv_b for each head, it computes
//
//	q̃_h = W_UKᵀ·q_n,h    scores = Scale·(q̃_h·c_j + q_r,h·k_r,j)    o_h = W_UV·Σ_j p_j·c_j
//
// This is multi-query attention over the latent: only c and k_r are cached.
//
// q holds the rotated queries [N, H, n+R], kR the keys [N, R] before rotation.
func (m *MLA) absorbed(q, cKV, kR tensor.Tensor, rows Rows, cache *Cache) tensor.Tensor {
	if m.KVB.Adapter != nil || m.KVB.Bias != nil {
		panic("attention: MLA: the absorbed form splits kv_b by head and supports no adapter or bias on it; merge them first")
	}
	n := cKV.Dim(0)
	kR = tensor.RoPE(kR.Contiguous().Reshape(n, 1, m.Rope), rows.Pos, m.Angles, m.Interleaved) // [N,1,R]
	parts := q.Split(2, m.Nope, m.Rope)                                                        // [N,H,n] [N,H,R]
	w := m.KVB.W.In(cKV.Scope()).Reshape(m.Heads, m.Nope+m.Value, m.KVRank).Split(1, m.Nope, m.Value)
	qC := tensor.MatMul(parts[0].Permute(1, 0, 2), w[0]).Permute(1, 0, 2) // [N,H,C]
	q = tensor.Concat(2, qC, parts[1])                                    // [N,H,C+R]
	k := tensor.Concat(2, cKV.Reshape(n, 1, m.KVRank), kR)                // [N,1,C+R]
	if m.RoundKV {
		k = k.Cast(backend.BF16)
	}
	v := k.Slice(2, 0, m.KVRank) // [N,1,C]
	if cache != nil {
		k, v = cache.Append(rows, k, v)
	}
	o := tensor.Attention(q, k, v, rows.Start, rows.Len, m.Scale)    // [N,H,C]
	o = tensor.MatMul(o.Permute(1, 0, 2), w[1].T()).Permute(1, 0, 2) // [N,H,V]
	return m.O.Forward(o.Contiguous().Reshape(n, m.Heads*m.Value))
}
