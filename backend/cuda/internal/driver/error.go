package driver

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aha-go/aha/backend/cuda/internal/dynlib"
)

// ErrSticky matches errors after which every further call on the device returns
// the same error: errors.Is(err, ErrSticky) is true. The process must be
// restarted.
var ErrSticky = errors.New("the device is unusable in this process")

// Error is a failed call of the driver. errors.Is(err, r) is true for its
// Result r, and errors.Is(err, ErrSticky) if it is sticky.
type Error struct {
	Call    string // the entry point, such as cuMemAlloc_v2
	Code    Result
	Name    string // such as CUDA_ERROR_OUT_OF_MEMORY
	Message string // the driver's description
	Detail  string // what was requested, such as "4096 bytes"; may be empty

	// Launches are up to 16 launches that are not known to have succeeded,
	// newest last. They are set if the error is sticky, since it may come from
	// one of them rather than from the call that returned it.
	Launches []LaunchInfo
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Call)
	if e.Detail != "" {
		fmt.Fprintf(&b, " (%s)", e.Detail)
	}
	fmt.Fprintf(&b, ": %s (%d): %s", e.Name, uint32(e.Code), e.Message)
	if len(e.Launches) > 0 {
		b.WriteString("; launched before, the newest last:")
		for _, l := range e.Launches {
			b.WriteString("\n\t" + l.String())
		}
	}
	return b.String()
}

// Is reports whether target is ErrSticky and the error is sticky.
func (e *Error) Is(target error) bool { return target == ErrSticky && e.Sticky() }

// Unwrap returns the Result.
func (e *Error) Unwrap() error { return e.Code }

// Sticky reports whether every further call on the device returns this error.
func (e *Error) Sticky() bool { return e.Code.Sticky() }

func (r Result) Error() string { return fmt.Sprintf("CUDA error %d", uint32(r)) }

// Sticky reports whether every further call on the device returns r. These are
// the codes for which cuda.h says so, and uncorrectable memory and link errors.
func (r Result) Sticky() bool {
	switch r {
	case eccUncorrectable, nvlinkUncorrectable, contained, IllegalAddress, launchTimeout, assert,
		hardwareStackError, illegalInstruction, misalignedAddress, invalidAddressSpace, invalidPC,
		LaunchFailed, tensorMemoryLeak, mpsClientTerminated, externalDevice:
		return true
	}
	return false
}

// failure returns the error of a call that returned r.
func (d *Driver) failure(c call, r Result, detail string) error {
	e := &Error{
		Call: callNames[c], Code: r, Detail: detail,
		Name: d.text(cuGetErrorName, r), Message: d.text(cuGetErrorString, r),
	}
	if r.Sticky() {
		e.Launches = d.launches.pending()
	}
	return e
}

// text returns the driver's name or description of r.
func (d *Driver) text(c call, r Result) string {
	b := d.block()
	defer d.done(b)
	if d.do(b, c, uintptr(r), b.out(0)) != success {
		return "unknown error"
	}
	return dynlib.GoString(uintptr(b.result[0]))
}
