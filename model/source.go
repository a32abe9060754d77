package model

import (
	"cmp"

	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/gguf"
)

// Source is where a model came from: what [Save] needs to keep what the model does not
// have. Load makes one.
type Source struct {
	Dir       string   // folder of the files
	Config    Config   // as it was read
	Unclaimed []string // tensors that no parameter has, sorted
	// Metadata are those of a GGUF file, its tokenizer and chat template among them, of
	// others nil.
	Metadata gguf.Metadata

	path        string // as Load was given it: Dir or a file; "" for Dir
	followLinks bool
}

// open opens the files.
func (s *Source) open() (*checkpoint.Reader, error) {
	path := cmp.Or(s.path, s.Dir)
	if gguf.IsGGUF(path) {
		r, _, _, err := OpenGGUF(path)
		return r, err
	}
	return checkpoint.OpenWith(path, checkpoint.OpenOptions{FollowLinks: s.followLinks})
}
