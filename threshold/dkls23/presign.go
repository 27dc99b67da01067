package dkls23

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/ot"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// MaxBatch bounds the presignatures of one session: the answer of the vector OLE, 40 KB each, must fit a message.
const MaxBatch = 24

// The lengths of one entry's part in the messages of PROTOCOLS A.3.3.
const (
	pointLen      = 33
	commitmentLen = 32                           // R1 broadcast, for the whole batch
	direct1Len    = ot.Msg1Len                   // R1 direct: Bob's message
	public2Len    = 2 * pointLen                 // R2 broadcast: R_i ‖ pk_i; before them the salt, for the whole batch
	direct2Len    = ot.Msg2Len + 2*pointLen + 32 // R2 direct: Alice's answer ‖ Γu ‖ Γv ‖ ψ
	saltLen       = 32
	epochLen      = 32 + 8 // OPEN payload: ID ‖ pair-epoch of the pair state
)

// A batch fits into messages.
var _ [threshold.MaxBody - MaxBatch*direct2Len]struct{}

type (
	presignatures = []*threshold.Presignature
	step          = threshold.Step[presignatures]
)

// Presign implements threshold.Scheme: presignatures for any request, which Agree binds to one. There must be exactly t signers (C1).
func (x Scheme) Presign(s threshold.Setup, keys []threshold.PresignKey, rand io.Reader) (*threshold.Session[presignatures], error) {
	return x.presign(s, keys, nil, rand)
}

// PresignFor makes presignatures for the requests given, one of each key, and for nothing else: interactive signing. All signers
// must give the same requests, which are in the session ID, so no agreement is needed before SignShare.
func (x Scheme) PresignFor(s threshold.Setup, keys []threshold.PresignKey, reqs []threshold.SignRequest, rand io.Reader) (*threshold.Session[presignatures], error) {
	if len(reqs) != len(keys) {
		return nil, fmt.Errorf("dkls23: %d requests for %d keys", len(reqs), len(keys))
	}
	return x.presign(s, keys, reqs, rand)
}

func (x Scheme) presign(s threshold.Setup, keys []threshold.PresignKey, reqs []threshold.SignRequest, rand io.Reader) (*threshold.Session[presignatures], error) {
	p, err := x.newPresigning(s, keys, reqs)
	if err != nil {
		return nil, err
	}
	return p.session(rand)
}

func (x Scheme) newPresigning(s threshold.Setup, keys []threshold.PresignKey, reqs []threshold.SignRequest) (*presigning, error) {
	if len(keys) == 0 || len(keys) > MaxBatch {
		return nil, fmt.Errorf("dkls23: batch of %d presignatures, a session makes 1 to %d", len(keys), MaxBatch)
	}
	if s.Signers == nil {
		s.Signers = slices.Clone(s.Committee.Parties)
	}
	if err := s.Committee.CheckQuorum(s.Signers); err != nil {
		return nil, err
	}
	// C1: with more than t signers the sum of λ_i·x_i is still the key, but the security proof speaks of t.
	if len(s.Signers) != s.Committee.Threshold {
		return nil, fmt.Errorf("dkls23: %d signers, exactly %d must take part", len(s.Signers), s.Committee.Threshold)
	}
	p := &presigning{setup: s, active: slices.Contains(s.Signers, s.Self)}
	if err := p.bind(keys, reqs); err != nil {
		return nil, err
	}
	if p.active {
		if x.pairs == nil || x.pairs.Party != s.Self {
			return nil, fmt.Errorf("dkls23: party %d has no pair state: provision the committee first", s.Self)
		}
		pairs, err := x.pairs.with(s.Committee, s.Signers)
		if err != nil {
			return nil, err
		}
		for _, pr := range pairs {
			p.peers = append(p.peers, &peer{pair: pr})
		}
		p.epoch = append(x.pairs.ID[:], uint64Bytes(x.pairs.Epoch)...)
	}
	return p, nil
}

func (p *presigning) session(rand io.Reader) (*threshold.Session[presignatures], error) {
	return threshold.NewSession(p.setup, rand, threshold.Opening[presignatures]{
		Payload: p.epoch, PayloadLen: epochLen, Check: p.samePairs, Begin: p.begin, Judge: p.verify, Discard: discard})
}

// samePairs is C2 for the pair-epoch, which rides in OPEN rather than in the context: an observer needs no pair state.
func (p *presigning) samePairs(_ threshold.PartyID, payload []byte) (threshold.Payload, error) {
	if p.active && !bytes.Equal(payload, p.epoch) {
		return nil, &threshold.Abort{Kind: threshold.Retry, Check: "config-mismatch",
			Err: errors.New("dkls23: a peer has pair state of another setup: compare pair-epochs, and provision the committee again")}
	}
	return nil, nil
}

