package ot

import (
	"crypto/cipher"
	"encoding/binary"

	"github.com/luxfi/mpcd/internal/canon"
)

// The extension of SoftSpokenOT (ePrint 2022/192) with the check of ePrint 2015/546, figure 10: from 64 trees to 416 correlated columns.
// Bob ends with columns t_j, Alice with q_j = t_j ^ β_j·Δ. χ is derived from the message, so the check holds against computation: 128 bits.

// sessionKey binds all that follows to the session of the pair and to Bob's salt.
func sessionKey(sid *[32]byte, saltB []byte) [32]byte { return canon.Hash(tagSession, sid[:], saltB) }

const prgBlocks = 5 // 16-byte blocks of a row: four of data, of which 52 bytes are used, and one of mask

// rowPRG makes rows of leaves: AES-128 in counter mode under the leaf, the counter xored to the first half of the session key.
type rowPRG struct {
	in, out [prgBlocks * 16]byte
}

func (p *rowPRG) start(session *[32]byte) {
	for k := range prgBlocks {
		copy(p.in[16*k:], session[:16])
		p.in[16*k+15] ^= byte(k)
	}
}

// row writes the leaf's row to r.
func (p *rowPRG) row(r *row, leaf cipher.Block) {
	for k := range prgBlocks {
		leaf.Encrypt(p.out[16*k:16*k+16], p.in[16*k:16*k+16])
	}
	for w := range r.data {
		r.data[w] = binary.LittleEndian.Uint64(p.out[8*w:])
	}
	r.data[words-1] &= 1<<(xi%64) - 1
	r.mask = elementOf(p.out[16*(prgBlocks-1):])
}

// xor sets r = r ^ a.
func (r *row) xor(a *row) {
	for w := range r.data {
		r.data[w] ^= a.data[w]
	}
	r.mask.lo ^= a.mask.lo
	r.mask.hi ^= a.mask.hi
}

// xorIf sets r = r ^ (a if m is all ones, nothing if m is zero).
func (r *row) xorIf(a *row, m uint64) {
	for w := range r.data {
		r.data[w] ^= a.data[w] & m
	}
	r.mask.lo ^= a.mask.lo & m
	r.mask.hi ^= a.mask.hi & m
}

// expand makes Bob's matrix v and writes U_i = r_0 ^ r_1 ^ r_2 ^ r_3 ^ c to u.
func (r *Receiver) expand(session *[32]byte, c *row, v *[rows]row, u []byte) {
	var prg rowPRG
	prg.start(session)
	var leaf [leaves]row
	for i := range trees {
		for x := range leaf {
			prg.row(&leaf[x], r.prg[i][x])
		}
		low, high := &v[softK*i], &v[softK*i+1]
		*low = leaf[1]
		low.xor(&leaf[3])
		*high = leaf[2]
		high.xor(&leaf[3])
		leaf[0].xor(&leaf[1])
		leaf[0].xor(high)
		leaf[0].xor(c)
		leaf[0].putBytes(u[i*rowLen : (i+1)*rowLen])
	}
	clear(leaf[:])
	prg = rowPRG{}
}

// expand makes Alice's matrix w from Bob's U.
func (s *Sender) expand(session *[32]byte, u []byte, w *[rows]row) {
	var prg rowPRG
	prg.start(session)
	var leaf [kept]row
	var ui row
	for i := range trees {
		for y := range leaf {
			prg.row(&leaf[y], s.prg[i][y])
		}
		ui.setBytes(u[i*rowLen : (i+1)*rowLen])
		low, high := &w[softK*i], &w[softK*i+1]
		*low = leaf[0]
		low.xor(&leaf[2])
		low.xorIf(&ui, s.deltaMask(softK*i))
		*high = leaf[1]
		high.xor(&leaf[2])
		high.xorIf(&ui, s.deltaMask(softK*i+1))
	}
	clear(leaf[:])
	prg = rowPRG{}
}

// deltaMask is all ones if bit i of Δ is set.
func (s *Sender) deltaMask(i int) uint64 {
	half := [2]uint64{s.delta.lo, s.delta.hi}
	return -(half[i/64] >> (i % 64) & 1)
}

// checkHash is the linear hash of the consistency check, its coefficients χ_1 .. χ_4 derived from U.
type checkHash [blocks]multiplier

func newCheckHash(session *[32]byte, u []byte) *checkHash {
	seed := canon.Hash(tagChi, session[:], u)
	h := new(checkHash)
	for half := range blocks / 2 {
		d := canon.Hash(tagChiHalf, seed[:], []byte{byte(half)})
		h[2*half] = elementOf(d[:16]).multiplier()
		h[2*half+1] = elementOf(d[16:]).multiplier()
	}
	return h
}

// of returns the sum of the blocks of r's data times χ, and r's mask.
func (h *checkHash) of(r *row) element {
	var p product
	for b := range blocks - 1 {
		p.add(element{r.data[2*b], r.data[2*b+1]}, &h[b])
	}
	p.addLow(r.data[words-1], &h[blocks-1])
	e := p.reduce()
	return element{e.lo ^ r.mask.lo, e.hi ^ r.mask.hi}
}

// holds returns 1 if Alice's rows hash to what Bob claims: t~_i ^ Δ_i·x~ for every i (C7).
func (s *Sender) holds(h *checkHash, w *[rows]row, claim []byte) int {
	x := elementOf(claim)
	var wrong uint64
	for i := range w {
		got, want := h.of(&w[i]), elementOf(claim[16*(i+1):])
		m := s.deltaMask(i)
		wrong |= got.lo ^ want.lo ^ x.lo&m
		wrong |= got.hi ^ want.hi ^ x.hi&m
	}
	return int(((wrong | -wrong) >> 63) ^ 1)
}
