// Goal: the cost of each step per peer, and the ratio to plain arithmetic in the same run. Method: one benchmark each.
package ot

import (
	"bytes"
	"syscall"
	"testing"
	"time"

	decred "github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// cpuTime is the processor time, user and system, that this process has used.
func cpuTime(tb testing.TB) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

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

// BenchmarkVectorOLE is what a signature costs a party for each peer: it is Bob once (Start, Finish) and Alice once (Reply). Read
// cpu-ms/op: user and system time, the garbage collector included. Aim 1.0; benchmarks prints it.
func BenchmarkVectorOLE(b *testing.B) {
	s, r := thePair()
	rand := newSeeded("bench")
	sid := sidOf("bench")
	var a [2]secp256k1.Scalar
	b.ReportAllocs()
	start := cpuTime(b)
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
	b.ReportMetric(float64((cpuTime(b)-start).Nanoseconds())/1e6/float64(b.N), "cpu-ms/op")
}

// BenchmarkInnerProduct compares the gadget sum of 416 products with the plain way, decred's scalars multiplied and added one by one: the
// same operands in turns of a millisecond, processor time, so that what disturbs one disturbs the other. "x-naive" is how many times faster
// ours is.
func BenchmarkInnerProduct(b *testing.B) {
	const turn = 64
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
		start := cpuTime(b)
		for range turn {
			sum.InnerProduct(gadget[:], mine)
		}
		middle := cpuTime(b)
		for range turn {
			naiveSum.Zero()
			for j := range naive {
				var term decred.ModNScalar
				naiveSum.Add(term.Mul2(&naiveGadget[j], &naive[j]))
			}
		}
		fast, slow = fast+middle-start, slow+cpuTime(b)-middle
	}
	if want := naiveSum.Bytes(); !bytes.Equal(sum.Bytes(), want[:]) {
		b.Fatal("the two sums differ")
	}
	b.ReportMetric(float64(fast.Nanoseconds())/1e3/float64(b.N*turn), "ours-cpu-us")
	b.ReportMetric(float64(slow.Nanoseconds())/1e3/float64(b.N*turn), "naive-cpu-us")
	b.ReportMetric(float64(slow)/float64(fast), "x-naive")
	b.ReportMetric(0, "ns/op")
}
