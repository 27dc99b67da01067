package dkls23

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// Goal: C13 and C14, sums that make no signature. Method: contributions that cancel out, shares that sum to zero.
func TestC14Degenerate(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	p, err := f.scheme(q[0]).newPresigning(f.setup(q[0], q), f.keys(q[0], q, 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.begin(f.rand(q[0]), threshold.SessionID{1}, nil); err != nil {
		t.Fatal(err)
	}
	e := p.entries[0]
	cancelling := &opened{make([]secp256k1.Point, 1), make([]secp256k1.Point, 1)}
	cancelling.point[0].Negate(&e.point)
	cancelling.public[0].Sub(&e.key.point, &e.public)
	_, err = p.sum(0, e, []threshold.Received{{From: q[1], Payload: cancelling}})
	wantAbort(t, err, retry, "C14")
	cancelling.point[0].Set(&e.point)
	if _, err = p.sum(0, e, []threshold.Received{{From: q[1], Payload: cancelling}}); err != nil {
		t.Error(err)
	}
	cancelling.public[0].Set(&e.public)
	_, err = p.sum(0, e, []threshold.Received{{From: q[1], Payload: cancelling}})
	wantAbort(t, err, retry, "C13")

	reqs := []threshold.SignRequest{{Message: digestOf("zero")}}
	run, _ := f.presigning(t, q, reqs, 1)
	pres := results(t, run)
	good := f.sharesOf(t, q, reqs[0], pres, 0)
	negated := func(b []byte) []byte {
		var s secp256k1.Scalar
		if _, err := s.SetBytes(b); err != nil {
			t.Fatal(err)
		}
		return s.Negate(&s).Bytes()
	}
	w, u := good[0].Payload[:32], good[0].Payload[32:]
	for name, payload := range map[string][]byte{
		"w cancels": slices.Concat(negated(w), good[1].Payload[32:]), "u cancels": slices.Concat(good[1].Payload[:32], negated(u)),
		"both cancel": slices.Concat(negated(w), negated(u)),
	} {
		bad := []*threshold.SignatureShare{good[0], {From: q[1], Pre: good[1].Pre, Payload: payload}}
		sig, err := f.combine(q[0], reqs[0], pres[q[0]][0], bad)
		if sig.Bytes != nil {
			t.Errorf("%s: a signature", name)
		}
		wantAbort(t, err, retry, "C14")
	}
}

// Goal: C4 and C15, a wrong share gives no signature; one that is no share names its sender, and a wrong value nobody. Method: the table of
// bad shares.
func TestC15Shares(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	reqs := []threshold.SignRequest{{Message: digestOf("a")}, {Message: digestOf("b")}}
	run, _ := f.presigning(t, q, reqs, 2)
	pres := results(t, run)
	good, others := f.sharesOf(t, q, reqs[0], pres, 0), f.sharesOf(t, q, reqs[1], pres, 1)
	pre := pres[q[0]][0]
	with := func(change func(*threshold.SignatureShare)) []*threshold.SignatureShare {
		s := *good[1]
		s.Payload = bytes.Clone(s.Payload)
		change(&s)
		return []*threshold.SignatureShare{good[0], &s}
	}
	order := func(at int) func(*threshold.SignatureShare) {
		return func(s *threshold.SignatureShare) { copy(s.Payload[at:], bytes.Repeat([]byte{0xff}, 32)) }
	}
	for name, shares := range map[string][]*threshold.SignatureShare{
		"w not canonical": with(order(0)), "u not canonical": with(order(32)),
		"short": with(func(s *threshold.SignatureShare) { s.Payload = s.Payload[1:] }),
		"long":  with(func(s *threshold.SignatureShare) { s.Payload = append(s.Payload, 0) }),
		"empty": with(func(s *threshold.SignatureShare) { s.Payload = nil }), "of another presignature": {good[0], others[1]},
	} {
		sig, err := f.combine(q[0], reqs[0], pre, shares)
		wantAbort(t, err, ban, "C4", q[1])
		req := reqs[0]
		req.Pre = pre
		if sig.Bytes != nil || (Scheme{}).VerifyShare(f.shares[q[0]].KeyInfo, req, shares[1]) == nil ||
			(Scheme{}).VerifyShare(f.shares[q[0]].KeyInfo, req, good[1]) != nil {
			t.Errorf("%s: judged otherwise", name)
		}
	}
	for name, shares := range map[string][]*threshold.SignatureShare{
		"wrong w": with(func(s *threshold.SignatureShare) { s.Payload[31] ^= 1 }),
		"wrong u": with(func(s *threshold.SignatureShare) { s.Payload[63] ^= 1 }),
		"renamed": with(func(s *threshold.SignatureShare) { s.Payload = others[1].Payload }),
		"zero":    with(func(s *threshold.SignatureShare) { clear(s.Payload) }),
	} {
		sig, err := f.combine(q[0], reqs[0], pre, shares)
		if sig.Bytes != nil {
			t.Errorf("%s: a signature", name)
		}
		wantAbort(t, err, retry, "C15")
	}
	for name, shares := range map[string][]*threshold.SignatureShare{
		"none": nil, "one": good[:1], "three": append(slices.Clone(good), good[0]), "reversed": {good[1], good[0]}, "nil": {good[0], nil},
	} {
		var a *threshold.Abort
		if _, err := f.combine(q[0], reqs[0], pre, shares); err == nil || errors.As(err, &a) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.combine(q[0], reqs[0], pre, good); err != nil {
		t.Errorf("the good shares after all that: %v", err)
	}
	if _, err := f.combine(q[0], reqs[1], pre, good); err == nil {
		t.Error("combines for another digest")
	}
}
