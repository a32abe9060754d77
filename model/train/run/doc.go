// Package run keeps the folder of a run: the lock that gives it to one process
// at a time, the settings that decide its result, and the metrics that the run
// left in it.
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
// A train.Trainer locks its own folder, so that only a program which writes files
// beside those of a Trainer has to call Lock.
package run
