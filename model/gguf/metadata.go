package gguf

import (
	"fmt"
	"math"
)

// KeyValue is an entry of the metadata. Value is a uint8, int8, uint16, int16, uint32,
// int32, uint64, int64, float32, float64, bool or string, a slice of one of these, or, for
// nested arrays, a []any of such slices.
type KeyValue struct {
	Key   string
	Value any
}

// Metadata holds the entries of a file in its order. Keys are unique.
type Metadata []KeyValue

// Lookup returns the value of a key.
func (m Metadata) Lookup(key string) (value any, ok bool) {
	for i := range m {
		if m[i].Key == key {
			return m[i].Value, true
		}
	}
	return nil, false
}

// Has reports whether there is a key.
func (m Metadata) Has(key string) bool {
	_, ok := m.Lookup(key)
	return ok
}

// Value returns the value of a key, whose type must be T. The error wraps [ErrMissing] or
// [ErrValue].
func Value[T any](m Metadata, key string) (T, error) {
	v, ok := m.Lookup(key)
	if !ok {
		var zero T
		return zero, fmt.Errorf("gguf: key %q: %w", key, ErrMissing)
	}
	t, ok := v.(T)
	if !ok {
		return t, fmt.Errorf("gguf: key %q: %w: it is a %T, want a %T", key, ErrValue, v, t)
	}
	return t, nil
}

// Int returns the value of a key of any integer type. The error wraps [ErrMissing] or
// [ErrValue].
func (m Metadata) Int(key string) (int, error) {
	v, ok := m.Lookup(key)
	if !ok {
		return 0, fmt.Errorf("gguf: key %q: %w", key, ErrMissing)
	}
	n, err := integer(v)
	if err != nil {
		return 0, fmt.Errorf("gguf: key %q: %w", key, err)
	}
	return n, nil
}

// Ints returns the value of a key that is an array of any integer type, or a single
// integer. The error wraps [ErrMissing] or [ErrValue].
func (m Metadata) Ints(key string) ([]int, error) {
	v, ok := m.Lookup(key)
	if !ok {
		return nil, fmt.Errorf("gguf: key %q: %w", key, ErrMissing)
	}
	list, err := integers(v)
	if err != nil {
		return nil, fmt.Errorf("gguf: key %q: %w", key, err)
	}
	return list, nil
}

func integers(v any) ([]int, error) {
	switch v := v.(type) {
	case []uint8:
		return toInts(v)
	case []int8:
		return toInts(v)
	case []uint16:
		return toInts(v)
	case []int16:
		return toInts(v)
	case []uint32:
		return toInts(v)
	case []int32:
		return toInts(v)
	case []uint64:
		return toInts(v)
	case []int64:
		return toInts(v)
	}
	n, err := integer(v)
	return []int{n}, err
}

func toInts[T any](v []T) ([]int, error) {
	list := make([]int, len(v))
	for i, x := range v {
		n, err := integer(x)
		if err != nil {
			return nil, err
		}
		list[i] = n
	}
	return list, nil
}

func integer(v any) (int, error) {
	var n int64
	switch v := v.(type) {
	case uint8:
		n = int64(v)
	case int8:
		n = int64(v)
	case uint16:
		n = int64(v)
	case int16:
		n = int64(v)
	case uint32:
		n = int64(v)
	case int32:
		n = int64(v)
	case int64:
		n = v
	case uint64:
		if v > math.MaxInt64 {
			return 0, fmt.Errorf("%w %d: beyond 63 bits", ErrValue, v)
		}
		n = int64(v)
	default:
		return 0, fmt.Errorf("%w: it is a %T, want an integer", ErrValue, v)
	}
	if n < math.MinInt || n > math.MaxInt {
		return 0, fmt.Errorf("%w %d: beyond an int", ErrValue, n)
	}
	return int(n), nil
}
