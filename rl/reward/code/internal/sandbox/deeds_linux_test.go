//go:build amd64 || arm64

package sandbox

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// say prints the error or success of an attempt on one line.
func say(what string, err error) { fmt.Printf("%s: %v\n", what, err) }

var deeds = map[string]func(args []string){
	"loop": func([]string) {
		for n := 0; ; n++ {
			_ = n
		}
	},
	"sleep": func([]string) { time.Sleep(long) },
	"fork bomb": func([]string) {
		for {
			if exec.Command(os.Args[0], os.Args[1:]...).Start() != nil {
				time.Sleep(time.Millisecond)
			}
		}
	},
	"allocate": func([]string) {
		b := make([]byte, 10<<30)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		fmt.Println("has 10 GB")
	},
	"share memory": func([]string) {
		b, err := unix.Mmap(-1, 0, 512<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
		if err != nil {
			say("mmap", err)
			os.Exit(1)
		}
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		fmt.Println("has 512 MB")
	},
	"allocate in many": func(args []string) {
		if len(args) < 2 {
			for range 6 {
				if err := exec.Command(os.Args[0], append(os.Args[1:], "child")...).Start(); err != nil {
					say("start", err)
					os.Exit(1)
				}
			}
		}
		b := make([]byte, 60<<20)
		for i := range b {
			b[i] = 1
		}
		time.Sleep(long)
		fmt.Println(len(b))
	},
	"write outside": func(args []string) {
		for _, p := range append(args[1:], os.Args[0], ProgramDir+"/test.txt") {
			say(p, os.WriteFile(p, []byte("hacked"), 0o666))
			say(p, os.Remove(p))
			say(p, os.Chmod(p, 0o777))
			say(p, os.Truncate(p, 0))
		}
	},
	"read": func(args []string) {
		fmt.Println("environment", os.Environ())
		for _, p := range args[1:] {
			_, err := os.ReadFile(p)
			say(p, err)
		}
	},
	"connect": func(args []string) {
		for _, network := range []string{"tcp", "udp"} {
			c, err := net.DialTimeout(network, args[1], time.Second)
			if err == nil {
				_, err = c.Write([]byte("secret"))
			}
			say(network, err)
		}
		_, err := net.Listen("tcp", "127.0.0.1:0")
		say("listen", err)
	},
	"link": func(args []string) {
		say("symlink", os.Symlink(args[1], "out"))
		_, err := os.ReadFile("out")
		say("read", err)
		say("write", os.WriteFile("out", []byte("hacked"), 0o666))
		say("link", os.Link(args[1], "hard"))
		say("dots", os.WriteFile("../../../../../../"+args[1], []byte("hacked"), 0o666))
	},
	"signal": func(args []string) {
		pid, _ := strconv.Atoi(args[1])
		for _, target := range []int{pid, os.Getppid(), 1, -1} {
			for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGSEGV, syscall.SIGSTOP, syscall.SIGKILL} {
				syscall.Kill(target, s)
			}
		}
		var pair [2]int
		if err := unix.Pipe(pair[:]); err != nil {
			say("pipe", err)
		}
		// The pipe would send a kill signal on input.
		for _, set := range [][2]int{
			{unix.F_SETSIG, int(unix.SIGKILL)}, {unix.F_SETOWN, pid}, {unix.F_SETFL, unix.O_ASYNC},
		} {
			unix.FcntlInt(uintptr(pair[0]), set[0], set[1])
		}
		owner := int32(pid)
		unix.Syscall(unix.SYS_IOCTL, uintptr(pair[0]), fiosetown, uintptr(unsafe.Pointer(&owner)))
		unix.Write(pair[1], []byte("x"))
		fmt.Println("alive")
	},
	"start many": func(args []string) {
		n := 0
		for range 200 {
			if exec.Command(os.Args[0], "hostile", "sleep", args[0]).Start() == nil {
				n++
			}
		}
		fmt.Println(n)
	},
	"outlive": func(args []string) {
		if len(args) < 2 {
			c := exec.Command(os.Args[0], append(os.Args[1:], "child")...)
			c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			say("start", c.Start())
			return
		}
		time.Sleep(long)
	},
	"print": func([]string) {
		for range 1 << 10 {
			os.Stdout.Write(bytes.Repeat([]byte("x"), 1<<20))
		}
	},
	"print data": func([]string) {
		f := os.NewFile(3, "data")
		for range 1 << 10 {
			f.Write(bytes.Repeat([]byte("x"), 1<<20))
		}
	},
	"fill the disk": func([]string) {
		for i := range 100 {
			if err := os.WriteFile(strconv.Itoa(i), bytes.Repeat([]byte("x"), 1<<18), 0o666); err != nil {
				say("write", err)
				return
			}
		}
	},
	"break out": func([]string) {
		say("rlimit", unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: 1 << 40, Max: 1 << 40}))
		say("unshare", unix.Unshare(unix.CLONE_NEWUSER))
		say("mount", unix.Mount("none", WorkDir, "tmpfs", 0, ""))
		say("remount", unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, ""))
		say("chroot", unix.Chroot("."))
		say("setuid", unix.Setreuid(0, 0))
		say("ptrace", unix.PtraceAttach(1))
		_, err := unix.MemfdCreate("x", 0)
		say("memfd", err)
		_, _, errno := unix.Syscall(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD), 0, 0)
		say("clone", errno)
		_, _, errno = unix.Syscall(unix.SYS_IO_URING_SETUP, 1, 0, 0)
		say("io_uring", errno)
		_, err = unix.PrctlRetInt(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0)
		say("pdeathsig", err)
		status, err := os.ReadFile("/proc/self/status")
		if err == nil && !bytes.Contains(status, []byte("CapEff:\t0000000000000000")) {
			fmt.Printf("capabilities: %s\n", status)
		}
	},
	"use an inherited file": func(args []string) {
		fd, err := strconv.Atoi(args[1])
		if err != nil {
			panic(err)
		}
		folder, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		say("openat", err)
		say("fstat", unix.Fstat(fd, &unix.Stat_t{}))
		say("fchdir", unix.Fchdir(fd))
		unix.Close(folder)
	},
	"lead out": func(args []string) { say("symlink", os.Symlink(args[1], "result")) },
	"answer": func(args []string) {
		var in [64]byte
		n, _ := os.Stdin.Read(in[:])
		fmt.Printf("got %s", in[:n])
		fmt.Fprint(os.Stderr, "aside")
		fmt.Fprint(os.NewFile(3, "data"), "data")
		say("result", os.WriteFile("result", []byte("output"), 0o666))
		os.Exit(len(args) - 1)
	},
}
