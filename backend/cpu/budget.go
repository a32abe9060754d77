package cpu

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// limits are what bounds the memory of a CPU made now: the machine, its
// cgroups, the environment variable AHA_MEMORY and an option, 0 for none. Any of
// them may be unknown.
func limits(option int) ([]limit, error) {
	if option < 0 {
		return nil, fmt.Errorf("cpu: Options.MemoryLimit is %d, want 0 or more", option)
	}
	var all []limit
	if total, available := machineMemory(); total > 0 {
		all = append(all, limit{bytes: usable(total), source: "memory of the machine"})
		if available > 0 {
			free := usable(available) + int(processUsed.Load())
			all = append(all, limit{bytes: free, source: "memory of the machine that was available at Open"})
		}
	}
	if group, bytes := cgroupLimit(os.DirFS("/")); bytes > 0 {
		all = append(all, limit{bytes: usable(bytes), source: "cgroup " + group})
	}
	if env := os.Getenv("AHA_MEMORY"); env != "" {
		bytes, err := parseSize(env)
		if err != nil {
			return nil, fmt.Errorf("cpu: AHA_MEMORY: %w", err)
		}
		all = append(all, limit{bytes: bytes, source: "AHA_MEMORY"})
	}
	if option > 0 {
		all = append(all, limit{bytes: option, source: "Options.MemoryLimit", own: true})
	}
	return all, nil
}

// usable is what buffers may take of so much memory. The rest, an eighth and at
// most 2 GiB, is left to the runtime, to the kernels' scratch and to the program.
func usable(bytes int) int { return bytes - min(bytes/8, 2<<30) }

// cgroupLimit is the lowest memory limit of the process's control groups and of
// their ancestors, and the group that has it; 0 bytes if there is none. Version 2
// names one group for all controllers ("0::/a/b"), version 1 one for memory
// ("4:memory:/a/b"). A container may see its own group as the root of the mount
// although the name is the host's: groups that are not there are passed over.
func cgroupLimit(root fs.FS) (group string, bytes int) {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return "", 0
	}
	for line := range strings.Lines(string(text)) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, name, _ := strings.Cut(rest, ":")
		for _, file := range limitFiles(id, controllers) {
			mount, base := path.Split(file)
			for at := path.Clean("/" + name); ; at = path.Dir(at) {
				n := readLimit(root, path.Join(mount, at, base))
				if n > 0 && (bytes == 0 || n < bytes) {
					group, bytes = at, n
				}
				if at == "/" {
					break
				}
			}
		}
	}
	return group, bytes
}

// limitFiles are the files, in the root of a mounted hierarchy, that would hold
// its memory limit.
func limitFiles(id, controllers string) []string {
	switch {
	case id == "0" && controllers == "":
		return []string{"sys/fs/cgroup/memory.max", "sys/fs/cgroup/unified/memory.max"}
	case slices.Contains(strings.Split(controllers, ","), "memory"):
		return []string{"sys/fs/cgroup/memory/memory.limit_in_bytes"}
	}
	return nil
}

// readLimit reads a limit; 0 if the file is missing or sets none ("max", or in
// version 1 the largest multiple of the page size).
func readLimit(root fs.FS, name string) int {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n <= 0 || n >= math.MaxInt64>>20<<20 || n > math.MaxInt {
		return 0
	}
	return int(n)
}
