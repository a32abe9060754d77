package model

// NumParams counts the parameters of the main model: embedding, layers, final norm, the
// head unless it is tied, and the selection biases of the gates. MTP modules are not
// included; see [Config.NumMTPParams].
//
// active is total without, in every MoE layer, the experts that a token is not routed to
// and the selection bias, which affects the choice of experts only.
func (c Config) NumParams() (total, active int64) { return countParams[int64](c) }

// NumMTPParams counts the parameters of the MTP modules. Their embedding and head belong to
// the main model and are not counted, although checkpoints store copies of them.
func (c Config) NumMTPParams() int64 {
	d := int64(c.HiddenSize)
	var n int64
	for i := range c.NumNextNPredictLayers {
		layer, _ := countLayer[int64](c, c.IsMoELayer(c.NumHiddenLayers+i))
		n += layer + 2*d*d + 3*d // eh_proj, enorm, hnorm, shared_head.norm
	}
	return n
}

// count is int64 for the result, and float64 to detect that the result overflows int64.
type count interface{ int64 | float64 }

func countParams[T count](c Config) (total, active T) {
	d := T(c.HiddenSize)
	outer := T(c.VocabSize)*d + d
	if !c.TieWordEmbeddings {
		outer += T(c.VocabSize) * d
	}
	sparse := 0
	for l := range c.NumHiddenLayers {
		if c.IsMoELayer(l) {
			sparse++
		}
	}
	denseTotal, denseActive := countLayer[T](c, false)
	moeTotal, moeActive := countLayer[T](c, true)
	dense := T(c.NumHiddenLayers - sparse)
	return outer + dense*denseTotal + T(sparse)*moeTotal, outer + dense*denseActive + T(sparse)*moeActive
}

func countLayer[T count](c Config, moe bool) (total, active T) {
	d := T(c.HiddenSize)
	both := countAttention[T](c) + 2*d // input_layernorm, post_attention_layernorm
	if !moe {
		both += 3 * d * T(c.IntermediateSize)
		return both, both
	}
	expert := 3 * d * T(c.MoEIntermediateSize)
	both += d*T(c.NRoutedExperts) + T(c.NSharedExperts)*expert
	total = both + T(c.NRoutedExperts)*expert
	if c.moe().Bias {
		total += T(c.NRoutedExperts)
	}
	return total, both + T(c.NumExpertsPerTok)*expert
}

func countAttention[T count](c Config) T {
	d, h, qk := T(c.HiddenSize), T(c.NumAttentionHeads), T(c.QKHeadDim())
	if !c.IsMLA() {
		kv := T(c.NumKeyValueHeads)
		n := 2*d*h*qk + 2*d*kv*qk // q and o, then k and v
		if c.QKVBias() {
			n += (h + 2*kv) * qk
		}
		if c.QKNorm() {
			n += 2 * qk
		}
		return n
	}
	q, r, v := T(c.QLoRARank), T(c.KVLoRARank), T(c.VHeadDim)
	n := d*(r+T(c.QKRopeHeadDim)) + r + r*h*(T(c.QKNopeHeadDim)+v) + h*v*d // kv_a, its norm, kv_b, o
	if c.QLoRARank == 0 {
		return n + d*h*qk
	}
	return n + d*q + q + q*h*qk // q_a, its norm, q_b
}
