// Package code scores programs by unit tests. A [Verifier] takes the program out of a
// completion, runs it on the tests of a [Problem] and compares what it prints, or what its
// function returns, with what the test wants.
//
// # Isolation
//
// The program runs in processes of its own on Linux (amd64, arm64), in new user, pid, mount,
// network, IPC and UTS namespaces, under seccomp and rlimits, without capabilities. It sees,
// read-only, its own files, its interpreter and the shared libraries, besides /dev/null,
// /dev/zero and /dev/urandom; it may write in a working folder that is empty before each test
// and gone after it. It has no /proc, no network and no environment but PYTHONHASHSEED or
// GOMAXPROCS. It is ended at a limit on wall time, CPU time, memory or output, and when the
// caller ends; disk space, processes and threads are bounded. The results that tests want
// never enter the sandbox. Memory of several processes is summed every 10 ms, which they can
// exceed in between.
//
// Namespaces and seccomp are as strong as the kernel. Against programs that attack the kernel
// itself, use a virtual machine.
//
// The package starts the binary it is part of again, with another name as argument 0. Its
// init function takes these processes over before main; the init functions of packages that
// are initialized before it run in them too.
//
// Go programs are compiled in the same sandbox by the compiler and linker of the go command,
// without cgo and with the standard library alone. The go command itself does not see the
// program: it builds the packages of the standard library that programs import, which takes
// a while the first time if they are not in its cache.
//
// Where the kernel refuses namespaces, as in many containers, verdicts are Errors with the
// reason. Verifier.AcceptLess accepts one process under Landlock, seccomp and rlimits, in
// temporary folders, which a caller that is killed leaves behind.
package code
