// Package cpu is the pure-Go backend and the reference for every other: the
// kernels are the plainest loops over float32 or float64, one file an op, with
// assembly (internal/asm) behind the hot float32 ones.
//
// The exact rule (what makes rollout and training agree bit for bit): an
// output element's arithmetic depends on the op, its reduction length, the
// dtype, the path and the position in its own sequence, never on the number of
// rows, the batch, the threads, the address or the cache. Work is therefore
// split over threads by output elements only, and a sum that must be split
// (over rows) is split at boundaries set by its length alone.
package cpu
