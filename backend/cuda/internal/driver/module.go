package driver

import "fmt"

// ModuleLoadData loads a cubin into the current context.
func (d *Driver) ModuleLoadData(cubin []byte) (Module, error) {
	b := d.block()
	defer d.done(b)
	if err := d.call(b, cuModuleLoadData, b.out(0), b.bytes(cubin)); err != nil {
		return 0, detail(err, fmt.Sprintf("cubin of %d bytes", len(cubin)))
	}
	return Module(b.result[0]), nil
}

// ModuleUnload unloads the module. Its functions must not be used afterwards.
func (d *Driver) ModuleUnload(m Module) error { return d.simple(cuModuleUnload, uintptr(m)) }

// ModuleGetFunction returns the named kernel of the module.
func (d *Driver) ModuleGetFunction(m Module, name string) (*Function, error) {
	b := d.block()
	defer d.done(b)
	text := append([]byte(name), 0)
	if err := d.call(b, cuModuleGetFunction, b.out(0), uintptr(m), b.bytes(text)); err != nil {
		return nil, detail(err, "kernel "+name)
	}
	return &Function{name, uintptr(b.result[0])}, nil
}

// FuncGetAttribute returns a number that describes the kernel. Sizes are in
// bytes.
func (d *Driver) FuncGetAttribute(a FuncAttribute, f *Function) (int, error) {
	b := d.block()
	defer d.done(b)
	if err := d.call(b, cuFuncGetAttribute, b.out(0), uintptr(a), f.handle); err != nil {
		return 0, detail(err, fmt.Sprintf("attribute %d of kernel %s", a, f.Name))
	}
	return b.int(0), nil
}

// FuncSetAttribute sets an attribute of the kernel, such as
// FuncMaxDynamicShared, which launches with more than 48 KiB of dynamic shared
// memory require.
func (d *Driver) FuncSetAttribute(f *Function, a FuncAttribute, value int) error {
	if err := d.simple(cuFuncSetAttribute, f.handle, uintptr(a), uintptr(value)); err != nil {
		return detail(err, fmt.Sprintf("attribute %d of kernel %s to %d", a, f.Name, value))
	}
	return nil
}
