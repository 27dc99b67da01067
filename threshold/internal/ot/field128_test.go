// Goal: the check field, the transposition and the gadget sum are what they say. Method: bit by bit, the slow way.
package ot

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// timesX is x·e modulo x^128 + x^7 + x^2 + x + 1.
func (e element) timesX() element {
	out := element{e.lo << 1, e.hi<<1 | e.lo>>63}
	if e.hi>>63 == 1 {
		out.lo ^= 0x87
	}
	return out
}

func slowProduct(a, b element) (p element) {
	for k := range 128 {
		half := [2]uint64{a.lo, a.hi}
		if half[k/64]>>(k%64)&1 == 1 {
			p.lo ^= b.lo
			p.hi ^= b.hi
		}
		b = b.timesX()
	}
	return p
}

// edgeWords fill the classes of clmul to the brim.
var edgeWords = []uint64{0, 1, 1 << 59, 1 << 60, 1 << 63, holes, holes << 3, ^uint64(0), ^uint64(0) >> 4, 15 << 60, 0xaaaaaaaaaaaaaaaa,
	0x8000000000000001}

func TestFieldProduct(t *testing.T) {
	var list []element
	for _, lo := range edgeWords {
		for _, hi := range edgeWords {
			list = append(list, element{lo, hi})
		}
	}
	rand := newSeeded("field")
	var b [16]byte
	for range 60 {
		rand.Read(b[:])
		list = append(list, elementOf(b[:]))
	}
	for _, x := range list {
		m := x.multiplier()
		for _, y := range list {
			var p product
			p.add(y, &m)
			if got, want := p.reduce(), slowProduct(x, y); got != want {
				t.Fatalf("%x · %x = %x, want %x", x, y, got, want)
			}
			p = product{}
			p.addLow(y.lo, &m)
			if got, want := p.reduce(), slowProduct(x, element{lo: y.lo}); got != want {
				t.Fatalf("%x · %x = %x, want %x", x, y.lo, got, want)
			}
		}
		x.put(b[:])
		if elementOf(b[:]) != x {
			t.Fatalf("%x does not survive its encoding", x)
		}
	}
}

// TestCheckHash holds the hash of a row to its formula.
func TestCheckHash(t *testing.T) {
	sid := sidOf("hash")
	h := newCheckHash(&sid, []byte("U"))
	if again := newCheckHash(&sid, []byte("V")); *again == *h {
		t.Error("χ does not depend on U")
	}
	var r row
	var b [rowLen]byte
	newSeeded("row").Read(b[:])
	r.setBytes(b[:])
	want := r.mask
	for k := range blocks {
		chi := element{h[k].lo.value(), h[k].hi.value()}
		x := element{lo: r.data[2*k]}
		if k < blocks-1 {
			x.hi = r.data[2*k+1]
		}
		p := slowProduct(chi, x)
		want.lo ^= p.lo
		want.hi ^= p.hi
	}
	if got := h.of(&r); got != want {
		t.Errorf("%x, want %x", got, want)
	}
	var out [rowLen]byte
	if r.putBytes(out[:]); out != b {
		t.Error("a row does not survive its encoding")
	}
}

// value is the word that newFactor took.
func (f factor) value() (y uint64) {
	for i := range f.class {
		y |= f.class[i] | f.top[i]&(1<<(60+i))
	}
	return y
}

func TestTranspose(t *testing.T) {
	var m [rows]row
	var b [8]byte
	rand := newSeeded("matrix")
	for i := range m {
		for w := range m[i].data {
			rand.Read(b[:])
			m[i].data[w] = binary.LittleEndian.Uint64(b[:])
		}
	}
	c := new(columns)
	c.setRows(&m)
	for j := range c {
		for i := range m {
			half := [2]uint64{c[j].lo, c[j].hi}
			if int(half[i/64]>>(i%64)&1) != bitOf(&m[i].data, j) {
				t.Fatalf("row %d, column %d is wrong", i, j)
			}
		}
	}
}

// TestRandomiser holds the hash that is padded by hand to Sum256.
func TestRandomiser(t *testing.T) {
	session := sidOf("session")
	r := newRandomiser(&session, []byte("salt"))
	key := canon.Hash(tagRandomiser, session[:], []byte("salt"))
	for _, j := range []int{0, 1, 255, 256, xi - 1} {
		for i := range width {
			column := element{uint64(j) * 0x9e3779b97f4a7c15, ^uint64(i)}
			message := append(key[:], byte(j>>8), byte(j), byte(i))
			message = binary.LittleEndian.AppendUint64(message, column.lo)
			message = binary.LittleEndian.AppendUint64(message, column.hi)
			h := sha256.Sum256(message)
			var got, want secp256k1.Scalar
			want.SetBytesReduced(h[:])
			if r.scalar(&got, j, i, column); got.Equal(&want) == 0 {
				t.Errorf("transfer %d, place %d: %x, want %x", j, i, got.Bytes(), want.Bytes())
			}
		}
	}
	if r.wipe(); r.block != [blockLen]byte{} || r.state != [savedLen]byte{} {
		t.Error("wipe leaves something")
	}
}

func TestGadgetSum(t *testing.T) {
	var beta [words]uint64
	var want secp256k1.Scalar
	for j := range xi {
		if j%3 == 1 || j == xi-1 {
			beta[j/64] |= 1 << (j % 64)
			want.Add(&want, &gadget[j])
		}
	}
	var b secp256k1.Scalar
	if gadgetSum(&b, &beta); b.Equal(&want) == 0 {
		t.Error("the sum is wrong")
	}
	seen := map[string]bool{}
	for j := range gadget {
		seen[string(gadget[j].Bytes())] = true
	}
	if len(seen) != xi {
		t.Error("the gadget repeats")
	}
}
