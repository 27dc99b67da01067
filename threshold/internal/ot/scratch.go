package ot

import (
	"sync/atomic"

	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// scratch is the working memory of one step, 70 KiB. It is on the heap, because a goroutine's stack that grows leaves copies behind.
type scratch struct {
	matrix [rows]row
	column columns
	scalar [width][xi]secp256k1.Scalar // Alice: α0; Bob: d. of his two outputs
	input  [width]secp256k1.Scalar     // a_1, a_2, a^
	mu     [xi * scalar]byte
}

// spare keeps one scratch between steps, always wiped. Steps that run in parallel make further ones.
type spare struct{ p atomic.Pointer[scratch] }

func (s *spare) take() *scratch {
	if w := s.p.Swap(nil); w != nil {
		return w
	}
	return new(scratch)
}

func (s *spare) give(w *scratch) {
	*w = scratch{}
	s.p.Store(w)
}
