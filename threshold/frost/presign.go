package frost

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
)

// protocol is what requests call both schemes.
const protocol = "frost"

// MaxBatch bounds the presignatures of one session.
const MaxBatch = 512

// MaxBatch implements threshold.Scheme.
func (*rfcScheme) MaxBatch() int { return MaxBatch }

// MaxBatch implements threshold.Scheme.
func (taproot) MaxBatch() int { return MaxBatch }

// suite is what presigning does differently in the two variants.
type suite struct {
	group group.Group
	id    threshold.SchemeID
	draft string // of the standard, where it changed before it was final
	kind  threshold.KindID
	// nonces draws the secret nonces for one signature; extra is public and unique to session and entry.
	nonces func(share *threshold.KeyShare, extra []byte, rand io.Reader) (d, e group.Scalar, err error)
	// key judges a key with the quorum that will sign and returns what signing needs of them; it may be nil.
	key func(info threshold.KeyInfo, q *quorum) (any, error)
	// nonceSums is set where signing needs the sums of all hiding and of all binding commitments (BIP 445 NonceAgg).
	nonceSums bool
}

// newPresigning is the same for both variants: commitments in OPEN, no further round.
func newPresigning(x suite, s threshold.Setup, keys []threshold.PresignKey) (*presigning, error) {
	if len(keys) == 0 || len(keys) > MaxBatch {
		return nil, fmt.Errorf("frost: batch of %d presignatures, a session makes 1 to %d", len(keys), MaxBatch)
	}
	if s.Signers == nil {
		s.Signers = slices.Clone(s.Committee.Parties)
	}
	if err := s.Committee.CheckQuorum(s.Signers); err != nil {
		return nil, err
	}
	p := &presigning{suite: x, self: s.Self, quorum: newQuorum(x.group, s.Signers), entries: make([]entry, len(keys))}
	context, err := p.bindKeys(s, keys)
	if err != nil {
		return nil, err
	}
	s.Context = context
	p.setup = s
	return p, nil
}

// presign opens the session of one party.
func presign(x suite, s threshold.Setup, keys []threshold.PresignKey,
	rand io.Reader) (*threshold.Session[[]*threshold.Presignature], error) {
	p, err := newPresigning(x, s, keys)
	if err != nil {
		return nil, err
	}
	if slices.Contains(p.setup.Signers, s.Self) {
		if err := p.drawNonces(keys, rand); err != nil {
			p.erase()
			return nil, err
		}
	}
	return threshold.NewSession(p.setup, rand, threshold.Opening[[]*threshold.Presignature]{
		Payload: p.payload, PayloadLen: p.payloadLen(),
		Check: p.check, Begin: p.begin, Erase: p.erase, Judge: p.verify, Discard: func(pres []*threshold.Presignature) {
			for _, pre := range pres {
				pre.Burn()
			}
		},
	})
}

// presigning is one party's state until the session ID is made.
type presigning struct {
	suite
	setup   threshold.Setup
	self    threshold.PartyID
	quorum  *quorum
	entries []entry
	payload []byte
	handed  bool // the nonces are the presignatures' now
}

// entry is one presignature in the making; nonces is nil on an observer.
type entry struct {
	key    *signingKey
	nonces *noncePair
	own    commitment
}

// bindKeys fills in the entries' keys and returns the context of the session, which binds all of them in order.
func (p *presigning) bindKeys(s threshold.Setup, keys []threshold.PresignKey) ([]byte, error) {
	h := canon.NewHasher("mpcd/v1/frost/presign", 2+len(keys))
	h.Field([]byte(string(p.id) + p.draft))
	h.Field(s.Context)
	var digest [32]byte
	for i, k := range keys {
		if i > 0 && k.Share != nil && k.Share == keys[i-1].Share {
			p.entries[i].key = p.entries[i-1].key // one key many times over is the common batch
			h.Field(digest[:])
			continue
		}
		info := k.Info
		if k.Share != nil {
			info = k.Share.KeyInfo
		}
		digest = info.Digest()
		switch {
		case info.Kind != k.Info.Kind || info.Epoch != k.Info.Epoch || !bytes.Equal(info.GroupKey, k.Info.GroupKey):
			return nil, errors.New("frost: key share and key record are not of one key and epoch")
		case info.Kind != p.kind:
			return nil, kindError(info.Kind, p.kind)
		case !info.Committee.Equal(s.Committee):
			return nil, errors.New("frost: key of another committee than the session's")
		case slices.Contains(s.Signers, s.Self) && (k.Share == nil || k.Share.Party != s.Self):
			return nil, fmt.Errorf("frost: party %d presigns without its own key share", s.Self)
		}
		sk := &signingKey{kind: info.Kind, groupKey: info.GroupKey, epoch: info.Epoch}
		if p.key != nil {
			var err error
			if sk.detail, err = p.key(info, p.quorum); err != nil {
				return nil, err
			}
		}
		p.entries[i].key = sk
		h.Field(digest[:])
	}
	sum := h.Sum()
	return sum[:], nil
}

