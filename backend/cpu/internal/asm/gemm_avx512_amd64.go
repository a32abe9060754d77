//go:build !noasm

package asm

// gemmStripAVX512 computes up to 14 rows of C from k rows of the packed panels
// of n columns, panelStep apart. rows, n and k are positive.
//
//go:noescape
func gemmStripAVX512(rows, n, k int, a *float32, ars, acs int, bp *float32, panelStep int, c *float32, ldc int, resume bool)

var (
	tuneK    = 384
	tuneN    = 320
	tunePack = 0
)

func gemmAVX512(m, n, k int, a []float32, ars, acs int, bp []float32, c []float32, ldc int, resume bool) {
	if tunePack == 1 {
		gemmAVX512Packed(m, n, k, a, ars, acs, bp, c, ldc, resume)
		return
	}
	kc := k
	if k > tuneK {
		parts := (k + tuneK - 1) / tuneK
		kc = ((k+parts-1)/parts + 15) &^ 15
	}
	for p := 0; p < k; p += kc {
		kb := min(kc, k-p)
		for j := 0; j < n; j += tuneN {
			nb := min(tuneN, n-j)
			for i := 0; i < m; {
				rows := stripOf(m - i)
				gemmStripAVX512(rows, nb, kb, &a[i*ars+p*acs], ars, acs, &bp[j*k+p*PanelWidth], k*PanelWidth, &c[i*ldc+j], ldc, resume || p > 0)
				i += rows
			}
		}
	}
}

func stripOf(m int) int {
	if m >= 28 {
		return 14
	}
	if m > 14 {
		return (m + 1) / 2
	}
	return m
}

func gemmAVX512Packed(m, n, k int, a []float32, ars, acs int, bp []float32, c []float32, ldc int, resume bool) {
	var buf [384 * 16]float32
	kc := k
	if k > tuneK {
		parts := (k + tuneK - 1) / tuneK
		kc = ((k+parts-1)/parts + 15) &^ 15
	}
	for p := 0; p < k; p += kc {
		kb := min(kc, k-p)
		for j := 0; j < n; j += tuneN {
			nb := min(tuneN, n-j)
			for i := 0; i < m; {
				rows := stripOf(m - i)
				packPanel(buf[:], a[i*ars+p*acs:], kb, rows, acs, ars)
				gemmStripAVX512(rows, nb, kb, &buf[0], 1, 16, &bp[j*k+p*PanelWidth], k*PanelWidth, &c[i*ldc+j], ldc, resume || p > 0)
				i += rows
			}
		}
	}
}
