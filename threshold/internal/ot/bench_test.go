// Goal: the cost of each step per peer, and the ratio to plain arithmetic in the same run. Method: one benchmark each.
package ot

import (
	"bytes"
	"testing"
	"time"

	decred "github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

func BenchmarkSetup(b *testing.B) {
	rand := newSeeded("bench")
	for b.Loop() {
		sid := sidOf("bench")
		setup, msg1, err := NewSetup(sid, rand)
		if err != nil {
			b.Fatal(err)
		}
		r, msg2, err := RespondSetup(sid, msg1, rand)
		if err != nil {
			b.Fatal(err)
		}
		s, err := setup.Finish(msg2)
		if err != nil {
			b.Fatal(err)
		}
		s.Wipe()
		r.Wipe()
	}
}

func BenchmarkStart(b *testing.B) {
	_, r := thePair()
	rand := newSeeded("bench")
	sid := sidOf("bench")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := r.Start(sid, rand); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReply(b *testing.B) {
	s, r := thePair()
	rand := newSeeded("bench")
	sid := sidOf("bench")
	_, _, msg1, err := r.Start(sid, rand)
	if err != nil {
		b.Fatal(err)
	}
	var a [2]secp256k1.Scalar
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.Reply(sid, msg1, &a, rand); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFinish(b *testing.B) {
	s, r := thePair()
	rand := newSeeded("bench")
	sid := sidOf("bench")
	x, _, msg1, err := r.Start(sid, rand)
	if err != nil {
		b.Fatal(err)
	}
	var a [2]secp256k1.Scalar
	_, msg2, err := s.Reply(sid, msg1, &a, rand)
	if err != nil {
		b.Fatal(err)
	}
	keep := *x
	b.ReportAllocs()
	for b.Loop() {
		*x = keep
		if _, err := x.Finish(msg2); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVectorOLE is what one pair costs, both sides together.
func BenchmarkVectorOLE(b *testing.B) {
	s, r := thePair()
	rand := newSeeded("bench")
	sid := sidOf("bench")
	var a [2]secp256k1.Scalar
	b.ReportAllocs()
	for b.Loop() {
		x, _, msg1, err := r.Start(sid, rand)
		if err != nil {
			b.Fatal(err)
		}
		_, msg2, err := s.Reply(sid, msg1, &a, rand)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := x.Finish(msg2); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInnerProduct compares the gadget sum of 416 products with the plain way, decred's scalars multiplied and added one by one, in
// the same run. "x-naive" is how many times faster it is.
func BenchmarkInnerProduct(b *testing.B) {
	rand := newSeeded("inner")
	mine := make([]secp256k1.Scalar, xi)
	var naiveGadget, naive [xi]decred.ModNScalar
	for j := range mine {
		if err := randomScalar(&mine[j], rand); err != nil {
			b.Fatal(err)
		}
		naive[j].SetByteSlice(mine[j].Bytes())
		naiveGadget[j].SetByteSlice(gadget[j].Bytes())
	}
	var sum secp256k1.Scalar
	var naiveSum decred.ModNScalar
	var fast, slow time.Duration
	for b.Loop() {
		start := time.Now()
		sum.InnerProduct(gadget[:], mine)
		middle := time.Now()
		naiveSum.Zero()
		for j := range naive {
			var term decred.ModNScalar
			naiveSum.Add(term.Mul2(&naiveGadget[j], &naive[j]))
		}
		fast, slow = fast+middle.Sub(start), slow+time.Since(middle)
	}
	if want := naiveSum.Bytes(); !bytes.Equal(sum.Bytes(), want[:]) {
		b.Fatal("the two sums differ")
	}
	b.ReportMetric(float64(fast.Nanoseconds())/float64(b.N), "ours-ns/op")
	b.ReportMetric(float64(slow.Nanoseconds())/float64(b.N), "naive-ns/op")
	b.ReportMetric(float64(slow)/float64(fast), "x-naive")
	b.ReportMetric(0, "ns/op")
}
