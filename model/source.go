package model

// Source is where a model came from: what saving it needs to keep what the model does
// not have.
type Source struct {
	Dir       string   // folder of the files
	Config    Config   // as it was read
	Unclaimed []string // tensors that no parameter has, sorted
}
