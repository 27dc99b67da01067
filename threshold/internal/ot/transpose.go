package ot

import "encoding/binary"

// A row holds one bit of each transfer, a column all 128 bits of one. Row i is words of 64 transfers each, lowest bit first; column j has
// row i as bit i of lo, then of hi.

// row is the data of one row of the extension matrix and its 128 mask bits.
type row struct {
	data [words]uint64
	mask element
}

// setBytes reads 68 bytes.
func (r *row) setBytes(b []byte) {
	for w := range words - 1 {
		r.data[w] = binary.LittleEndian.Uint64(b[8*w:])
	}
	r.data[words-1] = uint64(binary.LittleEndian.Uint32(b[8*(words-1):]))
	r.mask = elementOf(b[dataLen:])
}

// putBytes writes 68 bytes.
func (r *row) putBytes(b []byte) {
	for w := range words - 1 {
		binary.LittleEndian.PutUint64(b[8*w:], r.data[w])
	}
	binary.LittleEndian.PutUint32(b[8*(words-1):], uint32(r.data[words-1]))
	r.mask.put(b[dataLen:])
}

// columns is the matrix the other way round, padded to whole words.
type columns [words * 64]element

// setRows transposes.
func (c *columns) setRows(m *[rows]row) {
	var square [64]uint64
	for w := range words {
		for i := range square {
			square[i] = m[i].data[w]
		}
		transpose64(&square)
		for i := range square {
			c[64*w+i].lo = square[i]
		}
		for i := range square {
			square[i] = m[64+i].data[w]
		}
		transpose64(&square)
		for i := range square {
			c[64*w+i].hi = square[i]
		}
	}
	clear(square[:])
}

// transpose64 transposes a square of 64 by 64 bits by swapping quarters of halving size (Hacker's Delight, section 7-3).
func transpose64(a *[64]uint64) {
	mask := uint64(0x00000000ffffffff)
	for size := 32; size > 0; size >>= 1 {
		for i := 0; i < 64; i = (i + size + 1) &^ size {
			t := (a[i]>>size ^ a[i+size]) & mask
			a[i] ^= t << size
			a[i+size] ^= t
		}
		mask ^= mask << (size / 2)
	}
}
