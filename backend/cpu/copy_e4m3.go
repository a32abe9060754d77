package cpu

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

type encodeE4M3 backend.Copy

func (o *encodeE4M3) run(w *worker, lo, hi int) {
	dst, src := data[uint8](&o.Dst), data[float32](&o.Src)
	buf := scratch[float32](w, blockLen)
	var codes [blockLen]uint8
	for it := newWalk(lo, hi, &o.Dst, &o.Src); it.next(); {
		moveRow(buf, src[it.off[1]:], it.n, 1, it.stride(1))
		asm.ToE4M3(codes[:it.n], buf[:it.n])
		moveRow(dst[it.off[0]:], codes[:], it.n, it.stride(0), 1)
	}
}

type decodeE4M3 backend.Copy

func (o *decodeE4M3) run(w *worker, lo, hi int) {
	dst, src := data[float32](&o.Dst), data[uint8](&o.Src)
	buf := scratch[float32](w, blockLen)
	var codes [blockLen]uint8
	for it := newWalk(lo, hi, &o.Dst, &o.Src); it.next(); {
		moveRow(codes[:], src[it.off[1]:], it.n, 1, it.stride(1))
		asm.FromE4M3(buf[:it.n], codes[:it.n])
		moveRow(dst[it.off[0]:], buf, it.n, it.stride(0), 1)
	}
}
