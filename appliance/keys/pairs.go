package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// Some schemes need pair state, which a committee makes once for all its keys (threshold.Pairer). It is made in a
// ceremony of its own inside the first keygen of the committee, and made anew inside every refresh, because shares of a new epoch
// under old pair state would not protect the old shares (PROTOCOLS A.3.7). It is stored sealed as "next" when it is made, attested
// with the key's certificate, and takes the place of the one before when the certificate is complete.

// Pairs holds the current pair state of each committee, opened.
type Pairs struct {
	Damage  *Damage // of pair state; nil remembers none
	vault   *vault.Vault
	ended   func(digest [32]byte)           // is told that pair state is over
	hit     func(peers []threshold.PartyID) // is told whom a ban hit
	writing sync.Mutex                      // held while the vault is read or written, before mu
	mu      sync.Mutex
	m       map[string]threshold.PairState
}

// NewPairs keeps pair state in a vault. ended is told of pair state that is over, banned of peers that a ban hit.
func NewPairs(v *vault.Vault, ended func([32]byte), banned func([]threshold.PartyID)) *Pairs {
	return &Pairs{vault: v, ended: ended, hit: banned, m: map[string]threshold.PairState{}}
}

// pairStateName names a committee's pair state: its scheme, members and identity keys, whatever the threshold.
func pairStateName(s threshold.SchemeID, c threshold.Committee) string {
	c.Threshold = 0
	h := canon.Hash("mpcd/v1/pair-state/name", []byte(s), canon.MustMarshal(c))
	return fmt.Sprintf("pair-state/%x", h[:16])
}

func nextName(name string) string { return name + "/next" }

// pairStateOf is it in words.
func pairStateOf(c threshold.Committee) string {
	text := "the pair state of parties "
	for i, p := range c.Parties {
		switch {
		case i > 0 && i == c.N()-1:
			text += " and "
		case i > 0:
			text += ", "
		}
		text += fmt.Sprint(p)
	}
	return text
}

// Current returns the committee's pair state, nil if there is none.
func (v *Pairs) Current(ctx context.Context, s threshold.Pairer, c threshold.Committee) (threshold.PairState, error) {
	name := pairStateName(s.ID(), c)
	if p := v.opened(name); p != nil {
		return p, nil
	}
	v.writing.Lock()
	defer v.writing.Unlock()
	if p := v.opened(name); p != nil {
		return p, nil
	}
	p, err := v.load(ctx, s, c, name)
	if p != nil {
		v.put(name, p)
	}
	return p, err
}

func (v *Pairs) opened(name string) threshold.PairState {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.m[name]
}

func (v *Pairs) put(name string, p threshold.PairState) (old threshold.PairState) {
	v.mu.Lock()
	defer v.mu.Unlock()
	old, v.m[name] = v.m[name], p
	return old
}

// load opens pair state of a committee by its name, or that of the next; nil if there is none.
func (v *Pairs) load(ctx context.Context, s threshold.Pairer, c threshold.Committee, name string) (threshold.PairState, error) {
	b, err := v.vault.GetSecret(ctx, name)
	if errors.Is(err, vault.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, v.Damage.Failed(pairStateOf(c), "cannot be opened", err)
	}
	defer b.Wipe()
	p, err := s.ParsePairState(b.Bytes())
	if err != nil {
		return nil, v.Damage.Unreadable(pairStateOf(c), err)
	}
	v.Damage.Opened(pairStateOf(c))
	return p, nil
}

func (v *Pairs) store(ctx context.Context, c threshold.Committee, name string, p threshold.PairState) error {
	b := p.Bytes()
	defer b.Wipe()
	if err := v.vault.PutSecret(ctx, name, b.Bytes()); err != nil {
		return v.Damage.Failed(pairStateOf(c), "cannot be stored", err)
	}
	v.Damage.Opened(pairStateOf(c))
	return nil
}

