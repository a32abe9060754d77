package model

// The presets are copies of published config.json files, so that a model can be made
// without one. If there is a config.json with the weights, load that instead. Comments list
// the values that were not checked against a published file.

// DeepSeekV3 is the config of DeepSeek-V3, R1 and R1-Zero: 671B parameters, 37.6B active,
// FP8 weights with a scale per block (arXiv:2412.19437 §4.2). Its InitializerRange is 0.02
// as in the published file; the report says 0.006.
func DeepSeekV3() Config {
	return Config{
		ModelType:             TypeDeepSeekV3,
		VocabSize:             129280,
		HiddenSize:            7168,
		IntermediateSize:      18432,
		NumHiddenLayers:       61,
		NumAttentionHeads:     128,
		NumKeyValueHeads:      128,
		MaxPositionEmbeddings: 163840,
		HiddenAct:             "silu",
		RMSNormEps:            1e-6,
		InitializerRange:      0.02,
		RoPETheta:             1e4,
		RoPEScaling:           deepSeekYaRN(1),
		RoPEInterleave:        true,
		QLoRARank:             1536,
		KVLoRARank:            512,
		QKNopeHeadDim:         128,
		QKRopeHeadDim:         64,
		VHeadDim:              128,
		NRoutedExperts:        256,
		NSharedExperts:        1,
		NumExpertsPerTok:      8,
		MoEIntermediateSize:   2048,
		FirstKDenseReplace:    3,
		MoELayerFreq:          1,
		NGroup:                8,
		TopKGroup:             4,
		ScoringFunc:           "sigmoid",
		TopKMethod:            "noaux_tc",
		NormTopKProb:          true,
		RoutedScalingFactor:   2.5,
		NumNextNPredictLayers: 1,
		BOSTokenID:            TokenIDs{0},
		EOSTokenID:            TokenIDs{1},
		DType:                 "bfloat16",
		Quantization: &Quantization{
			QuantMethod:      "fp8",
			Fmt:              "e4m3",
			ActivationScheme: "dynamic",
			WeightBlockSize:  []int{128, 128},
		},
	}
}

// DeepSeekV2 is the config of DeepSeek-V2: 236B parameters, 21B active (arXiv:2405.04434
// §3.1.2). Its YaRN mscale is 0.707 as in the paper; some later V2.x files have 1.
func DeepSeekV2() Config {
	c := deepSeekV2()
	c.HiddenSize = 5120
	c.IntermediateSize = 12288
	c.NumHiddenLayers = 60
	c.NumAttentionHeads, c.NumKeyValueHeads = 128, 128
	c.QLoRARank = 1536
	c.NRoutedExperts = 160
	c.MoEIntermediateSize = 1536
	c.NGroup, c.TopKGroup = 8, 3
	c.TopKMethod = "group_limited_greedy"
	c.RoutedScalingFactor = 16
	return c
}

// DeepSeekV2Lite is the config of DeepSeek-V2-Lite: 15.7B parameters, 2.7B active
// (arXiv:2405.04434 appendix B).
func DeepSeekV2Lite() Config {
	c := deepSeekV2()
	c.HiddenSize = 2048
	c.IntermediateSize = 10944
	c.NumHiddenLayers = 27
	c.NumAttentionHeads, c.NumKeyValueHeads = 16, 16
	c.NRoutedExperts = 64
	c.MoEIntermediateSize = 1408
	c.NGroup, c.TopKGroup = 1, 1
	c.TopKMethod = "greedy"
	c.RoutedScalingFactor = 1
	return c
}

// deepSeekV2 is what DeepSeek-V2 and V2-Lite have in common.
func deepSeekV2() Config {
	return Config{
		ModelType:             TypeDeepSeekV2,
		VocabSize:             102400,
		MaxPositionEmbeddings: 163840,
		HiddenAct:             "silu",
		RMSNormEps:            1e-6,
		InitializerRange:      0.02,
		RoPETheta:             1e4,
		RoPEScaling:           deepSeekYaRN(0.707),
		RoPEInterleave:        true,
		KVLoRARank:            512,
		QKNopeHeadDim:         128,
		QKRopeHeadDim:         64,
		VHeadDim:              128,
		NSharedExperts:        2,
		NumExpertsPerTok:      6,
		FirstKDenseReplace:    1,
		MoELayerFreq:          1,
		ScoringFunc:           "softmax",
		BOSTokenID:            TokenIDs{100000},
		EOSTokenID:            TokenIDs{100001},
		DType:                 "bfloat16",
	}
}