func discard(ps presignatures) {
	for _, p := range ps {
		p.Burn()
	}
}

// presigning is what one party knows during a session. After Begin, only the entries' and the peers' own fields change.
type presigning struct {
	setup   threshold.Setup
	active  bool
	epoch   []byte // ID ‖ pair-epoch of our pair state; none on an observer
	id      threshold.SessionID
	entries []*entry
	peers   []*peer // ascending; none on an observer
	salt    [saltLen]byte
}

// entry is one presignature in the making.
type entry struct {
	key   *signingKey
	bound *binding // nil if the presignature is for any request
	share *threshold.KeyShare
	sid   [32]byte

	r, phi, sk secp256k1.Scalar // r_i, φ_i, sk_i
	point      secp256k1.Point  // R_i
	public     secp256k1.Point  // pk_i
}

// peer is what is kept for one other signer. A round's Check touches only that of the sender, so Checks may run in parallel.
type peer struct {
	*pair
	ole    []*transfer // one an entry
	key    [streamKeyLen]byte
	answer []byte // R2 direct
	com    []byte // R1 broadcast
}

// transfer is both directions of one entry's vector OLE with a peer.
type transfer struct {
	receiving *ot.Receiving
	chi       secp256k1.Scalar    // χ_ij, what we have as Bob
	c, d      [2]secp256k1.Scalar // (c^u, c^v) as Alice, (d^u, d^v) as Bob
	psi       secp256k1.Scalar    // ψ_ji
}

// bind fills in the entries' keys and makes the context of the session, which binds keys and requests; a key without one
// is for any.
func (p *presigning) bind(keys []threshold.PresignKey, reqs []threshold.SignRequest) error {
	h := canon.NewHasher("mpcd/v1/dkls23/presign", 2+3*len(keys))
	h.Field([]byte(ID))
	h.Field(p.setup.Context)
	for i, k := range keys {
		info, err := p.admit(k)
		if err != nil {
			return err
		}
		e := &entry{share: k.Share}
		if e.key, err = newSigningKey(info); err != nil {
			return err
		}
		var message, tau []byte
		if reqs != nil {
			if reqs[i].Pre != nil || reqs[i].Agreement != nil {
				return errors.New("dkls23: a request to presign for has no presignature and no agreement yet")
			}
			if e.bound, err = newBinding(e.key, reqs[i]); err != nil {
				return err
			}
			message, tau = e.bound.message[:], e.bound.tau.Bytes()
		}
		h.Field(e.key.digest[:])
		h.Field(message)
		h.Field(tau)
		p.entries = append(p.entries, e)
	}
	sum := h.Sum()
	p.setup.Context = sum[:]
	return nil
}

// admit judges a key that the caller wants to presign for.
func (p *presigning) admit(k threshold.PresignKey) (threshold.KeyInfo, error) {
	info := k.Info
	if k.Share != nil {
		info = k.Share.KeyInfo
	}
	switch {
	case info.Scheme != k.Info.Scheme || info.Epoch != k.Info.Epoch || !bytes.Equal(info.GroupKey, k.Info.GroupKey):
		return info, errors.New("dkls23: key share and key record are not of one key and epoch")
	case info.Scheme != ID || info.Purpose != threshold.PurposeECDSA:
		return info, fmt.Errorf("dkls23: key of scheme %q for %q, this is %q for %q", info.Scheme, info.Purpose, ID, threshold.PurposeECDSA)
	case !info.Committee.Equal(p.setup.Committee):
		return info, errors.New("dkls23: key of another committee than the session's")
	case p.active && (k.Share == nil || k.Share.Party != p.setup.Self):
		return info, fmt.Errorf("dkls23: party %d presigns without its own key share", p.setup.Self)
	}
	return info, nil
}

// signingKey is which key a presignature is for.
type signingKey struct {
	encoded []byte
	point   secp256k1.Point
	epoch   uint64
	digest  [32]byte // of the record
}

func newSigningKey(info threshold.KeyInfo) (*signingKey, error) {
	k := &signingKey{encoded: info.GroupKey, epoch: info.Epoch, digest: info.Digest()}
	if _, err := k.point.SetBytes(info.GroupKey); err != nil {
		return nil, fmt.Errorf("dkls23: group key: %w", err)
	}
	return k, nil
}

