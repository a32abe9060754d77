package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// lockFile is the file of a folder that is locked. It is not removed when the lock is
// released: otherwise two processes could lock two different files of this name.
const lockFile = ".lock"

// textAt is the offset of the holder's text in the lock file. Windows locks the byte before
// it, which other processes then cannot read.
const textAt = 1

// patience is how long Lock waits for a process that has just locked the folder to write
// its name.
const patience = time.Second

// FolderLock is a lock on a folder.
type FolderLock struct {
	file   *os.File // file that the holder's text is written to
	kernel *flock.Flock
	length int // length of the text
}

// Lock reserves a run's folder, which it creates if necessary, for the caller. If another
// process, or another part of this one, has locked it, the error names the holder. The lock
// is advisory: it has an effect only on callers of Lock. It is released by Close, or when
// the process ends in any way.
func Lock(dir string) (*FolderLock, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, lockFile)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	l := &FolderLock{file: file, kernel: flock.New(path, flock.SetFlag(os.O_RDWR))}
	if err = l.take(dir); err == nil {
		err = l.sign()
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	held.Store(l, nil)
	return l, nil
}

// held keeps the locks of this process reachable. If a lock that was not closed were
// garbage-collected, its file would be closed and the lock released.
var held sync.Map

// take locks the file. If it is locked already, take retries until the file names a holder
// that is alive.
func (l *FolderLock) take(dir string) error {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		locked, err := l.kernel.TryLock()
		if err != nil {
			return fmt.Errorf("cannot lock %s; the folder of a run has to be on a file system with locks: %w", dir, err)
		}
		if locked {
			return nil
		}
		h, err := readHolder(l.file)
		late := time.Since(began) > patience
		if err == nil && (late || h.alive()) {
			return fmt.Errorf("%s is in use by %w", dir, h)
		}
		if late {
			return fmt.Errorf("%s is in use by another process; wait for it or choose another folder", dir)
		}
	}
}

// sign writes the holder's name, over any text of a killed holder.
func (l *FolderLock) sign() error {
	text, err := json.Marshal(self())
	if err != nil {
		return err
	}
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	text = append(text, '\n')
	l.length = max(len(text), int(info.Size())-textAt)
	_, err = fmt.Fprintf(io.NewOffsetWriter(l.file, textAt), "%-*s", l.length, text)
	return err
}

// Lost reports whether the folder or its lock file was deleted or moved since Lock, so that
// the folder is no longer locked.
func (l *FolderLock) Lost() bool {
	there, err := os.Stat(l.kernel.Path())
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	mine, err := l.file.Stat()
	return err == nil && !os.SameFile(there, mine)
}

// Close releases the lock.
func (l *FolderLock) Close() error {
	held.Delete(l)
	var err error
	if l.kernel.Locked() {
		_, err = l.file.WriteAt([]byte(strings.Repeat(" ", l.length)), textAt)
	}
	return errors.Join(err, l.kernel.Close(), l.file.Close())
}

// longest is the maximum number of bytes of the command line that are recorded.
const longest = 500

// holder is the text of a lock file.
type holder struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

// self returns this process as a holder.
func self() holder {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	command := strings.Join(append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...), " ")
	if len(command) > longest {
		command = command[:longest] + "…"
	}
	return holder{os.Getpid(), host, command, time.Now().Truncate(time.Second)}
}

func readHolder(file *os.File) (h holder, err error) {
	if err = json.NewDecoder(io.NewSectionReader(file, textAt, 1<<16)).Decode(&h); err == nil && h.PID == 0 {
		err = errors.New("no pid")
	}
	return h, err
}

// alive reports whether the holder may be running. If not, the text was left by a killed
// holder, and the present holder has not yet overwritten it.
func (h holder) alive() bool {
	if h.Host != self().Host {
		return true // a process on another host cannot be checked
	}
	p, err := os.FindProcess(h.PID)
	if err != nil {
		return false
	}
	defer p.Release()
	return !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// Error names the holder of the folder and says what to do.
func (h holder) Error() string {
	since := h.Since.Local().Format(time.DateTime)
	if me := self(); h.PID == me.PID && h.Host == me.Host {
		return fmt.Sprintf("this process (since %s); close what holds it first", since)
	}
	return fmt.Sprintf("process %d on host %s (%s, since %s); wait for it or choose another folder",
		h.PID, h.Host, h.Command, since)
}