func deepSeekYaRN(mscale float64) *RoPEScaling {
	return &RoPEScaling{
		Type:                          "yarn",
		Factor:                        40,
		OriginalMaxPositionEmbeddings: 4096,
		BetaFast:                      32,
		BetaSlow:                      1,
		MScale:                        mscale,
		MScaleAllDim:                  mscale,
	}
}

// Moonlight16BA3B is the config of Moonlight-16B-A3B-Instruct: the V3 architecture with
// 16.0B parameters, 2.9B active (arXiv:2502.16982).
func Moonlight16BA3B() Config {
	return Config{
		ModelType:             TypeDeepSeekV3,
		VocabSize:             163840,
		HiddenSize:            2048,
		IntermediateSize:      11264,
		NumHiddenLayers:       27,
		NumAttentionHeads:     16,
		NumKeyValueHeads:      16,
		MaxPositionEmbeddings: 8192,
		HiddenAct:             "silu",
		RMSNormEps:            1e-5,
		InitializerRange:      0.02,
		RoPETheta:             5e4,
		RoPEInterleave:        true,
		KVLoRARank:            512,
		QKNopeHeadDim:         128,
		QKRopeHeadDim:         64,
		VHeadDim:              128,
		NRoutedExperts:        64,
		NSharedExperts:        2,
		NumExpertsPerTok:      6,
		MoEIntermediateSize:   1408,
		FirstKDenseReplace:    1,
		MoELayerFreq:          1,
		NGroup:                1,
		TopKGroup:             1,
		ScoringFunc:           "sigmoid",
		TopKMethod:            "noaux_tc",
		NormTopKProb:          true,
		RoutedScalingFactor:   2.446,
		BOSTokenID:            TokenIDs{163584},
		EOSTokenID:            TokenIDs{163586},
		DType:                 "bfloat16",
	}
}

// R1DistillQwen1_5B is the config of DeepSeek-R1-Distill-Qwen-1.5B, which is based on
// Qwen2.5-Math-1.5B. Unverified: RoPETheta, and that the head is untied (the base model
// ties it).
func R1DistillQwen1_5B() Config {
	c := r1DistillQwen()
	c.VocabSize = 151936
	c.HiddenSize = 1536
	c.IntermediateSize = 8960
	c.NumHiddenLayers = 28
	c.NumAttentionHeads, c.NumKeyValueHeads = 12, 2
	c.RMSNormEps = 1e-6
	c.RoPETheta = 1e4
	return c
}

// R1DistillQwen7B is the config of DeepSeek-R1-Distill-Qwen-7B, which is based on
// Qwen2.5-Math-7B. Unverified: RoPETheta.
func R1DistillQwen7B() Config {
	c := r1DistillQwen()
	c.HiddenSize = 3584
	c.IntermediateSize = 18944
	c.NumHiddenLayers = 28
	c.NumAttentionHeads, c.NumKeyValueHeads = 28, 4
	c.RMSNormEps = 1e-6
	c.RoPETheta = 1e4
	return c
}

// R1DistillQwen14B is the config of DeepSeek-R1-Distill-Qwen-14B, which is based on
// Qwen2.5-14B. Unverified: IntermediateSize, NumHiddenLayers, the numbers of heads,
// RoPETheta.
func R1DistillQwen14B() Config {
	c := r1DistillQwen()
	c.HiddenSize = 5120
	c.IntermediateSize = 13824
	c.NumHiddenLayers = 48
	c.NumAttentionHeads, c.NumKeyValueHeads = 40, 8
	return c
}

// R1DistillQwen32B is the config of DeepSeek-R1-Distill-Qwen-32B, which is based on
// Qwen2.5-32B. Unverified: RoPETheta.
func R1DistillQwen32B() Config {
	c := r1DistillQwen()
	c.HiddenSize = 5120
	c.IntermediateSize = 27648
	c.NumHiddenLayers = 64
	c.NumAttentionHeads, c.NumKeyValueHeads = 40, 8
	return c
}

// r1DistillQwen is what the distilled Qwen models have in common, with the values of the
// two larger ones.
func r1DistillQwen() Config {
	return Config{
		ModelType:             TypeQwen2,
		VocabSize:             152064,
		MaxPositionEmbeddings: 131072,
		HiddenAct:             "silu",
		RMSNormEps:            1e-5,
		InitializerRange:      0.02,
		RoPETheta:             1e6,
		BOSTokenID:            TokenIDs{151646},
		EOSTokenID:            TokenIDs{151643},
		DType:                 "bfloat16",
	}
}

