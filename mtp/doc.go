// Package mtp is multi-token prediction: D sequential modules that predict the
// tokens after the next one, sharing the main model's embedding and head, for
// a denser training signal and as drafters at inference.
//
// [New] makes the modules of a model whose config has num_nextn_predict_layers.
// [MTP.Loss] is their weighted loss, of the hidden states that the model's forward has
// left; train.Trainer adds it where its Drafter is set.
package mtp
