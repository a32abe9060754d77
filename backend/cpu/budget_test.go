package cpu

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

func TestCgroupLimitIsTheLowestOfTheGroupAndItsAncestors(t *testing.T) {
	const none = "9223372036854771712" // what version 1 writes if there is no limit
	for _, c := range []struct {
		name  string
		files map[string]string
		group string
		bytes int
	}{
		{name: "no cgroups"},
		{"version 2, own group", map[string]string{
			"proc/self/cgroup":               "0::/a/b\n",
			"sys/fs/cgroup/a/memory.max":     "max\n",
			"sys/fs/cgroup/a/b/memory.max":   "4096\n",
			"sys/fs/cgroup/a/b/c/memory.max": "1\n",
		}, "/a/b", 4096},
		{"version 2, ancestor", map[string]string{
			"proc/self/cgroup":             "0::/a/b\n",
			"sys/fs/cgroup/a/memory.max":   "4096\n",
			"sys/fs/cgroup/a/b/memory.max": "8192\n",
		}, "/a", 4096},
		{"container of version 2", map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "4096\n",
		}, "/", 4096},
		{"version 1, named by the host", map[string]string{
			"proc/self/cgroup":                           "9:cpu:/\n4:memory:/docker/1f\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "4096\n",
		}, "/", 4096},
		{"version 1, shared hierarchy", map[string]string{
			"proc/self/cgroup":                             "4:cpu,memory:/a\n0::/a\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":   none,
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "4096\n",
			"sys/fs/cgroup/unified/a/memory.max":           "max\n",
		}, "/a", 4096},
		{"unlimited", map[string]string{
			"proc/self/cgroup": "4:memory:/a\n0::/\n",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": none,
			"sys/fs/cgroup/memory.max":                     "max\n",
		}, "", 0},
	} {
		root := fstest.MapFS{}
		for name, text := range c.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if group, bytes := cgroupLimit(root); group != c.group || bytes != c.bytes {
			t.Errorf("%s: %d bytes of group %q, want %d of %q", c.name, bytes, group, c.bytes, c.group)
		}
	}
}

func TestMachineMemoryIsKnown(t *testing.T) {
	if _, err := os.Stat("/proc/meminfo"); err != nil {
		t.Skip("no /proc/meminfo")
	}
	if total, available := machineMemory(); total < 1<<28 || available <= 0 || available > total {
		t.Errorf("total %d, available %d", total, available)
	}
}

func TestTheSmallestLimitIsTheBudget(t *testing.T) {
	t.Setenv("AHA_MEMORY", "1MiB")
	for _, c := range []struct {
		option, total int
		source        string
	}{{0, 1 << 20, "AHA_MEMORY"}, {1 << 19, 1 << 19, "Options.MemoryLimit"}, {1 << 21, 1 << 20, "AHA_MEMORY"}} {
		lims, err := limits(c.option)
		if err != nil {
			t.Fatal(err)
		}
		b := newCPU(1, lims)
		total, free := b.MemInfo()
		if total != c.total || free > total {
			t.Errorf("option %d: total %d, free %d, want %d", c.option, total, free, c.total)
		}
		if _, err := b.Alloc(1 << 21); err == nil || !strings.Contains(err.Error(), "("+c.source+")") {
			t.Errorf("option %d: error %v, want one that names %s", c.option, err, c.source)
		}
		b.Close()
	}
}

func TestSizesReadAsTheyAreWritten(t *testing.T) {
	for s, want := range map[string]int{
		"1": 1, "7B": 7, "3KiB": 3 << 10, "512MiB": 512 << 20, "8GiB": 8 << 30, "2TiB": 2 << 40,
	} {
		if got, err := parseSize(s); got != want || err != nil {
			t.Errorf("%s: %d, %v", s, got, err)
		}
	}
}
