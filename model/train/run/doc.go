// Package run manages the folder of a run: the lock that reserves it for one process at a
// time, the settings that determine the result, and the metrics.
//
//	lock, err := run.Lock("out/mine")
//	if err != nil {
//		return err // out/mine is in use by process 1234 on host foo …
//	}
//	defer lock.Close()
//	if err := run.Settle("out/mine/config.json", settings); err != nil {
//		return err // … seed: 1 there, 2 now
//	}
//
// A train.Trainer locks its own folder. Only a program that writes its own files into a
// Trainer's folder needs to call Lock.
package run
