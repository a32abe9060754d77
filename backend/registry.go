package backend

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

var drivers = struct {
	sync.Mutex
	open map[string]func(device string) (Backend, error)
}{open: map[string]func(string) (Backend, error){}}

// known maps the names of this module's drivers to their packages.
var known = map[string]string{
	"cpu":  "github.com/aha-go/aha/backend/cpu",
	"cuda": "github.com/aha-go/aha/backend/cuda",
}

// Register makes a driver available to Open under a name such as "cuda". It
// panics if the name is taken. Drivers call it from init.
func Register(name string, open func(device string) (Backend, error)) {
	drivers.Lock()
	defer drivers.Unlock()
	if _, taken := drivers.open[name]; taken {
		panic("backend: Register called twice for " + name)
	}
	drivers.open[name] = open
}

// Open opens a device: "cpu", or "driver:device" such as "cuda:0". The driver's package
// must have been imported.
func Open(name string) (Backend, error) {
	driver, device, _ := strings.Cut(name, ":")
	drivers.Lock()
	open, ok := drivers.open[driver]
	drivers.Unlock()
	if !ok {
		return nil, fmt.Errorf("backend: Open(%q): %s", name, missing(driver))
	}
	b, err := open(device)
	if err != nil {
		return nil, fmt.Errorf("backend: Open(%q): %w", name, err)
	}
	return b, nil
}

// missing explains why there is no driver of that name and lists those that exist.
func missing(driver string) string {
	registered := cmp.Or(strings.Join(Drivers(), ", "), "none")
	if path, ok := known[driver]; ok {
		return fmt.Sprintf("driver %q is not imported: add import _ %q; registered drivers: %s", driver, path, registered)
	}
	return fmt.Sprintf("unknown driver %q; registered drivers: %s; drivers of this module: %s",
		driver, registered, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
}

// Drivers lists the registered driver names in order.
func Drivers() []string {
	drivers.Lock()
	defer drivers.Unlock()
	names := make([]string, 0, len(drivers.open))
	for n := range drivers.open {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
