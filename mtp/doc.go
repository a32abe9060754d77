// Package mtp is multi-token prediction: D sequential modules that predict the tokens after
// the next one. They share the embedding and the head of the main model, give a denser
// training signal, and can draft tokens for speculative decoding.
//
// [New] makes the modules of a model whose config has num_nextn_predict_layers. [MTP.Loss]
// computes their weighted loss from the hidden states of the model's forward; train.Trainer
// adds it if its Drafter is set.
package mtp
