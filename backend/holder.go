package backend

// Holder says what memory is used for. A backend that runs out of memory lists its
// largest holders.
type Holder string

const (
	Parameters   Holder = "parameters"
	Gradients    Holder = "gradients"
	Optimizer    Holder = "optimizer"     // moments, and moving averages of parameters
	PackedCopies Holder = "packed copies" // of parameters, for inference
	KVCache      Holder = "KV cache"      // keys and values of generated sequences
	Activations  Holder = "activations"   // and other temporaries
	Tables       Holder = "tables"        // constants such as the angles of RoPE
	Other        Holder = "other"         // memory from Alloc
)

// HolderAllocator is a backend that counts its memory by holder.
type HolderAllocator interface {
	// AllocFor is Alloc, with the bytes counted for h.
	AllocFor(h Holder, bytes int) (Buffer, error)
}

// AllocFor allocates from b and counts the bytes for h, if b is a HolderAllocator.
// Otherwise it calls b.Alloc.
func AllocFor(b Backend, h Holder, bytes int) (Buffer, error) {
	if a, ok := b.(HolderAllocator); ok {
		return a.AllocFor(h, bytes)
	}
	return b.Alloc(bytes)
}
