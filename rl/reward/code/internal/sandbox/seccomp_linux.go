//go:build amd64 || arm64

package sandbox

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// calls lists the system calls that programs may make, in addition to legacyCalls and those
// that filterFor filters by their arguments. All others fail with ENOSYS, as on an older
// kernel.
var calls = []uint32{
	// files
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_PWRITE64,
	unix.SYS_LSEEK, unix.SYS_CLOSE, unix.SYS_CLOSE_RANGE, unix.SYS_FSTAT, unix.SYS_NEWFSTATAT, unix.SYS_STATX,
	unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_FLOCK, unix.SYS_FSYNC,
	unix.SYS_FDATASYNC, unix.SYS_TRUNCATE, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE, unix.SYS_FADVISE64,
	unix.SYS_GETDENTS64, unix.SYS_GETCWD, unix.SYS_CHDIR, unix.SYS_FCHDIR, unix.SYS_MKDIRAT, unix.SYS_UNLINKAT,
	unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_READLINKAT,
	unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_UMASK, unix.SYS_STATFS, unix.SYS_FSTATFS, unix.SYS_DUP,
	unix.SYS_DUP3, unix.SYS_PIPE2, unix.SYS_SENDFILE, unix.SYS_COPY_FILE_RANGE,
	// waiting
	unix.SYS_PSELECT6, unix.SYS_PPOLL, unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT,
	unix.SYS_EPOLL_PWAIT2, unix.SYS_EVENTFD2, unix.SYS_TIMERFD_CREATE, unix.SYS_TIMERFD_SETTIME,
	unix.SYS_TIMERFD_GETTIME, unix.SYS_SIGNALFD4, unix.SYS_FUTEX,
	// socket pairs, for event loops
	unix.SYS_SOCKETPAIR, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SHUTDOWN,
	unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKNAME,
	// memory
	unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_MADVISE, unix.SYS_MSYNC,
	unix.SYS_MINCORE, unix.SYS_BRK, unix.SYS_MEMBARRIER,
	// processes and threads
	unix.SYS_EXECVE, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_WAIT4, unix.SYS_WAITID, unix.SYS_GETPID,
	unix.SYS_GETPPID, unix.SYS_GETTID, unix.SYS_GETPGID, unix.SYS_SETPGID, unix.SYS_GETSID, unix.SYS_SETSID,
	unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_GETRESUID, unix.SYS_GETRESGID,
	unix.SYS_GETGROUPS, unix.SYS_SET_TID_ADDRESS, unix.SYS_SET_ROBUST_LIST, unix.SYS_GET_ROBUST_LIST, unix.SYS_RSEQ,
	unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_SCHED_GETPARAM, unix.SYS_SCHED_GETSCHEDULER,
	unix.SYS_SCHED_GET_PRIORITY_MAX, unix.SYS_SCHED_GET_PRIORITY_MIN, unix.SYS_GETPRIORITY, unix.SYS_GETCPU,
	unix.SYS_GETRLIMIT, unix.SYS_GETRUSAGE, unix.SYS_TIMES, unix.SYS_RESTART_SYSCALL,
	// signals
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPENDING,
	unix.SYS_RT_SIGTIMEDWAIT, unix.SYS_RT_SIGSUSPEND, unix.SYS_SIGALTSTACK,
	// time, the system, randomness
	unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES,
	unix.SYS_GETTIMEOFDAY, unix.SYS_GETITIMER, unix.SYS_SETITIMER, unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME,
	unix.SYS_TIMER_GETTIME, unix.SYS_TIMER_DELETE, unix.SYS_UNAME, unix.SYS_SYSINFO, unix.SYS_GETRANDOM,
}

// Offsets in struct seccomp_data. Both architectures are little-endian.
const (
	offsetNumber  = 0
	offsetArch    = 4
	offsetArg     = 16
	fiosetown     = 0x8901     // from asm-generic/sockios.h
	siocspgrp     = 0x8902     // from asm-generic/sockios.h
	x32           = 0x40000000 // bit of the calls of the x32 ABI
	newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
		unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET
)

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func arg(i uint32) unix.SockFilter { return load(offsetArg + 8*i) }

