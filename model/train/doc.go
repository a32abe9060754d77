// Package train runs the optimization of a model: optimizers, schedules,
// clipping, micro-batches, the bias update of auxiliary-loss-free balance,
// metrics, and checkpoints from which a run goes on bit for bit.
//
// [Trainer.Run] is a whole supervised run. [Trainer.Step] is one step of it, and
// [Trainer.Update] one optimizer step on any loss, which is what reinforcement
// learning and distillation build on. [Trainer.Resume] compares what a checkpoint was
// trained with, Trainer.Settings among it, with the present run, and lists what differs.
package train
