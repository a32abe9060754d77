// Package aha is the map of a library that brings the DeepSeek-V3 / R1 system
// to Go: composable blocks, models, training and reinforcement learning over a
// pluggable backend, without cgo.
//
// # Layers
//
// Dependencies point down only; a test enforces it.
//
//	examples                      experiment mains: flags and wiring
//	rl            distill         objectives: GRPO and its rewards; learning from a teacher
//	rl/rollout                    completions of prompts, for both
//	mtp   model/train  model/lora multi-token prediction; optimizers, schedules, the step, resume; adapters
//	model                         assembles blocks; checkpoint files and names; generation
//	attention     moe             one mechanism each: MLA, GQA; gate, experts, balance
//	backend/tensor                tensors, the tape, parameters, the linear seam
//	backend                       op structs and the Backend interface; cpu, cuda and backendtest import it
//
// # The way of a forward pass
//
//	model.Model.Forward                          model/model.go
//	  model.Block.Forward                        model/layer.go: Layer, the Block of the checkpoints
//	    attention.MLA.Forward                    attention/mla.go
//	    moe.MoE.Forward                          moe/moe.go
//	      tensor.RMSNorm, tensor.Linear, …       backend/tensor/
//	        backend.RMSNorm, backend.MatMul, …   backend/rmsnorm.go: what the op means
//	          the kernel                         backend/cpu/rmsnorm.go, backend/cuda/rmsnorm.go: how a device does it
//
// # Where things are
//
//	MLA's latent is cached                       attention.MLA.Forward; any cache is written by attention.Cache.write
//	the importance ratio is clipped              rl.Objective.Loss
//	a gate's selection bias moves                moe.Gate.UpdateBias, called by train.Trainer.Update
//	a resumed run compares its settings          train.Trainer.Resume; of a program's flags run.Settle
//	to add a reward                              reward.Func in a reward.Suite
//	to add a block                               model.Block, made by model.Options.Block
//	to sample completions in another way         rollout.Sampler
//	experts of a rollout are replayed            rl.GRPO.RouterReplay, model.Sequence.Experts, moe.Gate.Choose
//
// # Exactness
//
// On the CPU an output's bits depend on the op, its reduction length, the
// dtype, the kernel path and the position in its own sequence, and on nothing
// else: not on the batch, the number of threads or the state of a cache. So
// log-probabilities written while sampling equal those the trainer computes,
// the same seed gives the same weights at any GOMAXPROCS, and a run killed and
// resumed ends where an undisturbed one does.
package aha
