// Package distill teaches a student model what a teacher can do: by supervised
// fine-tuning on the teacher's sampled traces, kept only where a reward says
// they are correct (DeepSeek-R1 §2.4), or by matching the teacher's
// distribution token by token (Hinton et al. 2015).
package distill
