// Package aha documents a library that implements the DeepSeek-V3 / R1 system in Go:
// composable blocks, models, training and reinforcement learning over a pluggable backend,
// without cgo. The code is in the packages below.
//
// # Layers
//
// Dependencies point down only; a test enforces it.
//
//	examples                      experiment mains: flags and wiring
//	rl            distill         objectives: GRPO and its rewards; distillation from a teacher
//	rl/rollout                    sampling completions of prompts, for both
//	mtp   model/train  model/lora multi-token prediction; optimizers, schedules, the step, resume; adapters
//	model                         models made of blocks; checkpoint files and names; generation
//	attention     moe             one mechanism each: MLA, GQA; gate, experts, balance
//	backend/tensor                tensors, the tape, parameters, linear layers
//	backend                       op structs and the Backend interface; cpu, cuda and backendtest import it
//
// # The calls of a forward pass
//
//	model.Model.Forward                          model/model.go
//	  model.Block.Forward                        model/layer.go: Layer, the Block of the published models
//	    attention.MLA.Forward                    attention/mla.go
//	    moe.MoE.Forward                          moe/moe.go
//	      tensor.RMSNorm, tensor.Linear, …       backend/tensor/
//	        backend.RMSNorm, backend.MatMul, …   backend/rmsnorm.go: what the op means
//	          the kernel                         backend/cpu/rmsnorm.go, backend/cuda/rmsnorm.go: how a device does it
//
// # Where things are
//
//	MLA's latent is cached                       attention.MLA.Forward; every cache is written by attention.Cache.write
//	the importance ratio is clipped              rl.Objective.Loss
//	a gate's selection bias moves                moe.Gate.UpdateBias, called by train.Trainer.Update
//	a resumed run compares its settings          train.Trainer.Resume; run.Settle for a program's flags
//	experts of a rollout are replayed            rl.GRPO.RouterReplay, model.Sequence.Experts, moe.Gate.Choose
//	to add a reward                              reward.Func in a reward.Suite
//	to add a block                               model.Block, made by model.Options.Block
//	to sample completions in another way         rollout.Sampler
//
// # Exactness
//
// On the CPU the bits of an output depend only on the op, its reduction length, the dtype,
// the kernel path and the position in its own sequence. They do not depend on the batch, the
// number of threads or the state of a cache. So the log-probabilities recorded during
// sampling equal those that the trainer computes, the same seed gives the same weights at any
// GOMAXPROCS, and a run that is killed and resumed ends with the weights of an uninterrupted
// run.
package aha
