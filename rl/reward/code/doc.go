// Package code scores programs by unit tests. A [Verifier] extracts the program from a
// completion, runs it on the tests of a [Problem], and compares its output, or the result of
// its function, with the expected one.
//
// # Isolation
//
// The program runs in separate processes on Linux (amd64, arm64), in new user, pid, mount,
// network, IPC and UTS namespaces, under seccomp and rlimits, without capabilities. It has
// read-only access to its own files, its interpreter and the shared libraries, and access to
// /dev/null, /dev/zero and /dev/urandom. It may write to a working folder that is created
// empty for each test and removed after it. It has no /proc, no network and no environment
// except PYTHONHASHSEED or GOMAXPROCS. It is killed when it exceeds a limit on wall time, CPU
// time, memory or output, and when the caller exits. Disk space, processes and threads are
// limited too. Expected results never enter the sandbox. The memory of several processes is
// summed every 10 ms; in between they can exceed the limit.
//
// Namespaces and seccomp do not protect against programs that exploit the kernel. Use a
// virtual machine against those.
//
// The package runs its own binary again with another argument 0. Its init function takes
// control of these processes before main. Init functions of packages that are initialized
// earlier run in them too.
//
// Go programs are compiled in the same sandbox by the compiler and the linker of the Go
// toolchain, without cgo and with only the standard library. The go command itself never reads
// the program. It builds the packages of the standard library that programs import, which
// takes a while the first time if they are not in its cache.
//
// If the kernel does not permit namespaces, as in many containers, verdicts are Errors with
// the reason. With Verifier.AcceptLess the program then runs as a single process under
// Landlock, seccomp and rlimits, in temporary folders, which remain if the caller is killed.
package code