// drawNonces makes our nonces and commitments. The extra input of a nonce names ceremony, context and place, so that even a
// generator that repeats itself gives no nonce twice for two different purposes.
func (p *presigning) drawNonces(keys []threshold.PresignKey, rand io.Reader) error {
	points := make([]group.Point, 0, 2*len(keys))
	for i, k := range keys {
		extra := canon.Hash("mpcd/v1/frost/nonce", p.setup.Ceremony[:], p.setup.Context, uint32Bytes(i))
		d, e, err := p.nonces(k.Share, extra[:], rand)
		if err != nil {
			return err
		}
		en := &p.entries[i]
		en.nonces = &noncePair{d: d, e: e}
		en.own = commitment{p.group.NewPoint().ScalarBaseMult(d), p.group.NewPoint().ScalarBaseMult(e)}
		points = append(points, en.own.d, en.own.e)
	}
	for _, b := range group.BatchBytes(points) {
		p.payload = append(p.payload, b...)
	}
	n := 2 * p.group.PointLen()
	for i := range p.entries {
		p.entries[i].nonces.public = p.payload[i*n : (i+1)*n]
	}
	return nil
}

func (p *presigning) payloadLen() int { return len(p.entries) * 2 * p.group.PointLen() }

// check decodes a peer's commitments: canonical, in the prime-order group, not the identity (RFC 9591 §3.1, BIP 445 NonceAgg).
func (p *presigning) check(_ threshold.PartyID, b []byte) (threshold.Payload, error) {
	n := 2 * p.group.PointLen()
	out := make([]received, len(p.entries))
	for i := range out {
		c, err := decodeCommitment(p.group, b[i*n:(i+1)*n])
		if err != nil {
			return nil, threshold.Fault(threshold.Proven, "frost-commitment", err)
		}
		out[i] = received{c, b[i*n : (i+1)*n]}
	}
	return out, nil
}

// received is a peer's commitment and its encoding.
type received struct {
	commitment
	encoded []byte
}

func (p *presigning) begin(_ io.Reader, id threshold.SessionID,
	in []threshold.Received) (threshold.Step[[]*threshold.Presignature], error) {
	out := make([]*threshold.Presignature, len(p.entries))
	preps := make([]*prepared, len(p.entries))
	for i, e := range p.entries {
		pre := &threshold.Presignature{ID: canon.Hash("mpcd/v1/frost/presignature", id[:], uint32Bytes(i)), Scheme: p.id, Session: id,
			Signers: slices.Clone(p.quorum.signers)}
		prep := &prepared{quorum: p.quorum, key: e.key}
		peers := in
		for _, s := range p.quorum.signers {
			var r received
			if s == p.self {
				r = received{e.own, e.nonces.public}
			} else {
				r = peers[0].Payload.([]received)[i]
				peers = peers[1:]
			}
			prep.commitments = append(prep.commitments, r.commitment)
			prep.encoded = append(prep.encoded, r.encoded)
			pre.Commitments = append(pre.Commitments, r.encoded)
		}
		pre.Prepared = prep
		if e.nonces != nil {
			pre.Nonces = e.nonces
		}
		out[i], preps[i] = pre, prep
	}
	if p.nonceSums {
		sumNonces(preps)
	}
	p.handed = true
	return threshold.Step[[]*threshold.Presignature]{Result: out}, nil
}

func (p *presigning) erase() {
	if p.handed {
		return
	}
	for _, e := range p.entries {
		if e.nonces != nil {
			e.nonces.Burn()
		}
	}
}

func kindError(got, want threshold.KindID) error {
	return fmt.Errorf("frost: a key of kind %q, this scheme is for %q", got, want)
}

func uint32Bytes(i int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(i)) }
