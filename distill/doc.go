// Package distill trains a student model on a teacher, in the two classic ways.
//
// By traces, as DeepSeek-R1 was distilled (arXiv 2501.12948 §2.4): [Rejection] samples
// completions from the teacher and keeps those that a reward accepts as correct.
// train.Epochs feeds them to a train.Trainer, whose default loss is that of supervised
// fine-tuning:
//
//	c, err := rejection.Collect(ctx, prompts)
//	data := &train.Epochs{Sequences: c.Sequences()}
//	t := train.Trainer{Model: student, Optimizer: train.AdamW{LR: 1e-3}, Steps: data.Steps(3)}
//	err = t.Run(ctx, data)
//
// By logits (Hinton et al. 2015, arXiv 1503.02531): the student is trained to match the
// teacher's distribution at every token of such data:
//
//	t.Loss = distill.Logit{Temperature: 2}.TrainerLoss(&t, distill.NewTeacher(teacher))
//
// Only the tokens of responses have a loss; prompts are context.
package distill
