package model

// Source is where a model came from: what [Save] needs to keep what the model does not
// have. Load makes one.
type Source struct {
	Dir       string   // folder of the files
	Config    Config   // as it was read
	Unclaimed []string // tensors that no parameter has, sorted

	path        string // as Load was given it: Dir or a file; "" for Dir
	followLinks bool
}