// R1DistillLlama8B is the config of DeepSeek-R1-Distill-Llama-8B, which is based on
// Llama-3.1-8B. Unverified: RoPETheta, RoPEScaling and the token ids.
func R1DistillLlama8B() Config {
	c := r1DistillLlama()
	c.HiddenSize = 4096
	c.IntermediateSize = 14336
	c.NumHiddenLayers = 32
	c.NumAttentionHeads, c.NumKeyValueHeads = 32, 8
	return c
}

// R1DistillLlama70B is the config of DeepSeek-R1-Distill-Llama-70B, which is based on
// Llama-3.3-70B-Instruct. Unverified: IntermediateSize, NumHiddenLayers, the numbers of
// heads, RoPETheta, RoPEScaling and the token ids.
func R1DistillLlama70B() Config {
	c := r1DistillLlama()
	c.HiddenSize = 8192
	c.IntermediateSize = 28672
	c.NumHiddenLayers = 80
	c.NumAttentionHeads, c.NumKeyValueHeads = 64, 8
	return c
}

// r1DistillLlama is what the distilled Llama models have in common.
func r1DistillLlama() Config {
	return Config{
		ModelType:             TypeLlama,
		VocabSize:             128256,
		MaxPositionEmbeddings: 131072,
		HiddenAct:             "silu",
		RMSNormEps:            1e-5,
		InitializerRange:      0.02,
		RoPETheta:             5e5,
		RoPEScaling: &RoPEScaling{
			Type:                          "llama3",
			Factor:                        8,
			OriginalMaxPositionEmbeddings: 8192,
			LowFreqFactor:                 1,
			HighFreqFactor:                4,
		},
		HeadDim:    128,
		BOSTokenID: TokenIDs{128000},
		EOSTokenID: TokenIDs{128001},
		DType:      "bfloat16",
	}
}

// Qwen3_30B_A3B is the config of Qwen3-30B-A3B: 30.5B parameters, 3.3B active
// (arXiv:2505.09388 §2). Unverified: MaxPositionEmbeddings and the token ids.
func Qwen3_30B_A3B() Config {
	return Config{
		ModelType:             TypeQwen3MoE,
		VocabSize:             151936,
		HiddenSize:            2048,
		IntermediateSize:      6144,
		NumHiddenLayers:       48,
		NumAttentionHeads:     32,
		NumKeyValueHeads:      4,
		MaxPositionEmbeddings: 40960,
		HiddenAct:             "silu",
		RMSNormEps:            1e-6,
		InitializerRange:      0.02,
		RoPETheta:             1e6,
		HeadDim:               128,
		NRoutedExperts:        128,
		NumExpertsPerTok:      8,
		MoEIntermediateSize:   768,
		DecoderSparseStep:     1,
		NormTopKProb:          true,
		BOSTokenID:            TokenIDs{151643},
		EOSTokenID:            TokenIDs{151645},
		DType:                 "bfloat16",
	}
}

// Tiny is the config of a small model of V3's architecture, with a vocabulary of vocab
// tokens and without BOS or EOS tokens. It has all of V3's mechanisms: query compression,
// one dense and three MoE layers, a shared expert, the sigmoid gate with selection bias,
// and one MTP module. It trains in minutes on a laptop. Change the fields as needed;
// Validate reports values that do not fit together.
//
// RoutedScalingFactor follows Moonlight's rule (arXiv:2502.16982 appendix C), which gives
// the routed output the root mean square of one expert's output: the mean of 1/‖w‖ over
// gate weights w, normalised from the top 2 of 8 sigmoids of standard normal logits.
func Tiny(vocab int) Config {
	return Config{
		ModelType:             TypeDeepSeekV3,
		VocabSize:             vocab,
		HiddenSize:            128,
		IntermediateSize:      344,
		NumHiddenLayers:       4,
		NumAttentionHeads:     4,
		NumKeyValueHeads:      4,
		MaxPositionEmbeddings: 256,
		HiddenAct:             "silu",
		RMSNormEps:            1e-6,
		InitializerRange:      0.02,
		RoPETheta:             1e4,
		RoPEInterleave:        true,
		QLoRARank:             64,
		KVLoRARank:            64,
		QKNopeHeadDim:         32,
		QKRopeHeadDim:         16,
		VHeadDim:              32,
		NRoutedExperts:        8,
		NSharedExperts:        1,
		NumExpertsPerTok:      2,
		MoEIntermediateSize:   128,
		FirstKDenseReplace:    1,
		MoELayerFreq:          1,
		NGroup:                1,
		TopKGroup:             1,
		ScoringFunc:           "sigmoid",
		TopKMethod:            "noaux_tc",
		NormTopKProb:          true,
		RoutedScalingFactor:   1.409,
		NumNextNPredictLayers: 1,
		DType:                 "float32",
	}
}
