package model

// Source is where a model came from: what Save needs to keep what the model does
// not have.
type Source struct {
	Dir       string   // folder of the files
	Config    Config   // as read
	Unclaimed []string // tensors that no parameter has, sorted
}
