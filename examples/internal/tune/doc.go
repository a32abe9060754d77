// Package tune is what the examples finetune, dpo and grpo share: the flags of training a
// checkpoint, all of its weights or adapters beside them, the model from loading to saving,
// and the encoding of chats.
package tune
