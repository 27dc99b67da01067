package dkg

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"io"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/poly"
)

type (
	share = *threshold.KeyShare
	step  = threshold.Step[share]
)

// begin follows OPEN: draw the polynomial and the encryption key, commit (D1).
func (st *state) begin(rand io.Reader, id threshold.SessionID, _ []threshold.Received) (_ step, err error) {
	defer func() {
		if err != nil {
			st.wipe()
		}
	}()
	st.id = id
	var constant group.Scalar
	if st.old != nil {
		constant = st.Group.NewScalar()
	}
	if st.poly, err = poly.New(st.Group, st.t, constant, rand); err != nil {
		return step{}, err
	}
	if st.enc, err = randomScalar(st.Group, rand); err != nil {
		return step{}, err
	}
	self := st.setup.Self
	encKey := st.Group.NewPoint().ScalarBaseMult(st.enc)
	st.encKeys = map[threshold.PartyID]group.Point{self: encKey}
	st.encBytes = map[threshold.PartyID][]byte{self: encKey.Bytes()}
	// The shares' encryption needs the peers' keys of D1, so D1 commits to all of D2 but the ciphertexts, which the
	// commitments of the polynomial determine.
	if st.opens, err = st.opening(rand); err != nil {
		return step{}, err
	}
	com := commitment(id, self, st.encBytes[self], st.opens)
	return step{
		Out:  []threshold.Outgoing{{To: threshold.Everybody, Body: append(com[:], st.encBytes[self]...)}},
		Next: &round1{st: st},
	}, nil
}

// opening is D2 without the ciphertexts: C_i, proof of possession, chain code share, salt.
func (st *state) opening(rand io.Reader) ([]byte, error) {
	st.ownCommit = st.poly.Commit()
	var b []byte
	for _, c := range st.ownCommit[st.t-st.points():] {
		b = append(b, c.Bytes()...)
	}
	if st.old == nil {
		pop, err := provePossession(st.Group, st.id, st.setup.Self, st.poly.Constant(), b, rand)
		if err != nil {
			return nil, err
		}
		b = append(b, pop...)
		if _, err := io.ReadFull(rand, st.ownChain[:]); err != nil {
			return nil, err
		}
		b = append(b, st.ownChain[:]...)
	}
	var salt [saltLen]byte
	if _, err := io.ReadFull(rand, salt[:]); err != nil {
		return nil, err
	}
	return append(b, salt[:]...), nil
}

// round1 waits for the commitments of D1.
type round1 struct {
	st   *state
	done bool
}

type committed struct {
	com    [32]byte
	key    group.Point
	keyRaw []byte
}

func (r *round1) Expect() threshold.Expect {
	return threshold.Expect{Broadcast: true, MaxBytes: r.st.d1Len()}
}

func (r *round1) Check(_ threshold.PartyID, in threshold.Inbound) (threshold.Payload, error) {
	if len(in.Broadcast) != r.st.d1Len() {
		return nil, threshold.Faultf(threshold.Proven, "dkg-length", "D1 of %d bytes, want %d", len(in.Broadcast), r.st.d1Len())
	}
	key, err := r.st.Group.NewPoint().SetCanonical(in.Broadcast[32:])
	if err != nil {
		return nil, threshold.Fault(threshold.Proven, "dkg-point", err)
	}
	return committed{[32]byte(in.Broadcast[:32]), key, in.Broadcast[32:]}, nil
}

func (r *round1) Advance(_ io.Reader, in []threshold.Received) (step, error) {
	st := r.st
	st.coms = map[threshold.PartyID][32]byte{}
	for _, x := range in {
		c := x.Payload.(committed)
		st.coms[x.From], st.encKeys[x.From], st.encBytes[x.From] = c.com, c.key, c.keyRaw
	}
	body := slices.Clone(st.opens)
	for _, p := range st.setup.Committee.Parties {
		if p == st.setup.Self {
			continue
		}
		s := st.poly.Eval(uint16(p))
		k := st.Group.NewPoint().ScalarMult(st.enc, st.encKeys[p])
		s.Add(s, st.pad(st.setup.Self, p, k))
		body = append(body, s.Bytes()...)
	}
	r.done = true
	return step{Out: []threshold.Outgoing{{To: threshold.Everybody, Body: body}}, Next: &round2{st: st}}, nil
}

func (r *round1) Erase() {
	if !r.done {
		r.st.wipe()
	}
}

// pad hides the share from dealer to receiver; K is their ECDH point. Both directions of a pair have their own pad.
func (st *state) pad(dealer, receiver threshold.PartyID, k group.Point) group.Scalar {
	return st.Group.HashToScalar("mpcd/v1/dkg/pad", st.id[:], partyBytes(dealer), partyBytes(receiver),
		st.encBytes[dealer], st.encBytes[receiver], k.Bytes())
}

