package dkls23

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
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

// PresignFor implements threshold.Pooler: presignatures for the requests given, one of each key, and for nothing else, which is
// interactive signing. All signers must give the same requests, which are in the session ID, so no agreement is needed before SignShare.
func (x Scheme) PresignFor(s threshold.Setup, keys []threshold.PresignKey, reqs []threshold.SignRequest,
	rand io.Reader) (*threshold.Session[presignatures], error) {
	if len(reqs) != len(keys) {
		return nil, fmt.Errorf("dkls23: %d requests for %d keys", len(reqs), len(keys))
	}
	return x.presign(s, keys, reqs, rand)
}

func (x Scheme) presign(s threshold.Setup, keys []threshold.PresignKey, reqs []threshold.SignRequest,
	rand io.Reader) (*threshold.Session[presignatures], error) {
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
		if x.pairs == nil || x.pairs.party != s.Self {
			return nil, fmt.Errorf("dkls23: party %d has no pair state: run the pair setup of the committee first", s.Self)
		}
		pairs, err := x.pairs.with(s.Committee, s.Signers)
		if err != nil {
			return nil, err
		}
		for _, pr := range pairs {
			p.peers = append(p.peers, &peer{pair: pr})
		}
		p.epoch = append(x.pairs.id[:], uint64Bytes(x.pairs.epoch)...)
	}
	return p, nil
}

func (p *presigning) session(rand io.Reader) (*threshold.Session[presignatures], error) {
	return threshold.NewSession(p.setup, rand, threshold.Opening[presignatures]{
		Payload: p.epoch, PayloadLen: epochLen, Check: p.samePairs, Hedge: p.hedge, Begin: p.begin, Judge: p.verify, Discard: discard})
}

// hedge lends the key shares.
func (p *presigning) hedge() [][]byte {
	out := make([][]byte, len(p.entries))
	for i, e := range p.entries {
		out[i] = e.share.Secret()
	}
	return out
}

// samePairs is C2 for the pair-epoch, which rides in OPEN rather than in the context: an observer needs no pair state.
func (p *presigning) samePairs(_ threshold.PartyID, payload []byte) (threshold.Payload, error) {
	if p.active && !bytes.Equal(payload, p.epoch) {
		return nil, &threshold.Abort{Kind: threshold.Retry, Check: "config-mismatch",
			Err: errors.New("dkls23: a peer has pair state of another setup: compare pair-epochs, and run the pair setup of the committee again")}
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
	key    [threshold.StreamKeyLen]byte
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
	h.Field([]byte(protocol))
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
	case info.Kind != k.Info.Kind || info.Epoch != k.Info.Epoch || !bytes.Equal(info.GroupKey, k.Info.GroupKey):
		return info, errors.New("dkls23: key share and key record are not of one key and epoch")
	case info.Kind != threshold.ECDSA.ID:
		return info, kindError(info.Kind)
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
