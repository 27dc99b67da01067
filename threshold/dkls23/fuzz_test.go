package dkls23

import (
	"bytes"
	"errors"
	"testing"

	"github.com/luxfi/mpcd/threshold"
)

// FuzzParsePairState: no record panics, and what parses is stored as the same bytes.
func FuzzParsePairState(f *testing.F) {
	x := newFixture(f, 3, 2)
	p := x.pairs[x.Committee.Parties[0]]
	f.Add(bytes.Clone(p.Bytes().Bytes()))
	p.Ban(x.Committee.Parties[1])
	f.Add(bytes.Clone(p.Bytes().Bytes()))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePairState(b)
		if err != nil {
			return
		}
		defer p.Destroy()
		if !bytes.Equal(p.Bytes().Bytes(), b) {
			t.Error("stored differently")
		}
	})
}

// FuzzRounds: whatever a peer sends in a round, in the setup or in presigning, is taken or is a fault; it never panics, and nothing but the
// honest message is taken where every byte counts.
func FuzzRounds(f *testing.F) {
	x := newFixture(f, 3, 2)
	q := x.Committee.Parties[:2]
	f.Add(byte(0), make([]byte, commitmentLen), []byte{})
	f.Add(byte(0), make([]byte, commitmentLen), make([]byte, direct1Len))
	f.Add(byte(1), make([]byte, saltLen+public2Len), make([]byte, direct2Len))
	f.Add(byte(2), []byte{}, make([]byte, setup1Len))
	f.Add(byte(3), []byte{}, make([]byte, setup2Len))
	f.Add(byte(4), make([]byte, 64), []byte{})
	f.Fuzz(func(t *testing.T, round byte, public, direct []byte) {
		x := newFixture(t, 3, 2)
		in := threshold.Inbound{Broadcast: public, Direct: direct}
		var err error
		switch round % 5 {
		case 0, 1:
			p, e := x.scheme(q[0]).newPresigning(x.setup(q[0], q), x.keys(q[0], q, 1), nil)
			if e != nil {
				t.Fatal(e)
			}
			st, e := p.begin(x.rand(q[0]), threshold.SessionID{1}, nil)
			if e != nil {
				t.Fatal(e)
			}
			if round%5 == 1 {
				// So that the commitment is met and the rest is looked at.
				if len(public) == saltLen+public2Len {
					c := commitment(p.id, q[1], 1, public[saltLen:], public[:saltLen])
					p.peer(q[1]).com = c[:]
				}
				st.Next = &round2{p: p}
			}
			_, err = st.Next.Check(q[1], in)
		default:
			p := &pairSetup{setup: x.setup(q[0], nil), epoch: 1}
			st, e := p.begin(x.rand(q[0]), threshold.SessionID{1}, nil)
			if e != nil {
				t.Fatal(e)
			}
			p.peer(q[1]).got1, p.peer(q[1]).transcript = make([]byte, setup1Len), p.id
			if len(direct) == setup2Len {
				c := seedCommitment(p.id, q[1], q[0], direct[:32], direct[32:64])
				copy(p.peer(q[1]).got1, c[:])
			}
			next := []threshold.Round[threshold.PairState]{st.Next, &setup2{p: p}, &setup3{p: p}}[round%5-2]
			_, err = next.Check(q[1], in)
			p.erase()
		}
		if err == nil {
			if round%5 > 2 {
				t.Error("taken without its peer's secrets")
			}
			return
		}
		var a *threshold.Abort
		if errors.As(err, &a) && a.Kind == threshold.Local {
			t.Errorf("a peer's message is held against ourselves: %v", err)
		}
	})
}

// FuzzShare: no payload panics or combines to a signature that does not verify.
func FuzzShare(f *testing.F) {
	x := newFixture(f, 3, 2)
	q := x.Committee.Parties[:2]
	reqs := []threshold.SignRequest{{Message: digestOf("fuzz")}}
	run, _ := x.presigning(f, q, reqs, 1)
	pres := results(f, run)
	good := x.sharesOf(f, q, reqs[0], pres, 0)
	f.Add(good[1].Payload)
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, payload []byte) {
		bad := *good[1]
		bad.Payload = payload
		sig, err := x.combine(q[0], reqs[0], pres[q[0]][0], []*threshold.SignatureShare{good[0], &bad})
		if err == nil && (Scheme{}).Verify(x.shares[q[0]].GroupKey, nil, reqs[0].Message, sig.Bytes) != nil {
			t.Error("an unverified signature came out")
		}
	})
}