// dealing is one party's D2, judged.
type dealing struct {
	commitments []group.Point  // t of them; the first is the identity in a refresh
	chain       [32]byte       // keygen
	ciphertexts []group.Scalar // in the order of the committee without the dealer
	share       group.Scalar   // ours, decrypted
	bad         bool           // our share does not fit the commitments: complain
}

// round2 waits for the openings and encrypted shares of D2.
type round2 struct {
	st   *state
	done bool
}

func (r *round2) Expect() threshold.Expect {
	return threshold.Expect{Broadcast: true, MaxBytes: r.st.d2Len()}
}

func (r *round2) Check(from threshold.PartyID, in threshold.Inbound) (threshold.Payload, error) {
	st := r.st
	d, err := st.judgeOpening(from, st.coms[from], st.encBytes[from], in.Broadcast)
	if err != nil {
		return nil, err
	}
	k := st.Group.NewPoint().ScalarMult(st.enc, st.encKeys[from])
	d.share = st.decrypt(d, from, st.setup.Self, k)
	d.bad = !st.fits(d, st.setup.Self, d.share)
	return d, nil
}

// judgeOpening checks everything of D2 that all parties can check.
func (st *state) judgeOpening(from threshold.PartyID, com [32]byte, encKey, body []byte) (*dealing, error) {
	g := st.Group
	if len(body) != st.d2Len() {
		return nil, threshold.Faultf(threshold.Proven, "dkg-length", "D2 of %d bytes, want %d", len(body), st.d2Len())
	}
	open := body[:len(body)-(st.n-1)*g.ScalarLen()]
	if want := commitment(st.id, from, encKey, open); subtle.ConstantTimeCompare(want[:], com[:]) != 1 {
		return nil, threshold.Fault(threshold.Proven, "dkg-commitment", errors.New("D2 does not open the commitment of D1"))
	}
	d := &dealing{commitments: make([]group.Point, 0, st.t)}
	if st.old != nil {
		d.commitments = append(d.commitments, g.NewPoint())
	}
	rest, commitBytes := open, open[:st.points()*g.PointLen()]
	for range st.points() {
		c, err := g.NewPoint().SetCanonical(rest[:g.PointLen()])
		if err != nil {
			return nil, threshold.Fault(threshold.Proven, "dkg-point", err)
		}
		d.commitments, rest = append(d.commitments, c), rest[g.PointLen():]
	}
	if st.old == nil {
		popLen := g.PointLen() + g.ScalarLen()
		if !verifyPossession(g, st.id, from, d.commitments[0], commitBytes, rest[:popLen]) {
			return nil, threshold.Fault(threshold.Proven, "dkg-possession", errors.New("proof of possession fails"))
		}
		d.chain = [32]byte(rest[popLen : popLen+32])
	}
	for c := body[len(open):]; len(c) > 0; c = c[g.ScalarLen():] {
		s, err := g.NewScalar().SetCanonical(c[:g.ScalarLen()])
		if err != nil {
			return nil, threshold.Fault(threshold.Proven, "dkg-scalar", err)
		}
		d.ciphertexts = append(d.ciphertexts, s)
	}
	return d, nil
}

// decrypt takes the receiver's share out of a dealing, with the ECDH point of dealer and receiver.
func (st *state) decrypt(d *dealing, dealer, receiver threshold.PartyID, k group.Point) group.Scalar {
	i := st.setup.Committee.Position(receiver)
	if receiver > dealer {
		i--
	}
	return st.Group.NewScalar().Sub(d.ciphertexts[i], st.pad(dealer, receiver, k))
}

// fits is Feldman's check: s·G = Σ x^k·C_k.
func (st *state) fits(d *dealing, receiver threshold.PartyID, s group.Scalar) bool {
	want := poly.EvalCommitments(st.Group, d.commitments, uint16(receiver))
	return st.Group.NewPoint().ScalarBaseMult(s).Equal(want)
}

func (r *round2) Advance(rand io.Reader, in []threshold.Received) (step, error) {
	st := r.st
	st.dealt = map[threshold.PartyID]*dealing{}
	var complaints []complaint
	for _, x := range in {
		d := x.Payload.(*dealing)
		st.dealt[x.From] = d
		if d.bad {
			c, err := st.complain(x.From, rand)
			if err != nil {
				return step{}, err
			}
			complaints = append(complaints, c)
		}
	}
	out, info, err := st.outcome()
	if err != nil {
		return step{}, err
	}
	r.done = true
	digest := info.Digest()
	body := canon.MustMarshal(verdict{digest[:], complaints})
	next := &round3{st: st, info: info, share: out, digest: digest, own: complaints}
	return step{Out: []threshold.Outgoing{{To: threshold.Everybody, Body: body}}, Next: next}, nil
}

func (r *round2) Erase() {
	if !r.done {
		r.st.wipe()
	}
}

