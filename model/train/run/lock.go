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

// lockFile is the file of a folder that is locked. It stays when the lock is
// released: removing it would let two processes lock two files of this name.
const lockFile = ".lock"

// textAt is where the holder's text begins in the lock file. Windows locks the
// byte before it, which no other process can read then.
const textAt = 1

// patience is how long Lock waits for a holder that has just locked the folder to
// write who it is.
const patience = time.Second

// FolderLock is a lock that is held.
type FolderLock struct {
	file   *os.File // for the text
	kernel *flock.Flock
	length int // of the text
}

// Lock makes the caller the one user of a run's folder, which it creates if need
// be. If another process, or another part of this one, has locked it, the error
// names the holder. The lock is advisory: it keeps out only those who ask for it.
// It ends with Close, or with the process, however that ends.
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

// held are the locks of this process. One that is dropped without Close must not
// be collected, since the garbage collector closes files.
var held sync.Map

// take locks the file. Where it is locked already, take goes on trying until the
// file names a holder that is alive.
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

// sign writes who holds the lock, over whatever a killed holder left.
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

// Lost reports whether the folder or its lock file was deleted or moved since
// Lock: what is there now is not locked.
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

// longest is how many bytes of a command line are written down.
const longest = 500

// holder is the text of a lock file.
type holder struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

// self is this process as a holder.
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

// alive reports whether the holder may be running. Otherwise the text is that of
// a killed holder, which the present one has yet to overwrite.
func (h holder) alive() bool {
	if h.Host != self().Host {
		return true // cannot be asked
	}
	p, err := os.FindProcess(h.PID)
	if err != nil {
		return false
	}
	defer p.Release()
	return !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// Error says who holds the folder and what to do.
func (h holder) Error() string {
	since := h.Since.Local().Format(time.DateTime)
	if me := self(); h.PID == me.PID && h.Host == me.Host {
		return fmt.Sprintf("this process (since %s); close what holds it first", since)
	}
	return fmt.Sprintf("process %d on host %s (%s, since %s); wait for it or choose another folder",
		h.PID, h.Host, h.Command, since)
}
