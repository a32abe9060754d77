// Package distill teaches a student what a teacher can do, in the two classic
// ways.
//
// By traces, as DeepSeek-R1 was distilled (arXiv 2501.12948 §2.4): [Rejection]
// has the teacher write and keeps what a reward calls correct, and train.Epochs
// deals that out to a train.Trainer, whose own loss is supervised fine-tuning:
//
//	c, err := rejection.Collect(ctx, prompts)
//	data := &train.Epochs{Sequences: c.Sequences()}
//	t := train.Trainer{Model: student, Optimizer: train.AdamW{LR: 1e-3}, Steps: data.Steps(3)}
//	err = t.Run(ctx, data)
//
// By logits (Hinton et al. 2015, arXiv 1503.02531): the student is taken to the
// teacher's distribution at every token of such data:
//
//	t.Loss = distill.Logit{Temperature: 2}.TrainerLoss(&t, distill.NewTeacher(teacher))
//
// Only responses are learned; prompts are read.
package distill