// begin follows OPEN: draw r_i and φ_i, commit to R_i, start the vector OLE as Bob with everybody (R1).
func (p *presigning) begin(rand io.Reader, id threshold.SessionID, _ []threshold.Received) (_ step, err error) {
	p.id = id
	for i, e := range p.entries {
		e.sid = canon.Hash("mpcd/v1/dkls23/entry", id[:], uint32Bytes(i))
	}
	if !p.active {
		return step{Next: &round1{p: p}}, nil
	}
	defer func() {
		if err != nil {
			p.erase()
		}
	}()
	if err := p.draw(rand); err != nil {
		return step{}, err
	}
	com := p.commit(p.setup.Self, p.encoded(), p.salt[:])
	out := []threshold.Outgoing{{To: threshold.Everybody, Body: com[:]}}
	for _, x := range p.peers {
		body := make([]byte, 0, len(p.entries)*direct1Len)
		err := x.use(func() error {
			for _, e := range p.entries {
				t := &transfer{}
				x.ole = append(x.ole, t)
				receiving, b, msg, err := x.receiver.Start(directed(e.sid, p.setup.Self, x.peer), rand)
				if err != nil {
					return err
				}
				t.receiving, t.chi = receiving, *b
				b.Wipe()
				body = append(body, msg...)
			}
			return nil
		})
		if err != nil {
			return step{}, err
		}
		out = append(out, threshold.Outgoing{To: x.peer, Body: body})
	}
	return step{Out: out, Next: &round1{p: p}}, nil
}

// draw makes the secrets of every entry: r_i, φ_i and sk_i = λ_i·x_i + ζ_i.
func (p *presigning) draw(rand io.Reader) error {
	for _, x := range p.peers {
		if _, err := io.ReadFull(rand, x.key[:]); err != nil {
			return fmt.Errorf("dkls23: no randomness: %w", err)
		}
	}
	if _, err := io.ReadFull(rand, p.salt[:]); err != nil {
		return fmt.Errorf("dkls23: no randomness: %w", err)
	}
	lambda := &lagrange(p.setup.Self, p.setup.Signers).(*group.SkScalar).S
	for _, e := range p.entries {
		for _, s := range []*secp256k1.Scalar{&e.r, &e.phi} {
			if err := randomScalar(s, rand); err != nil {
				return err
			}
		}
		e.point.ScalarBaseMult(&e.r)
		if _, err := e.sk.SetBytes(e.share.Secret()); err != nil {
			return errors.New("dkls23: key share is not a scalar: the record is corrupt")
		}
		e.sk.Mul(&e.sk, lambda)
		for _, x := range p.peers {
			if err := x.use(func() error {
				z := x.zeroShare(p.setup.Self, e.sid)
				e.sk.Add(&e.sk, z)
				z.Wipe()
				return nil
			}); err != nil {
				return err
			}
		}
		e.public.ScalarBaseMult(&e.sk)
	}
	return nil
}

func randomScalar(s *secp256k1.Scalar, rand io.Reader) error {
	var wide [64]byte
	defer clear(wide[:])
	if _, err := io.ReadFull(rand, wide[:]); err != nil {
		return fmt.Errorf("dkls23: no randomness: %w", err)
	}
	_, err := s.SetUniformBytes(wide[:])
	return err
}

// encoded is our public values, R_i ‖ pk_i of every entry.
func (p *presigning) encoded() []byte {
	ps := make([]*secp256k1.Point, 0, 2*len(p.entries))
	for _, e := range p.entries {
		ps = append(ps, &e.point, &e.public)
	}
	return slices.Concat(secp256k1.BatchBytes(ps)...)
}

// commit is com_i = H("com-R"; sid, i, R_i of every entry, salt_i), of public values in the form of encoded.
func (p *presigning) commit(from threshold.PartyID, public, salt []byte) [32]byte {
	return commitment(p.id, from, len(p.entries), public, salt)
}

func commitment(id threshold.SessionID, from threshold.PartyID, entries int, public, salt []byte) [32]byte {
	h := canon.NewHasher("mpcd/v1/dkls23/commitment", 3+entries)
	h.Field(id[:])
	h.Field(partyBytes(from))
	for i := range entries {
		h.Field(public[i*public2Len:][:pointLen])
	}
	h.Field(salt)
	return h.Sum()
}

func (p *presigning) peer(id threshold.PartyID) *peer {
	return p.peers[slices.IndexFunc(p.peers, func(x *peer) bool { return x.peer == id })]
}

// erase wipes every secret of the session. It is idempotent.
func (p *presigning) erase() {
	for _, e := range p.entries {
		e.r.Wipe()
		e.phi.Wipe()
		e.sk.Wipe()
	}
	for _, x := range p.peers {
		clear(x.key[:])
		for _, t := range x.ole {
			t.wipe()
		}
	}
}

func (t *transfer) wipe() {
	t.chi.Wipe()
	t.psi.Wipe()
	for i := range t.c {
		t.c[i].Wipe()
		t.d[i].Wipe()
	}
	if t.receiving != nil {
		t.receiving.Wipe()
	}
}
