package dkls23

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/ot"
)

// pairState is one party's pair state with every other party of a committee, for one pair-epoch and all its keys. Its owner calls
// Destroy. It may be used by many sessions at once.
type pairState struct {
	id        [32]byte // hash of the setup's transcript, the same for all parties: what success certificates are about
	epoch     uint64   // pair-epoch, chosen by the caller
	party     threshold.PartyID
	committee threshold.Committee
	pairs     []*pair // ascending, without Party
}

// Digest implements threshold.PairState: the hash of the setup's transcript.
func (p *pairState) Digest() [32]byte { return p.id }

// PairEpoch implements threshold.PairState.
func (p *pairState) PairEpoch() uint64 { return p.epoch }

// String names the pair state without its secrets.
func (p pairState) String() string {
	return fmt.Sprintf("pair state of party %d with %d others, pair-epoch %d", p.party, len(p.pairs), p.epoch)
}

// Format is String for every verb.
func (p pairState) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// Ban destroys the state shared with a peer: concurrent sessions with it end with check C17, presignatures made with it no longer
// sign, new sessions are refused. It is idempotent. The engine bans by itself on a fault of kind Ban; the caller stores Bytes again
// before it sends what comes with the abort.
func (p *pairState) Ban(peer threshold.PartyID) {
	if x := p.pair(peer); x != nil {
		x.close(banned)
	}
}

// Banned lists the peers with whom there is no state any more.
func (p *pairState) Banned() []threshold.PartyID {
	var out []threshold.PartyID
	for _, x := range p.pairs {
		if x.state.Load() == banned {
			out = append(out, x.peer)
		}
	}
	return out
}

// Destroy wipes everything, as soon as the sessions that use it have left. Nobody is blamed for what ends with it: sessions retry,
// presignatures are gone. It is idempotent.
func (p *pairState) Destroy() {
	if p == nil {
		return
	}
	for _, x := range p.pairs {
		x.close(destroyed)
	}
}

func (p *pairState) pair(peer threshold.PartyID) *pair {
	for _, x := range p.pairs {
		if x.peer == peer {
			return x
		}
	}
	return nil
}

// with returns the pairs with the other signers, all of whom must be those we made them with and none banned.
func (p *pairState) with(c threshold.Committee, signers []threshold.PartyID) ([]*pair, error) {
	var out []*pair
	for _, s := range signers {
		if !bytes.Equal(c.Identity(s), p.committee.Identity(s)) {
			return nil, fmt.Errorf("dkls23: no pair setup with party %d under its identity key; run the pair setup of the committee first", s)
		}
		if s == p.party {
			continue
		}
		x := p.pair(s)
		if err := x.refusal(); err != nil {
			return nil, fmt.Errorf("dkls23: party %d: %w", s, err)
		}
		out = append(out, x)
	}
	return out, nil
}

type pairStateBytes struct {
	Version   uint8               `cbor:"1,keyasint"`
	ID        [32]byte            `cbor:"2,keyasint"`
	Epoch     uint64              `cbor:"3,keyasint"`
	Party     threshold.PartyID   `cbor:"4,keyasint"`
	Committee threshold.Committee `cbor:"5,keyasint"`
	Pairs     []pairBytes         `cbor:"6,keyasint"`
}

// pairBytes is one pair; all empty for a banned peer.
type pairBytes struct {
	Sender   []byte `cbor:"1,keyasint,omitempty"`
	Receiver []byte `cbor:"2,keyasint,omitempty"`
	Seed     []byte `cbor:"3,keyasint,omitempty"`
}

func (b *pairBytes) wipe() {
	secret.Wipe(b.Sender)
	secret.Wipe(b.Receiver)
	secret.Wipe(b.Seed)
}

const pairStateVersion = 1

// moved copies a secret out, for the encoder, and wipes it.
func moved(s *secret.Bytes) []byte {
	defer s.Wipe()
	return bytes.Clone(s.Bytes())
}

// Bytes encodes the state, secrets included, for the vault. The caller wipes what it is given. Of a banned peer nothing is left in
// it but the ban. It panics after Destroy: what it would write looks like bans.
func (p *pairState) Bytes() *secret.Bytes {
	v := pairStateBytes{pairStateVersion, p.id, p.epoch, p.party, p.committee, make([]pairBytes, len(p.pairs))}
	for i, x := range p.pairs {
		b := &v.Pairs[i]
		defer b.wipe()
		if !x.enter() {
			if x.state.Load() == destroyed {
				panic("dkls23: pair state stored after it was destroyed")
			}
			continue
		}
		b.Sender, b.Receiver, b.Seed = moved(x.sender.Bytes()), moved(x.receiver.Bytes()), bytes.Clone(x.seed[:])
		x.leave()
	}
	return secret.From(canon.MustMarshal(v))
}

var errPairState = errors.New("dkls23: pair state record is malformed")

// parsePairState reads what Bytes wrote.
func parsePairState(b []byte) (*pairState, error) {
	var v pairStateBytes
	err := canon.UnmarshalVersion(b, pairStateVersion, &v)
	defer func() {
		for i := range v.Pairs {
			v.Pairs[i].wipe()
		}
	}()
	var other *canon.VersionError
	if errors.As(err, &other) {
		return nil, fmt.Errorf("dkls23: pair state %w", other)
	}
	if err != nil {
		return nil, errPairState
	}
	if err := v.Committee.Validate(); err != nil {
		return nil, err
	}
	if !v.Committee.Contains(v.Party) || len(v.Pairs) != v.Committee.N()-1 {
		return nil, errPairState
	}
	p := &pairState{id: v.ID, epoch: v.Epoch, party: v.Party, committee: v.Committee}
	for i, peer := range peersOf(v.Committee.Parties, v.Party) {
		x, err := parsePair(peer, v.Pairs[i])
		if err != nil {
			p.Destroy()
			return nil, err
		}
		p.pairs = append(p.pairs, x)
	}
	return p, nil
}

func parsePair(peer threshold.PartyID, b pairBytes) (*pair, error) {
	x := newPair(peer)
	if b.Sender == nil && b.Receiver == nil && b.Seed == nil {
		x.close(banned)
		return x, nil
	}
	var err error
	if len(b.Seed) != len(x.seed) {
		return nil, errPairState
	}
	if x.sender, err = ot.ParseSender(b.Sender); err != nil {
		return nil, errPairState
	}
	if x.receiver, err = ot.ParseReceiver(b.Receiver); err != nil {
		x.close(destroyed)
		return nil, errPairState
	}
	copy(x.seed[:], b.Seed)
	return x, nil
}

// peersOf is the list without self, in its order.
func peersOf(parties []threshold.PartyID, self threshold.PartyID) []threshold.PartyID {
	return slices.DeleteFunc(slices.Clone(parties), func(p threshold.PartyID) bool { return p == self })
}
