//go:build amd64 || arm64

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// rootMount is the folder where the new root is mounted before pivot_root: every Linux has it,
// and no program needs it.
const rootMount = "/sys"

// newRoot builds the file system of the sandbox and makes it the root of all processes in the
// mount namespace. It returns procfs, which is open but not mounted.
func newRoot(spec *initSpec) (proc *os.File, err error) {
	if err := mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, err
	}
	var size int64 = 1 << 20
	for _, data := range spec.Files {
		size += int64(len(data)) + 4096
	}
	if err := mount("tmpfs", rootMount, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV,
		fmt.Sprintf("mode=0755,size=%d", size)); err != nil {
		return nil, err
	}
	oldMask := unix.Umask(0)
	defer unix.Umask(oldMask)
	for _, dir := range []string{"/sandbox", ProgramDir, WorkDir, "/dev", "/proc"} {
		if err := os.Mkdir(rootMount+dir, 0o755); err != nil {
			return nil, err
		}
	}
	for name, data := range spec.Files {
		if err := os.WriteFile(filepath.Join(rootMount, ProgramDir, name), data, 0o555); err != nil {
			return nil, err
		}
	}
	for _, device := range []string{"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"} {
		if err := bind(device, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC); err != nil {
			return nil, err
		}
	}
	for _, p := range spec.Expose {
		if err := expose(p); err != nil {
			return nil, err
		}
	}
	user := strconv.Itoa(spec.Exec.User)
	if err := mount("tmpfs", rootMount+WorkDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC,
		fmt.Sprintf("mode=0700,size=%d,nr_inodes=4096,uid=%s,gid=%s", spec.Limits.Disk, user, user)); err != nil {
		return nil, err
	}
	if proc, err = detachedProc(); err != nil {
		return nil, err
	}
	readOnly := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, rootMount, 0, readOnly); err != nil {
		return nil, fmt.Errorf("making the root read-only: %w", err)
	}
	// With equal arguments, the old root is mounted on top of the new one until it is unmounted.
	if err := os.Chdir(rootMount); err != nil {
		return nil, err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return nil, fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return nil, fmt.Errorf("unmounting the old root: %w", err)
	}
	return proc, os.Chdir("/")
}

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s: %w", target, err)
	}
	return nil
}

// detachedProc opens procfs and unmounts it.
func detachedProc() (*os.File, error) {
	const dir = rootMount + "/proc"
	if err := mount("proc", dir, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	return f, errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH), os.Remove(dir))
}

// expose makes a host path available read-only. For a symbolic link it also exposes the target.
// It ignores paths that do not exist.
func expose(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return bind(path, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	}
	target, err := os.Readlink(path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(rootMount+filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Symlink(target, rootMount+path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(path), target)
	}
	return expose(target)
}

// bind mounts a host file or folder at the same path below the new root, unless that path
// already exists there.
func bind(path string, attributes uint64) error {
	target := rootMount + path
	if _, err := os.Lstat(target); err == nil {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if info.IsDir() {
		err = os.Mkdir(target, 0o755)
	} else {
		err = os.WriteFile(target, nil, 0o444)
	}
	if err != nil {
		return err
	}
	if err := mount(path, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	err = unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attributes})
	if err != nil {
		return fmt.Errorf("mount_setattr %s: %w", target, err)
	}
	return nil
}
