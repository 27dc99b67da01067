package dkls23

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/ot"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// ErrBanned is behind every refusal to work with a party that was caught cheating, in this pair-epoch or before.
var ErrBanned = errors.New("dkls23: this party cheated and is banned; an operator who trusts it again releases it in a refresh")

// ErrDestroyed is behind every refusal to go on with a pair-epoch that has ended.
var ErrDestroyed = errors.New("dkls23: the pair-epoch has ended; try again with the new pair state")

// pair is what we share with one peer: both directions of the OT extension and the seed of zero shares. Sessions use it at the
// same time, in any goroutine; a ban lets nobody in any more, and who leaves last wipes it.
type pair struct {
	peer     threshold.PartyID
	sender   *ot.Sender   // we are Alice
	receiver *ot.Receiver // we are Bob
	seed     [32]byte     // z_ij

	state atomic.Uint32
	users atomic.Int64 // and one for the owner, until it is closed
}

// The states of a pair. The last two are final.
const (
	open      = 0
	banned    = 1
	destroyed = 2 // with the whole pair state: nobody is to blame
)

func newPair(peer threshold.PartyID) *pair {
	p := &pair{peer: peer}
	p.users.Store(1)
	return p
}

// enter admits a user, who must leave.
func (p *pair) enter() bool {
	for {
		n := p.users.Load()
		if n == 0 || p.state.Load() != open {
			return false
		}
		if p.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (p *pair) leave() {
	if p.users.Add(-1) == 0 {
		p.wipe()
	}
}

// close lets nobody in any more, because of a ban or because the pair state is destroyed. It is idempotent.
func (p *pair) close(state uint32) {
	if p.state.CompareAndSwap(open, state) {
		p.leave()
	}
}

func (p *pair) wipe() {
	if p.sender != nil {
		p.sender.Wipe()
	}
	if p.receiver != nil {
		p.receiver.Wipe()
	}
	clear(p.seed[:])
}

// use runs f unless the pair is closed; then the session that asked dies with check C17.
func (p *pair) use(f func() error) error {
	if !p.enter() {
		return p.refusal()
	}
	defer p.leave()
	return f()
}

// refusal is how every other session with a banned peer ends, or with one of a pair-epoch that is over; nil while the pair is open.
func (p *pair) refusal() error {
	switch p.state.Load() {
	case banned:
		return &threshold.Abort{Kind: threshold.Ban, Check: "C17", Culprits: []threshold.PartyID{p.peer}, Err: ErrBanned}
	case destroyed:
		return &threshold.Abort{Kind: threshold.Retry, Check: "C17", Err: ErrDestroyed}
	}
	return nil
}

// cheated bans the peer in memory, so that concurrent sessions die, and makes the fault. The caller of the session writes the ban
// down before it sends anything (pairState.Bytes holds it).
func (p *pair) cheated(check string, err error) error {
	p.close(banned)
	return threshold.Fault(threshold.Ban, check, err)
}

// judge names the failure of an OT message: cheat is the check that the package ot made, malformed the one of its form.
func (p *pair) judge(err error, cheat, malformed string) error {
	switch {
	case errors.Is(err, ot.ErrCheat):
		return p.cheated(cheat, err)
	case errors.Is(err, ot.ErrMalformed):
		return p.cheated(malformed, err)
	}
	return fmt.Errorf("dkls23: transfer with party %d: %w", p.peer, err)
}

// zeroShare is this party's summand of a sharing of zero in the session: the lower party adds it, the higher one subtracts it.
func (p *pair) zeroShare(self threshold.PartyID, sid [32]byte) *secp256k1.Scalar {
	h := canon.Hash("mpcd/v1/dkls23/zero-share", p.seed[:], sid[:])
	s := new(secp256k1.Scalar).SetBytesReduced(h[:])
	clear(h[:])
	if self > p.peer {
		s.Negate(s)
	}
	return s
}

func partyBytes(p threshold.PartyID) []byte { return []byte{byte(p >> 8), byte(p)} }

// directed is the session ID of one direction between two parties: bob is the receiver of the vector OLE.
func directed(sid [32]byte, bob, alice threshold.PartyID) [32]byte {
	return canon.Hash("mpcd/v1/dkls23/pair", sid[:], partyBytes(bob), partyBytes(alice))
}
