package dkls23

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/ot"
)

// The pair setup of a committee, PROTOCOLS A.3.1, in three rounds:
//
//	P1  direct     commitment to our half of the zero-share seed ‖ base OTs in which we choose (we become Alice)
//	P2  direct     our half and its salt ‖ the answer to theirs, with the PPRF (we become Bob)
//	P3  broadcast  of every pair of ours the hash of all four messages, in the order of the peers
//
// P3 is the confirmation: two parties that saw different messages notice, and so does everybody else.

const (
	setup1Len = 32 + ot.MsgSetup1Len
	setup2Len = 64 + ot.MsgSetup2Len
)

// NewPairState implements threshold.Pairer: it prepares the pair setup among the whole committee for the pair-epoch, a
// number from 1 to tell pair states by. All must take part. A result is not yet state to use: store it durably, exchange signed
// certificates over its digest, then use it and destroy the pair-epoch before it and every presignature made with that.
func (Scheme) NewPairState(s threshold.Setup, epoch uint64, rand io.Reader) (*threshold.Session[threshold.PairState], error) {
	if !s.Committee.Contains(s.Self) {
		return nil, fmt.Errorf("dkls23: party %d is not a member of the committee", s.Self)
	}
	if s.Signers != nil && len(s.Signers) != s.Committee.N() {
		return nil, fmt.Errorf("dkls23: %d of %d parties named, all must take part in a pair setup", len(s.Signers), s.Committee.N())
	}
	if epoch == 0 {
		return nil, errors.New("dkls23: pair-epochs are counted from 1")
	}
	ctx := canon.Hash("mpcd/v1/dkls23/provision/context", []byte(protocol), uint64Bytes(epoch), s.Context)
	s.Context = ctx[:]
	p := &pairSetup{setup: s, epoch: epoch}
	return threshold.NewSession(s, rand, threshold.Opening[threshold.PairState]{
		Begin: p.begin, Judge: p.verify, Discard: threshold.PairState.Destroy,
	})
}

type setupStep = threshold.Step[threshold.PairState]

// pairSetup is what one party knows during a pair setup.
type pairSetup struct {
	setup threshold.Setup
	epoch uint64
	id    threshold.SessionID
	peers []*draft // ascending
}

// draft is the state of one pair in the making. A round's Check touches only that of the sender.
type draft struct {
	*pair
	half, salt [32]byte // of the zero-share seed
	setup      *ot.Setup
	key        [threshold.StreamKeyLen]byte // of the randomness for our answer
	sent1      []byte
	sent2      []byte
	got1       []byte
	transcript [32]byte
}

func (x *draft) erase() {
	clear(x.half[:])
	clear(x.salt[:])
	clear(x.key[:])
	if x.setup != nil {
		x.setup.Wipe()
	}
}

// erase wipes what the setup needed and, unless it was handed on, what it made.
func (p *pairSetup) erase() {
	for _, x := range p.peers {
		x.erase()
		x.close(destroyed)
	}
}

func (p *pairSetup) begin(rand io.Reader, id threshold.SessionID, _ []threshold.Received) (_ setupStep, err error) {
	defer func() {
		if err != nil {
			p.erase()
		}
	}()
	p.id = id
	var out []threshold.Outgoing
	for _, peer := range peersOf(p.setup.Committee.Parties, p.setup.Self) {
		x := &draft{pair: newPair(peer)}
		p.peers = append(p.peers, x)
		for _, b := range [][]byte{x.half[:], x.salt[:], x.key[:]} {
			if _, err := io.ReadFull(rand, b); err != nil {
				return setupStep{}, fmt.Errorf("dkls23: no randomness: %w", err)
			}
		}
		var msg []byte
		if x.setup, msg, err = ot.NewSetup(directed(id, peer, p.setup.Self), rand); err != nil {
			return setupStep{}, err
		}
		com := seedCommitment(id, p.setup.Self, peer, x.half[:], x.salt[:])
		x.sent1 = append(com[:], msg...)
		out = append(out, threshold.Outgoing{To: peer, Body: x.sent1})
	}
	return setupStep{Out: out, Next: &setup1{p: p}}, nil
}

func (p *pairSetup) peer(id threshold.PartyID) *draft {
	i := slices.IndexFunc(p.peers, func(x *draft) bool { return x.peer == id })
	return p.peers[i]
}

// seedCommitment is H("zs-com"; sid, i, j, s_i, salt).
func seedCommitment(id threshold.SessionID, from, to threshold.PartyID, half, salt []byte) [32]byte {
	return canon.Hash("mpcd/v1/dkls23/provision/seed-commitment", id[:], partyBytes(from), partyBytes(to), half, salt)
}

// setup1 waits for P1 and answers it.
type setup1 struct {
	p    *pairSetup
	done bool
}

func (r *setup1) Expect() threshold.Expect {
	return threshold.Expect{Direct: true, MaxBytes: threshold.MaxBody}
}

func (r *setup1) Check(from threshold.PartyID, in threshold.Inbound) (threshold.Payload, error) {
	x := r.p.peer(from)
	if len(in.Direct) != setup1Len {
		return nil, threshold.Faultf(threshold.Ban, "C3", "P1 of %d bytes, want %d", len(in.Direct), setup1Len)
	}
	receiver, msg, err := ot.RespondSetup(directed(r.p.id, r.p.setup.Self, from), in.Direct[32:], threshold.NewStream(x.key))
	if err != nil {
		return nil, x.judge(err, "C6", "C5")
	}
	x.receiver, x.got1 = receiver, in.Direct
	x.sent2 = slices.Concat(x.half[:], x.salt[:], msg)
	return nil, nil
}

