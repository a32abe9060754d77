// Package train runs the optimization of a model: optimizers, learning rate schedules,
// gradient clipping, micro-batches, the bias update of auxiliary-loss-free balancing,
// metrics, and checkpoints from which a run resumes bit for bit.
//
// [Trainer.Run] is a whole run of supervised training. [Trainer.Step] is one step of it.
// [Trainer.Update] is one optimizer step on any loss; reinforcement learning and
// distillation are built on it. [Trainer.Resume] compares the settings of a checkpoint,
// which include Trainer.Settings, with those of the present run, and returns an error that
// lists the differences.
package train
