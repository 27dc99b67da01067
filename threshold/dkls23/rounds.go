package dkls23

import (
	"bytes"
	"errors"
	"io"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/ot"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// round1 waits for R1. Alice's answer is computed as Bob's message comes, but nothing is sent before everybody has committed to its
// R_j (C16): Advance is called once all are in.
type round1 struct {
	p    *presigning
	done bool
}

// Expect leaves lengths to Check, which bans for a wrong one.
func (r *round1) Expect() threshold.Expect {
	return threshold.Expect{Broadcast: true, Direct: r.p.active, MaxBytes: threshold.MaxBody}
}

func (r *round1) Check(from threshold.PartyID, in threshold.Inbound) (threshold.Payload, error) {
	p := r.p
	if err := judgeCommitment(in.Broadcast); err != nil {
		return nil, err
	}
	if !p.active {
		return in.Broadcast, nil
	}
	x := p.peer(from)
	x.com = in.Broadcast
	if len(in.Direct) != len(p.entries)*direct1Len {
		return nil, x.cheated("C3", lengthError("R1", len(in.Direct), len(p.entries)*direct1Len))
	}
	return in.Broadcast, x.use(func() error { return p.answer(x, in.Direct) })
}

func judgeCommitment(body []byte) error {
	if len(body) != commitmentLen {
		return threshold.Fault(threshold.Proven, "C3", lengthError("R1 broadcast", len(body), commitmentLen))
	}
	return nil
}

// answer is the direct part of R2: we are Alice with (r_i, sk_i).
func (p *presigning) answer(x *peer, in []byte) error {
	// The key is drawn ahead; with the message hashed in, the same randomness never answers two messages.
	digest := canon.Hash("mpcd/v1/dkls23/answer", x.key[:], in)
	rand := threshold.NewStream(digest)
	clear(x.key[:])
	out := make([]byte, 0, len(p.entries)*direct2Len)
	for i, e := range p.entries {
		t := x.ole[i]
		a := [2]secp256k1.Scalar{e.r, e.sk}
		c, msg, err := x.sender.Reply(directed(e.sid, x.peer, p.setup.Self), in[i*direct1Len:][:direct1Len], &a, rand)
		clear(a[:])
		if err != nil {
			return x.judge(err, "C7", "C4")
		}
		t.c = c
		clear(c[:])
		var gu, gv secp256k1.Point
		gu.ScalarBaseMult(&t.c[0])
		gv.ScalarBaseMult(&t.c[1])
		var psi secp256k1.Scalar
		psi.Sub(&e.phi, &t.chi)
		out = append(out, msg...)
		for _, b := range secp256k1.BatchBytes([]*secp256k1.Point{&gu, &gv}) {
			out = append(out, b...)
		}
		out = append(out, psi.Bytes()...)
	}
	x.answer = out
	return nil
}

func (r *round1) Advance(_ io.Reader, in []threshold.Received) (step, error) {
	p := r.p
	r.done = true
	next := &round2{p: p}
	if !p.active {
		next.coms = map[threshold.PartyID][]byte{}
		for _, m := range in {
			next.coms[m.From] = m.Payload.([]byte)
		}
		return step{Next: next}, nil
	}
	out := []threshold.Outgoing{{To: threshold.Everybody, Body: append(bytes.Clone(p.salt[:]), p.encoded()...)}}
	for _, x := range p.peers {
		out = append(out, threshold.Outgoing{To: x.peer, Body: x.answer})
		x.answer = nil
	}
	return step{Out: out, Next: next}, nil
}

func (r *round1) Erase() {
	if !r.done {
		r.p.erase()
	}
}

// round2 waits for R2 and does R3 without its message: the shares come when the request is signed.
type round2 struct {
	p    *presigning
	coms map[threshold.PartyID][]byte // on an observer
	made presignatures                // until all are made and handed out
}

// Expect leaves lengths to Check, as round1.
func (r *round2) Expect() threshold.Expect {
	return threshold.Expect{Broadcast: true, Direct: r.p.active, MaxBytes: threshold.MaxBody}
}

// opened is R_j and pk_j of every entry, decoded.
type opened struct{ point, public []secp256k1.Point }

func (r *round2) Check(from threshold.PartyID, in threshold.Inbound) (threshold.Payload, error) {
	p := r.p
	if !p.active {
		return judgeOpening(p.id, from, len(p.entries), r.coms[from], in.Broadcast)
	}
	x := p.peer(from)
	o, err := judgeOpening(p.id, from, len(p.entries), x.com, in.Broadcast)
	if err != nil {
		return nil, err
	}
	if len(in.Direct) != len(p.entries)*direct2Len {
		return nil, x.cheated("C3", lengthError("R2", len(in.Direct), len(p.entries)*direct2Len))
	}
	return o, x.use(func() error {
		for i := range p.entries {
			if err := p.receive(x, i, in.Direct[i*direct2Len:][:direct2Len], &o.point[i], &o.public[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// judgeOpening checks the broadcast part of R2 against the commitment of R1: C3, C5, C9.
func judgeOpening(id threshold.SessionID, from threshold.PartyID, entries int, com, body []byte) (*opened, error) {
	if want := saltLen + entries*public2Len; len(body) != want {
		return nil, threshold.Fault(threshold.Proven, "C3", lengthError("R2 broadcast", len(body), want))
	}
	salt, public := body[:saltLen], body[saltLen:]
	if c := commitment(id, from, entries, public, salt); !bytes.Equal(c[:], com) {
		return nil, threshold.Fault(threshold.Proven, "C9", errors.New("the opened R_j is not the one committed to"))
	}
	o := &opened{make([]secp256k1.Point, entries), make([]secp256k1.Point, entries)}
	for i := range entries {
		b := public[i*public2Len:][:public2Len]
		if _, err := o.point[i].SetBytes(b[:pointLen]); err != nil {
			return nil, threshold.Fault(threshold.Proven, "C5", err)
		}
		if _, err := o.public[i].SetBytes(b[pointLen:]); err != nil {
			return nil, threshold.Fault(threshold.Proven, "C5", err)
		}
	}
	return o, nil
}

// receive ends one transfer as Bob and checks in the exponent that Alice used r_j and sk_j: C4, C5, C8, C11, C12.
func (p *presigning) receive(x *peer, i int, in []byte, point, public *secp256k1.Point) error {
	t := x.ole[i]
	vole, in := in[:ot.Msg2Len], in[ot.Msg2Len:]
	var gu, gv secp256k1.Point
	if _, err := gu.SetBytes(in[:pointLen]); err != nil {
		return x.cheated("C5", err)
	}
	if _, err := gv.SetBytes(in[pointLen : 2*pointLen]); err != nil {
		return x.cheated("C5", err)
	}
	if _, err := t.psi.SetBytes(in[2*pointLen:]); err != nil {
		return x.cheated("C4", err)
	}
	d, err := t.receiving.Finish(vole)
	if err != nil {
		return x.judge(err, "C8", "C4")
	}
	t.d = d
	clear(d[:])
	if !consistent(&t.chi, point, &t.d[0], &gu) {
		return x.cheated("C11", errors.New("the product with r_j is not the one R_j stands for"))
	}
	if !consistent(&t.chi, public, &t.d[1], &gv) {
		return x.cheated("C12", errors.New("the product with sk_j is not the one pk_j stands for"))
	}
	return nil
}

// consistent tells whether χ·P = d·G + Γ, in constant time: χ and d are secret.
func consistent(chi *secp256k1.Scalar, point *secp256k1.Point, d *secp256k1.Scalar, gamma *secp256k1.Point) bool {
	var left, right secp256k1.Point
	left.ScalarMult(chi, point)
	right.ScalarBaseMult(d)
	right.Add(&right, gamma)
	return left.Equal(&right) == 1
}

// Advance sums up: C13, C14, and the shares of (k·φ, sk·φ) that SignShare uses.
func (r *round2) Advance(_ io.Reader, in []threshold.Received) (step, error) {
	p := r.p
	for i, e := range p.entries {
		pre, err := p.sum(i, e, in)
		if err != nil {
			return step{}, err
		}
		r.made = append(r.made, pre)
	}
	// A ban in another session since our checks also ends this one (C17).
	for _, x := range p.peers {
		if err := x.refusal(); err != nil {
			return step{}, err
		}
	}
	out := r.made
	r.made = nil
	return step{Result: out}, nil
}

func (p *presigning) sum(i int, e *entry, in []threshold.Received) (*threshold.Presignature, error) {
	prep := &prepared{signers: p.setup.Signers, key: e.key, bound: e.bound}
	prep.id = canon.Hash("mpcd/v1/dkls23/presignature", p.id[:], uint32Bytes(i))
	prep.point.Set(secp256k1.NewIdentity())
	public := secp256k1.NewIdentity()
	parts := make([]*secp256k1.Point, 0, len(p.setup.Signers))
	for _, s := range p.setup.Signers {
		point, pk := &e.point, &e.public
		if s != p.setup.Self || !p.active {
			o := in[0].Payload.(*opened)
			point, pk, in = &o.point[i], &o.public[i], in[1:]
		}
		parts = append(parts, point)
		prep.point.Add(&prep.point, point)
		public.Add(public, pk)
	}
	if public.Equal(&e.key.point) != 1 {
		return nil, &threshold.Abort{Kind: threshold.Retry, Check: "C13",
			Err: errors.New("dkls23: the signers' keys do not add up to the group key: one of them used a wrong share; try another quorum")}
	}
	if err := usable(&prep.point); err != nil {
		return nil, err
	}
	prep.commitments = secp256k1.BatchBytes(parts)
	pre := &threshold.Presignature{
		ID: prep.id, Scheme: ID, Session: p.id, Signers: p.setup.Signers, Commitments: prep.commitments, Prepared: prep,
	}
	if p.active {
		pre.Nonces = p.secrets(i, e, prep)
	}
	return pre, nil
}

// usable is C14 for a nonce point: r is not zero, as it also is for the identity.
func usable(point *secp256k1.Point) error {
	if r, _ := coordinate(point); r.IsZero() == 0 {
		return nil
	}
	return &threshold.Abort{Kind: threshold.Retry, Check: "C14",
		Err: errors.New("dkls23: the nonce is the point at infinity or has r = 0; try again")}
}

// secrets computes Φ = φ_i + Σ ψ_ji, u_i = r_i·Φ + Σ (c^u + d^u), v_i = sk_i·Φ + Σ (c^v + d^v).
func (p *presigning) secrets(i int, e *entry, prep *prepared) *secrets {
	n := &secrets{party: p.setup.Self, id: prep.id}
	n.phi = e.phi
	phi := e.phi
	for _, x := range p.peers {
		phi.Add(&phi, &x.ole[i].psi)
		n.pairs = append(n.pairs, x.pair)
	}
	n.u.Mul(&e.r, &phi)
	n.v.Mul(&e.sk, &phi)
	phi.Wipe()
	for _, x := range p.peers {
		t := x.ole[i]
		n.u.Add(&n.u, &t.c[0])
		n.u.Add(&n.u, &t.d[0])
		n.v.Add(&n.v, &t.c[1])
		n.v.Add(&n.v, &t.d[1])
	}
	if e.bound != nil {
		n.request = e.bound.digest(prep.id)
		n.state.Store(agreed)
	}
	return n
}

// Erase burns the batch, too, if a later entry or a ban ended it.
func (r *round2) Erase() {
	discard(r.made)
	r.p.erase()
}
