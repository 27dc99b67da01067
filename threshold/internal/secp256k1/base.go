package secp256k1

// Fixed-base multiplication. With B = (k-1)/2 + 2²⁵⁹ for odd k, k is the sum of ±2ⁱ over the 260 bits of B, a set bit counting
// plus (Hamburg, ePrint 2012/309: signed all-bits recoding). So each window of five bits w is the odd digit 2w - 31:
// never zero, its sign the top bit, its magnitude one of 16. The last window of B is always 16, the digit 1, and is where we start.
const (
	baseWindowBits = 5
	baseWindows    = 51 // without the last
	baseEntries    = 1 << (baseWindowBits - 1)
)

// baseTable holds (2j+1)·32ⁱ·G in row i, column j: 51 KiB.
var baseTable, baseStart = newBaseTable()

func newBaseTable() (table [baseWindows][baseEntries]affinePoint, start affinePoint) {
	var points [baseWindows*baseEntries + 1]Point
	all := make([]*Point, len(points))
	for i := range points {
		all[i] = &points[i]
	}
	window := *NewGenerator()
	var twice Point
	for i := range baseWindows {
		row := points[i*baseEntries:][:baseEntries]
		row[0] = window
		twice.double(&window)
		for j := 1; j < baseEntries; j++ {
			row[j].add(&row[j-1], &twice)
		}
		window.add(&row[baseEntries-1], &window) // 31 + 1 = 2⁵
	}
	points[len(points)-1] = window
	affine := batchAffine(all)
	for i := range table {
		copy(table[i][:], affine[i*baseEntries:])
	}
	return table, affine[len(affine)-1]
}

// ScalarBaseMult sets v = k·G in constant time and returns v.
func (v *Point) ScalarBaseMult(k *Scalar) *Point {
	var digits [4]uint64
	even := k.oddHalf(&digits)
	var entry affinePoint
	v.setAffine(&baseStart)
	for i := range baseTable {
		w := window5(&digits, i)
		negative := 1 ^ w>>4
		entry.lookup16(&baseTable[i], (w^-negative)&15)
		entry.y.CondNegate(int(negative))
		v.addAffine(v, &entry)
	}
	v.y.CondNegate(even)
	clear(digits[:])
	return v
}

// oddHalf sets h = (k'-1)/2 for the odd one k' of k and n - k, and returns 1 if that was n - k.
func (s *Scalar) oddHalf(h *[4]uint64) (even int) {
	even = int(s.n[0]&1) ^ 1
	neg, _ := subtractOrder(&s.n) // k - n, to be negated: n - k is n itself for k = 0
	neg = negated(&neg)
	m := maskOf(even)
	for i := range h {
		h[i] = s.n[i] ^ (m & (s.n[i] ^ neg[i]))
	}
	h[0] = h[0]>>1 | h[1]<<63
	h[1] = h[1]>>1 | h[2]<<63
	h[2] = h[2]>>1 | h[3]<<63
	h[3] >>= 1
	return even
}

// window5 returns bits 5i to 5i+4 of x, i ≤ 50, whose top bit is clear.
func window5(x *[4]uint64, i int) uint64 {
	limb, shift := i*baseWindowBits/64, uint(i)*baseWindowBits%64
	next := min(limb+1, 3) // shifted out where limb is the last
	return (x[limb]>>shift | x[next]<<(64-shift)) & (1<<baseWindowBits - 1)
}

// lookup16 sets a to row[j], reading every entry.
func (a *affinePoint) lookup16(row *[baseEntries]affinePoint, j uint64) {
	var x0, x1, x2, x3, y0, y1, y2, y3 uint64
	for i := range row {
		e := &row[i]
		m := -isZero64(uint64(i) ^ j)
		x0 |= m & e.x.n[0]
		x1 |= m & e.x.n[1]
		x2 |= m & e.x.n[2]
		x3 |= m & e.x.n[3]
		y0 |= m & e.y.n[0]
		y1 |= m & e.y.n[1]
		y2 |= m & e.y.n[2]
		y3 |= m & e.y.n[3]
	}
	a.x.n = [4]uint64{x0, x1, x2, x3}
	a.y.n = [4]uint64{y0, y1, y2, y3}
}
