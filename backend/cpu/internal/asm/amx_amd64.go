//go:build !noasm

package asm

import "golang.org/x/sys/cpu"

// haveTiles reports whether the processor has AMX tiles for products of BF16
// and INT8 and the operating system lets the process use them.
func haveTiles() bool {
	x := &cpu.X86
	return x.HasAMXTile && x.HasAMXBF16 && x.HasAMXInt8 && allowTiles()
}

// tileSide is the number of rows of a tile, and of its columns of 32 bits.
const tileSide = 16

// tileConfig is the memory operand of LDTILECFG: the palette and the shape of
// each tile. Kernels load it when they start and release the tiles before they
// return.
type tileConfig struct {
	palette  uint8
	_        [15]uint8 // the row at which to restart, always 0, and reserved bytes
	rowBytes [16]uint16
	rows     [16]uint8
}

// The tiles of a product: strips of 16 rows of A, panels of B, and up to four
// blocks of C, of which the first two belong to the first strip.
const (
	firstTileA = 0
	firstTileB = 2
	firstTileC = 4
)

// configOf returns the shapes of tiles for two strips of A, with first and
// second rows, the given number of 4-byte groups of k in a row, and columns of
// C. If there is a single strip, both arguments are its rows.
func configOf(first, second, groups, columns int) (c tileConfig) {
	c.palette = 1
	set := func(tile, rows, words int) {
		c.rows[tile], c.rowBytes[tile] = uint8(rows), uint16(4*words)
	}
	for strip, rows := range [2]int{first, second} {
		set(firstTileA+strip, rows, groups)
		set(firstTileB+strip, groups, columns)
		set(firstTileC+2*strip, rows, columns)
		set(firstTileC+2*strip+1, rows, columns)
	}
	return c
}
