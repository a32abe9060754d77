// Package tune is shared by the examples finetune, dpo and grpo. It has the flags for training
// all weights of a model or low-rank adapters, loads and saves the model, and encodes chats.
package tune
