// Package cpu is the pure-Go backend, and the reference for the others: its
// kernels are plain loops over float32 or float64, one file per op, with
// assembly (internal/asm) for the float32 loops that take the most time.
//
// The exact rule, which makes rollout and training agree bit for bit: the
// arithmetic of an output element depends on the op, its reduction length, the
// dtype, the kernel path and the position in its own sequence. It never depends
// on the number of rows, the batch, the threads, an address or the state of a
// cache. So work is split over threads by output elements only, and a sum over
// rows that must be split is split at boundaries that depend on its length
// alone.
package cpu
