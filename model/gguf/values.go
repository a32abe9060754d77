package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Numbers of the value types.
const (
	typeUint8 = iota
	typeInt8
	typeUint16
	typeInt16
	typeUint32
	typeInt32
	typeFloat32
	typeBool
	typeString
	typeArray
	typeUint64
	typeInt64
	typeFloat64
)

// value reads a value that is nested in depth arrays.
func (d *decoder) value(t uint32, depth int) (any, error) {
	switch t {
	case typeUint8:
		return one(d, toUint8)
	case typeInt8:
		return one(d, toInt8)
	case typeUint16:
		return one(d, toUint16)
	case typeInt16:
		return one(d, toInt16)
	case typeUint32:
		return one(d, toUint32)
	case typeInt32:
		return one(d, toInt32)
	case typeFloat32:
		return one(d, toFloat32)
	case typeBool:
		return one(d, toBool)
	case typeString:
		return d.text()
	case typeArray:
		return d.array(depth + 1)
	case typeUint64:
		return one(d, toUint64)
	case typeInt64:
		return one(d, toInt64)
	case typeFloat64:
		return one(d, toFloat64)
	}
	return nil, fmt.Errorf("%w: unknown type %d", ErrValue, t)
}

// array reads an array whose elements are nested in depth arrays.
func (d *decoder) array(depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: arrays in arrays, more than %d deep", ErrValue, maxDepth)
	}
	t, err := d.uint(4)
	if err != nil {
		return nil, err
	}
	switch t {
	case typeUint8:
		return many(d, toUint8)
	case typeInt8:
		return many(d, toInt8)
	case typeUint16:
		return many(d, toUint16)
	case typeInt16:
		return many(d, toInt16)
	case typeUint32:
		return many(d, toUint32)
	case typeInt32:
		return many(d, toInt32)
	case typeFloat32:
		return many(d, toFloat32)
	case typeBool:
		return many(d, toBool)
	case typeString:
		return each(d, 8, d.text)
	case typeArray:
		return each(d, 12, func() (any, error) { return d.array(depth + 1) })
	case typeUint64:
		return many(d, toUint64)
	case typeInt64:
		return many(d, toInt64)
	case typeFloat64:
		return many(d, toFloat64)
	}
	return nil, fmt.Errorf("%w: array of unknown type %d", ErrValue, t)
}

// each reads an array of elements that take at least the given number of bytes each. It
// allocates memory in proportion to what it has read.
func each[T any](d *decoder, least int64, read func() (T, error)) (any, error) {
	n, err := d.count(least)
	if err != nil {
		return nil, err
	}
	list := []T{}
	for range n {
		v, err := read()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// number describes how a value of fixed size is decoded.
type number[T any] struct {
	size int
	of   func(b []byte) (T, error)
}

// one reads a value of fixed size.
func one[T any](d *decoder, as number[T]) (any, error) {
	b, err := d.bytes(uint64(as.size))
	if err != nil {
		return nil, err
	}
	return as.of(b)
}

// many reads an array of values of fixed size.
func many[T any](d *decoder, as number[T]) (any, error) {
	return each(d, int64(as.size), func() (v T, err error) {
		b, err := d.bytes(uint64(as.size))
		if err != nil {
			return v, err
		}
		return as.of(b)
	})
}

var (
	toUint8   = number[uint8]{1, func(b []byte) (uint8, error) { return b[0], nil }}
	toInt8    = number[int8]{1, func(b []byte) (int8, error) { return int8(b[0]), nil }}
	toUint16  = number[uint16]{2, func(b []byte) (uint16, error) { return binary.LittleEndian.Uint16(b), nil }}
	toInt16   = number[int16]{2, func(b []byte) (int16, error) { return int16(binary.LittleEndian.Uint16(b)), nil }}
	toUint32  = number[uint32]{4, func(b []byte) (uint32, error) { return binary.LittleEndian.Uint32(b), nil }}
	toInt32   = number[int32]{4, func(b []byte) (int32, error) { return int32(binary.LittleEndian.Uint32(b)), nil }}
	toUint64  = number[uint64]{8, func(b []byte) (uint64, error) { return binary.LittleEndian.Uint64(b), nil }}
	toInt64   = number[int64]{8, func(b []byte) (int64, error) { return int64(binary.LittleEndian.Uint64(b)), nil }}
	toFloat32 = number[float32]{4, func(b []byte) (float32, error) {
		return math.Float32frombits(binary.LittleEndian.Uint32(b)), nil
	}}
	toFloat64 = number[float64]{8, func(b []byte) (float64, error) {
		return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
	}}
	toBool = number[bool]{1, func(b []byte) (bool, error) {
		if b[0] > 1 {
			return false, fmt.Errorf("%w: the bool %d", ErrValue, b[0])
		}
		return b[0] == 1, nil
	}}
)

// appendValue appends a value, preceded by its type.
func appendValue(b []byte, v any) ([]byte, error) {
	t, err := typeOf(v)
	if err != nil {
		return nil, err
	}
	return appendPlain(binary.LittleEndian.AppendUint32(b, t), v)
}

// typeOf returns the number of a value's type.
func typeOf(v any) (uint32, error) {
	switch v.(type) {
	case uint8:
		return typeUint8, nil
	case int8:
		return typeInt8, nil
	case uint16:
		return typeUint16, nil
	case int16:
		return typeInt16, nil
	case uint32:
		return typeUint32, nil
	case int32:
		return typeInt32, nil
	case float32:
		return typeFloat32, nil
	case bool:
		return typeBool, nil
	case string:
		return typeString, nil
	case uint64:
		return typeUint64, nil
	case int64:
		return typeInt64, nil
	case float64:
		return typeFloat64, nil
	case []uint8, []int8, []uint16, []int16, []uint32, []int32, []uint64, []int64, []float32, []float64, []bool,
		[]string, []any:
		return typeArray, nil
	}
	return 0, fmt.Errorf("%w: a %T has no type in GGUF", ErrValue, v)
}

// appendPlain appends a value without its type.
func appendPlain(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return append(binary.LittleEndian.AppendUint64(b, uint64(len(v))), v...), nil
	case []uint8:
		return appendArray(b, typeUint8, v)
	case []int8:
		return appendArray(b, typeInt8, v)
	case []uint16:
		return appendArray(b, typeUint16, v)
	case []int16:
		return appendArray(b, typeInt16, v)
	case []uint32:
		return appendArray(b, typeUint32, v)
	case []int32:
		return appendArray(b, typeInt32, v)
	case []uint64:
		return appendArray(b, typeUint64, v)
	case []int64:
		return appendArray(b, typeInt64, v)
	case []float32:
		return appendArray(b, typeFloat32, v)
	case []float64:
		return appendArray(b, typeFloat64, v)
	case []bool:
		return appendArray(b, typeBool, v)
	case []string:
		return appendArray(b, typeString, v)
	case []any:
		for _, inner := range v {
			if t, err := typeOf(inner); err != nil || t != typeArray {
				return nil, fmt.Errorf("%w: a %T in a []any, want arrays", ErrValue, inner)
			}
		}
		return appendArray(b, typeArray, v)
	}
	return binary.Append(b, binary.LittleEndian, v)
}

func appendArray[T any](b []byte, t uint32, list []T) ([]byte, error) {
	b = binary.LittleEndian.AppendUint32(b, t)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(list)))
	for _, v := range list {
		var err error
		if b, err = appendPlain(b, v); err != nil {
			return nil, err
		}
	}
	return b, nil
}