// Adopt makes the committee's next pair state, if its digest is the certified one, the current, and destroys what was before. A peer that
// was banned stays so, unless an operator has released it from that ban: a coordinator alone, who may be the peer, ends no ban.
func (v *Pairs) Adopt(ctx context.Context, s threshold.Pairer, c threshold.Committee, digest [32]byte) error {
	name := pairStateName(s.ID(), c)
	v.writing.Lock()
	defer v.writing.Unlock()
	p, err := v.load(ctx, s, c, nextName(name))
	if err != nil || p == nil || p.Digest() != digest {
		return err
	}
	old := v.opened(name)
	if old == nil {
		if old, err = v.load(ctx, s, c, name); err != nil {
			return err
		}
	}
	if old != nil && old.Digest() == digest { // adopted before a crash, with the bans that it has
		return v.vault.DeleteSecret(ctx, nextName(name))
	}
	if err := v.carryBans(ctx, c, name, old, p); err != nil {
		return err
	}
	if err := v.store(ctx, c, name, p); err != nil {
		return err
	}
	v.put(name, p)
	if old != nil {
		v.ended(old.Digest())
		old.Destroy()
	}
	return v.vault.DeleteSecret(ctx, nextName(name))
}

// release is what a committee's operator has released: peers that the pair state of the digest has banned.
type release struct {
	Version uint8               `cbor:"1,keyasint"`
	Digest  [32]byte            `cbor:"2,keyasint"`
	Peers   []threshold.PartyID `cbor:"3,keyasint"`
}

const releaseVersion = 1

func releaseName(name string) string { return name + "/release" }

// Release ends the bans of peers, durably: the next pair state of the committee will not have them. It is an operator's act.
func (v *Pairs) Release(ctx context.Context, s threshold.Scheme, c threshold.Committee, peers []threshold.PartyID) error {
	pairer, p, err := v.State(ctx, s, c)
	if err != nil || p == nil {
		return err
	}
	v.writing.Lock()
	defer v.writing.Unlock()
	r := release{releaseVersion, p.Digest(), peers}
	return v.vault.PutSecret(ctx, releaseName(pairStateName(pairer.ID(), c)), canon.MustMarshal(r))
}

// carryBans bans in p whom old, which may be nil, has banned and no operator has released.
func (v *Pairs) carryBans(ctx context.Context, c threshold.Committee, name string, old, p threshold.PairState) error {
	if old == nil || len(old.Banned()) == 0 {
		return nil
	}
	what := "the record of released bans of " + pairStateOf(c)
	var r release
	b, err := v.vault.GetSecret(ctx, releaseName(name))
	switch {
	case errors.Is(err, vault.ErrNotFound):
	case err != nil:
		return v.Damage.Failed(what, "cannot be read", err)
	default:
		defer b.Wipe()
		if err := canon.UnmarshalVersion(b.Bytes(), releaseVersion, &r); err != nil {
			return v.Damage.Unreadable(what, err)
		}
	}
	v.Damage.Opened(what)
	for _, peer := range old.Banned() {
		if r.Digest != old.Digest() || !slices.Contains(r.Peers, peer) {
			p.Ban(peer)
		}
	}
	return nil
}

// KeepBans stores the pair state again when an abort has banned a peer, before anybody is told of the abort.
func (v *Pairs) KeepBans(ctx context.Context, s threshold.Pairer, c threshold.Committee, p threshold.PairState, err error) error {
	var abort *threshold.Abort
	if p == nil || !errors.As(err, &abort) || abort.Kind != threshold.Ban {
		return nil
	}
	v.hit(abort.Culprits)
	v.writing.Lock()
	defer v.writing.Unlock()
	name := pairStateName(s.ID(), c)
	if v.opened(name) != p {
		return nil // of a pair-epoch that is over
	}
	return v.store(context.WithoutCancel(ctx), c, name, p)
}

// Banned tells whether the peer is banned in any committee's current pair state that is opened.
func (v *Pairs) Banned(peer threshold.PartyID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range v.m {
		if slices.Contains(p.Banned(), peer) {
			return true
		}
	}
	return false
}

// Close wipes all of it.
func (v *Pairs) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range v.m {
		p.Destroy()
	}
	clear(v.m)
}

// ProposedPairs is what a proposal says about the committee's pair state.
type ProposedPairs struct {
	Digest [32]byte `cbor:"1,keyasint,omitempty"` // the current one, which every party must have
	Epoch  uint64   `cbor:"2,keyasint,omitempty"` // not 0: the parties make the pair state of this pair-epoch
}

// DigestOf is that of the current pair state, zero for a scheme that has none.
func (x *ProposedPairs) DigestOf() [32]byte {
	if x == nil {
		return [32]byte{}
	}
	return x.Digest
}

// State tells whether the scheme needs pair state, and which this node has: a nil first result is no, a nil second is none yet.
func (v *Pairs) State(ctx context.Context, scheme threshold.Scheme, c threshold.Committee) (threshold.Pairer, threshold.PairState, error) {
	s, ok := scheme.(threshold.Pairer)
	if !ok {
		return nil, nil, nil
	}
	p, err := v.Current(ctx, s, c)
	return s, p, err
}

