// Package distill teaches a student what a teacher can do, in the two classic
// ways:
//
//	traces   Rejection.Collect → Epochs → train.Trainer            supervised fine-tuning on the
//	         teacher's sampled traces, kept only where a reward
//	         says that they are correct (DeepSeek-R1 §2.4)
//	logits   Logit.TrainerLoss as train.Trainer.Loss               the teacher's distribution matched
//	         token by token (Hinton et al. 2015, arXiv 1503.02531)
//
// Both train on the response alone: prompts are read, not learned.
package distill
