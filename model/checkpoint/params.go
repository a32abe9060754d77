package checkpoint

import (
	"fmt"
	"io"
	"slices"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// deviceDTypes maps dtypes of files to those of devices.
var deviceDTypes = map[DType]backend.DType{
	F64: backend.F64, F32: backend.F32, BF16: backend.BF16, F16: backend.F16,
	F8E4M3: backend.E4M3, F8E5M2: backend.E5M2, I32: backend.I32, I8: backend.I8,
}

// fileDType returns the file dtype of a device dtype.
func fileDType(dt backend.DType) DType {
	for file, device := range deviceDTypes {
		if device == dt {
			return file
		}
	}
	panic(fmt.Sprintf("checkpoint: files have no dtype %s", dt))
}

// Tensors returns the values of params for [Write], by the names that they have in files
// and in their own dtype. The values are copied from the device while they are written.
func Tensors(params []*tensor.Param) []Tensor {
	var list []Tensor
	for _, p := range params {
		for _, part := range parts(p) {
			list = append(list, Tensor{
				Name: part.name, DType: fileDType(p.DType()), Shape: part.shape, Stream: part.stream,
			})
		}
	}
	return list
}

func (p part) stream(w io.Writer) error {
	v := p.p.Value()
	n, size := p.len(), v.DType.Size()
	start := v.Offset + p.first*p.width()
	buf := bytesPool.Get().(*[]byte)
	defer bytesPool.Put(buf)
	*buf = slices.Grow((*buf)[:0], min(n, chunkElements)*size)
	for at := 0; at < n; at += chunkElements {
		data := (*buf)[:min(chunkElements, n-at)*size]
		if err := p.p.Backend().Download(data, v.Buf, (start+at)*size); err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// Verbatim returns the named tensors for [Write], with the dtype and the bytes that
// they have in r. With it, saving a model preserves the tensors that [Load] left
// unclaimed. r must stay open until they are written.
func (r *Reader) Verbatim(names []string) ([]Tensor, error) {
	var list []Tensor
	for _, name := range names {
		section, err := r.Section(name)
		if err != nil {
			return nil, err
		}
		t, _ := r.Lookup(name)
		list = append(list, Tensor{Name: name, DType: t.DType, Shape: t.Shape, Stream: func(w io.Writer) error {
			_, err := io.Copy(w, io.NewSectionReader(section, 0, section.Size()))
			return err
		}})
	}
	return list, nil
}