// maxPairEpoch bounds what a proposal may name as a pair-epoch. It is a number to tell pair states by; which one a party has is its digest.
// So none is refused for being lower than ours: who is told a high one would be at the end of all numbers.
const maxPairEpoch = 1<<63 - 1

// Propose is what this node, as coordinator, proposes: the pair state it has, or, with renew or without any, the next, with a pair-epoch
// above its own and above what others told; after the highest comes the first.
func (v *Pairs) Propose(ctx context.Context, scheme threshold.Scheme, c threshold.Committee, renew bool,
	above uint64) (*ProposedPairs, error) {
	s, p, err := v.State(ctx, scheme, c)
	switch {
	case err != nil || s == nil:
		return nil, err
	case p != nil && !renew:
		return &ProposedPairs{Digest: p.Digest()}, nil
	case p != nil:
		above = max(p.PairEpoch(), above)
	}
	if above >= maxPairEpoch {
		above = 0
	}
	return &ProposedPairs{Epoch: above + 1}, nil
}

// Proposed is State, if it is what a proposal goes by, which must make new pair state where renew says so. It fails with a *problem.Error
// of code PairState where it is another.
func (v *Pairs) Proposed(ctx context.Context, scheme threshold.Scheme, c threshold.Committee, x *ProposedPairs,
	renew bool) (threshold.Pairer, threshold.PairState, error) {
	s, p, err := v.State(ctx, scheme, c)
	if err == nil {
		err = x.check(s, p, renew)
	}
	return s, p, err
}

// check holds a proposal's pair state against what this node has.
func (x *ProposedPairs) check(s threshold.Pairer, p threshold.PairState, renew bool) error {
	var epoch uint64
	if p != nil {
		epoch = p.PairEpoch()
	}
	switch {
	case s == nil && x == nil:
		return nil
	case s == nil || x == nil:
		return problem.New(problem.Invalid, "run the same version on all nodes", "the proposal's pair state does not fit its scheme")
	case renew && x.Epoch == 0:
		return problem.New(problem.Invalid, "see that node's log: it may have been tampered with",
			"a refresh makes new pair state, and the coordinator's keeps the old: whoever has that unmasks the old shares")
	case x.Epoch > maxPairEpoch:
		return problem.New(problem.Invalid, "see that node's log: it may have been tampered with", "there is no pair-epoch %d", x.Epoch)
	case x.Epoch != 0 && p != nil && x.Epoch == epoch, x.Epoch == 0 && (p == nil || p.Digest() != x.Digest):
		return &problem.Error{Code: problem.PairState, Epoch: epoch,
			Message: fmt.Sprintf("this node is at pair-epoch %d with the committee, the coordinator is not", epoch),
			Next:    "repeat the request; if that does not help, refresh a key of this committee"}
	}
	return nil
}

// CheckBans refuses a quorum with a peer that was caught cheating in this pair-epoch; nodes names parties.
func CheckBans(p threshold.PairState, signers []threshold.PartyID, nodes func([]threshold.PartyID) []transport.NodeID) error {
	for _, b := range p.Banned() {
		if slices.Contains(signers, b) {
			culprits := nodes([]threshold.PartyID{b})
			return &problem.Error{Code: problem.Blame, Culprits: culprits,
				Message: fmt.Sprintf("node %q cheated in this pair-epoch and is banned", culprits[0]),
				Next:    "choose other signers; once the node is trusted again, refresh a key of this committee through this node with release"}
		}
	}
	return nil
}

// BannedOf are the peers that this node has banned for a key's committee.
func (v *Pairs) BannedOf(ctx context.Context, k Key) ([]threshold.PartyID, error) {
	_, p, err := v.State(ctx, k.Scheme, k.Record.Info.Committee)
	if err != nil || p == nil {
		return nil, err
	}
	return p.Banned(), nil
}

// LockName is what a Ring's lock of a committee's pair state goes by.
func LockName(s threshold.Pairer, c threshold.Committee) string { return pairStateName(s.ID(), c) }

// StoreNext stores pair state that was made, to be adopted when the key that goes with it is certified.
func (v *Pairs) StoreNext(ctx context.Context, s threshold.Pairer, c threshold.Committee, p threshold.PairState) error {
	return v.store(ctx, c, nextName(pairStateName(s.ID(), c)), p)
}