func (r *setup1) Advance(io.Reader, []threshold.Received) (setupStep, error) {
	r.done = true
	step := setupStep{Next: &setup2{p: r.p}}
	for _, x := range r.p.peers {
		step.Out = append(step.Out, threshold.Outgoing{To: x.peer, Body: x.sent2})
	}
	return step, nil
}

func (r *setup1) Erase() {
	if !r.done {
		r.p.erase()
	}
}

// setup2 waits for P2: it has both directions then.
type setup2 struct {
	p    *pairSetup
	done bool
}

func (r *setup2) Expect() threshold.Expect {
	return threshold.Expect{Direct: true, MaxBytes: threshold.MaxBody}
}

func (r *setup2) Check(from threshold.PartyID, in threshold.Inbound) (threshold.Payload, error) {
	x, self := r.p.peer(from), r.p.setup.Self
	if len(in.Direct) != setup2Len {
		return nil, threshold.Faultf(threshold.Ban, "C3", "P2 of %d bytes, want %d", len(in.Direct), setup2Len)
	}
	half, salt := in.Direct[:32], in.Direct[32:64]
	if com := seedCommitment(r.p.id, from, self, half, salt); !bytes.Equal(com[:], x.got1[:32]) {
		return nil, x.cheated("C9", errors.New("the seed is not the one committed to"))
	}
	sender, err := x.setup.Finish(in.Direct[64:])
	if err != nil {
		return nil, x.judge(err, "C6", "C5")
	}
	x.sender = sender
	var both [32]byte
	subtle.XORBytes(both[:], x.half[:], half)
	lo, hi := min(self, from), max(self, from)
	x.seed = canon.Hash("mpcd/v1/dkls23/provision/seed", r.p.id[:], partyBytes(lo), partyBytes(hi), both[:])
	clear(both[:])
	messages := [][]byte{x.sent1, x.got1, x.sent2, in.Direct}
	if self == hi {
		messages = [][]byte{x.got1, x.sent1, in.Direct, x.sent2}
	}
	x.transcript = canon.Hash("mpcd/v1/dkls23/provision/transcript",
		append([][]byte{r.p.id[:], partyBytes(lo), partyBytes(hi)}, messages...)...)
	return nil, nil
}

func (r *setup2) Advance(io.Reader, []threshold.Received) (setupStep, error) {
	r.done = true
	var body []byte
	for _, x := range r.p.peers {
		body = append(body, x.transcript[:]...)
		x.erase()
	}
	return setupStep{Out: []threshold.Outgoing{{To: threshold.Everybody, Body: body}}, Next: &setup3{p: r.p, own: body}}, nil
}

func (r *setup2) Erase() {
	if !r.done {
		r.p.erase()
	}
}

// setup3 waits for P3.
type setup3 struct {
	p    *pairSetup
	own  []byte
	done bool
}

func (p *pairSetup) confirmLen() int { return 32 * (p.setup.Committee.N() - 1) }

func (r *setup3) Expect() threshold.Expect {
	return threshold.Expect{Broadcast: true, MaxBytes: threshold.MaxBody}
}

func (r *setup3) Check(from threshold.PartyID, in threshold.Inbound) (threshold.Payload, error) {
	if err := r.p.judgeConfirmation(in.Broadcast); err != nil {
		return nil, err
	}
	x := r.p.peer(from)
	if !bytes.Equal(confirmed(r.p.setup.Committee, in.Broadcast, from, r.p.setup.Self), x.transcript[:]) {
		return nil, x.cheated("confirm", errors.New("it saw other messages of this pair than we sent or received"))
	}
	return in.Broadcast, nil
}

func (p *pairSetup) judgeConfirmation(body []byte) error {
	if len(body) != p.confirmLen() {
		return threshold.Fault(threshold.Proven, "C3", lengthError("P3", len(body), p.confirmLen()))
	}
	return nil
}

// confirmed is what the P3 body of one party says of its pair with another.
func confirmed(c threshold.Committee, body []byte, of, with threshold.PartyID) []byte {
	i := slices.Index(peersOf(c.Parties, of), with)
	return body[32*i : 32*(i+1)]
}

// Advance compares what both sides of every pair say. If two others disagree, we cannot know who of them is at fault.
func (r *setup3) Advance(_ io.Reader, in []threshold.Received) (setupStep, error) {
	c, self := r.p.setup.Committee, r.p.setup.Self
	said := map[threshold.PartyID][]byte{self: r.own}
	for _, x := range in {
		said[x.From] = x.Payload.([]byte)
	}
	h := canon.NewHasher("mpcd/v1/dkls23/provision", 3+c.N()*(c.N()-1)/2)
	h.Field(r.p.id[:])
	h.Field(uint64Bytes(r.p.epoch))
	digest := c.Digest()
	h.Field(digest[:])
	for i, a := range c.Parties {
		for _, b := range c.Parties[i+1:] {
			t := confirmed(c, said[a], a, b)
			if !bytes.Equal(t, confirmed(c, said[b], b, a)) {
				return setupStep{}, &threshold.Abort{Kind: threshold.Retry, Check: "confirm",
					Err: fmt.Errorf("dkls23: parties %d and %d disagree about their pair setup", a, b)}
			}
			h.Field(t)
		}
	}
	out := &pairState{id: h.Sum(), epoch: r.p.epoch, party: self, committee: c}
	for _, x := range r.p.peers {
		out.pairs = append(out.pairs, x.pair)
	}
	r.done = true
	return setupStep{Result: out}, nil
}

func (r *setup3) Erase() {
	if !r.done {
		r.p.erase()
	}
}