// outcome adds up what was dealt.
func (st *state) outcome() (group.Scalar, threshold.KeyInfo, error) {
	g, c := st.Group, st.setup.Committee
	sum := make([]group.Point, st.t)
	for k := range sum {
		sum[k] = g.NewPoint().Set(st.ownCommit[k])
		for _, d := range st.dealt {
			sum[k].Add(sum[k], d.commitments[k])
		}
	}
	o := Outcome{Share: st.poly.Eval(uint16(st.setup.Self)), GroupKey: sum[0], Public: make([]group.Point, st.n)}
	for _, d := range st.dealt {
		o.Share.Add(o.Share, d.share)
	}
	for j, p := range c.Parties {
		o.Public[j] = poly.EvalCommitments(g, sum, uint16(p))
	}
	info := threshold.KeyInfo{Scheme: st.Scheme, Purpose: st.Purpose, Epoch: 1, Party: st.setup.Self, Committee: c}
	if st.old != nil {
		if err := st.addOld(&o); err != nil {
			return nil, info, err
		}
		info.Epoch, info.ChainCode = st.old.Epoch+1, st.old.ChainCode
	} else {
		info.ChainCode = st.chainCode()
		if st.Finish != nil {
			st.Finish(&o)
		}
	}
	if o.GroupKey.IsIdentity() || slices.ContainsFunc(o.Public, group.Point.IsIdentity) {
		return nil, info, &threshold.Abort{Kind: threshold.Retry, Check: "dkg-identity", Err: errors.New("a public share is the identity")}
	}
	info.GroupKey = o.GroupKey.Bytes()
	for _, p := range o.Public {
		info.PublicShares = append(info.PublicShares, p.Bytes())
	}
	return o.Share, info, nil
}

// addOld turns a sharing of zero into the next epoch of the old key.
func (st *state) addOld(o *Outcome) error {
	g := st.Group
	old, err := g.NewScalar().SetCanonical(st.old.Secret())
	if err != nil {
		return err
	}
	defer old.Wipe()
	o.Share.Add(o.Share, old)
	for j := range o.Public {
		x, err := g.NewPoint().SetCanonical(st.old.PublicShares[j])
		if err != nil {
			return err
		}
		o.Public[j].Add(o.Public[j], x)
	}
	o.GroupKey, err = g.NewPoint().SetCanonical(st.old.GroupKey)
	return err
}

func (st *state) chainCode() [32]byte {
	h := canon.NewHasher("mpcd/v1/dkg/chain-code", 1+st.n)
	h.Field(st.id[:])
	for _, p := range st.setup.Committee.Parties {
		if p == st.setup.Self {
			h.Field(st.ownChain[:])
		} else {
			d := st.dealt[p]
			h.Field(d.chain[:])
		}
	}
	return h.Sum()
}

// round3 waits for the verdicts of D3.
type round3 struct {
	st     *state
	info   threshold.KeyInfo
	share  group.Scalar
	digest [32]byte
	own    []complaint
}

// verdictMax bounds D3: n complaints of two points' size each, with room for the encoding.
func (st *state) verdictMax() int {
	return 64 + st.n*(32+st.Group.PointLen()+2*st.Group.ScalarLen())
}

func (r *round3) Expect() threshold.Expect {
	return threshold.Expect{Broadcast: true, MaxBytes: r.st.verdictMax()}
}

func (r *round3) Check(from threshold.PartyID, in threshold.Inbound) (threshold.Payload, error) {
	var v verdict
	if err := canon.Unmarshal(in.Broadcast, &v); err != nil {
		return nil, threshold.Fault(threshold.Proven, "dkg-verdict", err)
	}
	for _, c := range v.Complaints {
		if err := r.st.judge(from, c); err != nil {
			return nil, err
		}
	}
	if len(v.Complaints) == 0 && !bytes.Equal(v.Digest, r.digest[:]) {
		// The echo says it saw what we saw, and what we saw determines the key.
		return nil, threshold.Fault(threshold.Proven, "dkg-digest", errors.New("claims another key than the transcript gives"))
	}
	return nil, nil
}

func (r *round3) Advance(io.Reader, []threshold.Received) (step, error) {
	if len(r.own) > 0 {
		return step{}, r.st.blame(r.own[0].Dealer, "the share dealt to us does not fit the commitments")
	}
	public := r.st.Group.NewPoint().ScalarBaseMult(r.share)
	if !bytes.Equal(public.Bytes(), r.info.PublicShare(r.info.Party)) {
		return step{}, &threshold.Abort{Kind: threshold.Local, Check: "dkg-own-share", Err: errors.New("our share does not fit our public share")}
	}
	return step{Result: threshold.NewKeyShare(r.info, r.share.Bytes())}, nil
}

func (r *round3) Erase() {
	r.share.Wipe()
	r.st.wipe()
}
