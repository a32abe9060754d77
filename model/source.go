package model

import (
	"cmp"

	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/gguf"
)

// Source describes where a model was loaded from, so that [Save] can preserve what the
// model itself does not hold. Load returns one.
type Source struct {
	Dir       string   // folder of the files
	Config    Config   // the config as it was read
	Unclaimed []string // names of the tensors without a parameter, sorted
	// Metadata is the metadata of a GGUF file, including its tokenizer and chat template;
	// nil for other files.
	Metadata gguf.Metadata

	path        string // the path that Load was given, Dir or a file; "" means Dir
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