func argHigh(i uint32) unix.SockFilter { return load(offsetArg + 8*i + 4) }

func ret(action uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
}

// skip skips yes instructions if the comparison holds, otherwise no instructions.
func skip(op uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | op | unix.BPF_K, K: k, Jt: yes, Jf: no}
}

const (
	allowed = unix.SECCOMP_RET_ALLOW
	eperm   = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	enosys  = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// filterFor returns the filter of system calls. With alone, the program cannot start other
// processes, can signal only itself, and cannot change modes and times of files, which Landlock
// does not restrict.
func filterFor(alone bool) []unix.SockFilter {
	filter := []unix.SockFilter{
		load(offsetArch),
		skip(unix.BPF_JEQ, auditArch, 1, 0),
		ret(unix.SECCOMP_RET_KILL_PROCESS),
		load(offsetNumber),
		skip(unix.BPF_JGE, x32, 0, 1),
		ret(enosys),
	}
	// on adds the instructions for one call. The body must end with a return.
	on := func(call uint32, body ...unix.SockFilter) {
		filter = append(filter, skip(unix.BPF_JEQ, call, 0, uint8(len(body))))
		filter = append(filter, body...)
	}
	if alone {
		on(unix.SYS_CLONE, arg(0), skip(unix.BPF_JSET, unix.CLONE_THREAD, 0, 1), ret(allowed), ret(eperm))
		self := uint32(os.Getpid())
		on(unix.SYS_KILL, arg(0), skip(unix.BPF_JEQ, self, 0, 1), ret(allowed), ret(eperm))
		on(unix.SYS_TGKILL, arg(0), skip(unix.BPF_JEQ, self, 0, 1), ret(allowed), ret(eperm))
	} else {
		on(unix.SYS_CLONE, arg(0), skip(unix.BPF_JSET, newNamespaces, 0, 1), ret(eperm), ret(allowed))
		for _, call := range append(fileModeCalls, unix.SYS_KILL, unix.SYS_TKILL, unix.SYS_TGKILL) {
			on(call, ret(allowed))
		}
	}
	for _, call := range forkCalls {
		if alone {
			on(call, ret(eperm))
		} else {
			on(call, ret(allowed))
		}
	}
	// Limits may be read but not set, and the parent-death signal cannot be changed.
	on(unix.SYS_PRLIMIT64, arg(2), skip(unix.BPF_JEQ, 0, 1, 0), ret(eperm),
		argHigh(2), skip(unix.BPF_JEQ, 0, 1, 0), ret(eperm), ret(allowed))
	on(unix.SYS_PRCTL, arg(0), skip(unix.BPF_JEQ, unix.PR_SET_PDEATHSIG, 0, 1), ret(eperm), ret(allowed))
	// The owner of a file gets a signal on input. The program must not set it, since it could
	// signal any process of the user.
	on(unix.SYS_FCNTL, arg(1), skip(unix.BPF_JEQ, unix.F_SETOWN, 1, 0), skip(unix.BPF_JEQ, unix.F_SETOWN_EX, 0, 1),
		ret(eperm), ret(allowed))
	on(unix.SYS_IOCTL, arg(1), skip(unix.BPF_JEQ, fiosetown, 1, 0), skip(unix.BPF_JEQ, siocspgrp, 0, 1),
		ret(eperm), ret(allowed))
	on(unix.SYS_SOCKET, ret(eperm))
	for _, list := range [][]uint32{calls, legacyCalls} {
		for _, call := range list {
			on(call, ret(allowed))
		}
	}
	return append(filter, ret(enosys))
}

// install applies a filter to the calling thread and the program that it executes.
func install(filter []unix.SockFilter) error {
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return errno
	}
	return nil
}
