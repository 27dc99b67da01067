package appliance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// Some schemes need secret material that a committee makes once for all its keys (threshold.Provisioner). It is made in a
// ceremony of its own inside the first keygen of the committee, and made anew inside every refresh, because shares of a new epoch
// under old pair state would not protect the old shares (PROTOCOLS A.3.7). It is stored sealed as "next" when it is made, attested
// with the key's certificate, and takes the place of the one before when the certificate is complete.

// provisions holds the current material of each committee, opened.
type provisions struct {
	n       *Node
	writing sync.Mutex // held while the vault is read or written, before mu
	mu      sync.Mutex
	m       map[string]threshold.Provision
}

func newProvisions(n *Node) *provisions {
	return &provisions{n: n, m: map[string]threshold.Provision{}}
}

// provisionName names a committee's material: its scheme, members and identity keys, whatever the threshold.
func provisionName(s threshold.SchemeID, c threshold.Committee) string {
	c.Threshold = 0
	h := canon.Hash("mpcd/v1/provision/name", []byte(s), canon.MustMarshal(c))
	return fmt.Sprintf("provision/%x", h[:16])
}

func nextName(name string) string { return name + "/next" }

// current returns the committee's material, nil if there is none.
func (v *provisions) current(ctx context.Context, s threshold.Provisioner, c threshold.Committee) (threshold.Provision, error) {
	name := provisionName(s.ID(), c)
	if p := v.opened(name); p != nil {
		return p, nil
	}
	v.writing.Lock()
	defer v.writing.Unlock()
	if p := v.opened(name); p != nil {
		return p, nil
	}
	p, err := v.load(ctx, s, name)
	if p != nil {
		v.put(name, p)
	}
	return p, err
}

func (v *provisions) opened(name string) threshold.Provision {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.m[name]
}

func (v *provisions) put(name string, p threshold.Provision) (old threshold.Provision) {
	v.mu.Lock()
	defer v.mu.Unlock()
	old, v.m[name] = v.m[name], p
	return old
}

func (v *provisions) load(ctx context.Context, s threshold.Provisioner, name string) (threshold.Provision, error) {
	b, err := v.n.Vault.GetSecret(ctx, name)
	if errors.Is(err, vault.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, &problem.Error{Code: vaultCode(err), Message: "the pair state of a committee cannot be opened", Next: "run mpcd doctor", Err: err}
	}
	defer b.Wipe()
	return s.ParseProvision(b.Bytes())
}

func (v *provisions) store(ctx context.Context, name string, p threshold.Provision) error {
	b := p.Bytes()
	defer b.Wipe()
	if err := v.n.Vault.PutSecret(ctx, name, b.Bytes()); err != nil {
		return &problem.Error{Code: vaultCode(err), Message: "the pair state of a committee cannot be stored", Next: "check the disk and the token; run mpcd doctor", Err: err}
	}
	return nil
}

// adopt makes the committee's next material, if its digest is the certified one, the current, and destroys what was before.
func (v *provisions) adopt(ctx context.Context, s threshold.Provisioner, c threshold.Committee, digest [32]byte) error {
	name := provisionName(s.ID(), c)
	v.writing.Lock()
	defer v.writing.Unlock()
	p, err := v.load(ctx, s, nextName(name))
	if err != nil || p == nil || p.Digest() != digest {
		return err
	}
	if err := v.store(ctx, name, p); err != nil {
		return err
	}
	if old := v.put(name, p); old != nil {
		v.n.pool.dropPairs(old.Digest())
		old.Destroy()
	}
	return v.n.Vault.DeleteSecret(ctx, nextName(name))
}

// keepBans stores the material again when an abort has banned a peer, before anybody is told of the abort.
func (v *provisions) keepBans(ctx context.Context, s threshold.Provisioner, c threshold.Committee, p threshold.Provision, err error) error {
	var abort *threshold.Abort
	if p == nil || !errors.As(err, &abort) || abort.Kind != threshold.Ban {
		return nil
	}
	v.n.pool.dropPeers(abort.Culprits)
	v.writing.Lock()
	defer v.writing.Unlock()
	name := provisionName(s.ID(), c)
	if v.opened(name) != p {
		return nil // of a pair-epoch that is over
	}
	return v.store(context.WithoutCancel(ctx), name, p)
}

// banned tells whether the peer is banned in any committee's current material that is opened.
func (v *provisions) banned(peer threshold.PartyID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range v.m {
		if slices.Contains(p.Banned(), peer) {
			return true
		}
	}
	return false
}

func (v *provisions) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range v.m {
		p.Destroy()
	}
	clear(v.m)
}

// pairing is what a proposal says about the committee's material.
type pairing struct {
	Digest [32]byte `cbor:"1,keyasint,omitempty"` // the current one, which every party must have
	Epoch  uint64   `cbor:"2,keyasint,omitempty"` // not 0: the parties make the material of this pair-epoch
}

// provisioned tells whether the scheme needs material, and which this node has.
func (n *Node) provisioned(ctx context.Context, scheme threshold.Scheme, c threshold.Committee) (threshold.Provisioner, threshold.Provision, error) {
	s, ok := scheme.(threshold.Provisioner)
	if !ok {
		return nil, nil, nil
	}
	p, err := n.pairs.current(ctx, s, c)
	return s, p, err
}

// pairingFor is what this node, as coordinator, proposes: the material it has, or, with renew or without any, the next.
func (n *Node) pairingFor(ctx context.Context, scheme threshold.Scheme, c threshold.Committee, renew bool, atLeast uint64) (*pairing, error) {
	s, p, err := n.provisioned(ctx, scheme, c)
	switch {
	case err != nil || s == nil:
		return nil, err
	case p == nil:
		return &pairing{Epoch: atLeast + 1}, nil
	case renew:
		return &pairing{Epoch: max(p.PairEpoch(), atLeast) + 1}, nil
	}
	return &pairing{Digest: p.Digest()}, nil
}

// checkPairing holds a proposal's pairing against what this node has.
func checkPairing(s threshold.Provisioner, p threshold.Provision, x *pairing) error {
	var epoch uint64
	if p != nil {
		epoch = p.PairEpoch()
	}
	other := &problem.Error{Code: problem.PairState, Message: fmt.Sprintf("this node is at pair-epoch %d with the committee, the coordinator is not", epoch),
		Next: "repeat the request; if that does not help, refresh a key of this committee", Epoch: epoch}
	switch {
	case s == nil && x == nil:
		return nil
	case s == nil || x == nil:
		return problem.New(problem.Invalid, "run the same version on all nodes", "the proposal's pair state does not fit its scheme")
	case x.Epoch != 0 && x.Epoch <= epoch, x.Epoch == 0 && (p == nil || p.Digest() != x.Digest):
		return other
	}
	return nil
}

// makePairs runs the ceremony that makes the next material of the committee, inside the ceremony c, and stores it as next. The
// caller holds the committee's lock.
func (n *Node) makePairs(ctx context.Context, c *ceremony, s threshold.Provisioner, committee threshold.Committee, context [32]byte, epoch uint64) ([32]byte, error) {
	var none [32]byte
	topic := canon.Hash("mpcd/v1/provision/topic", c.topic[:])
	inner, err := n.enter(topic, c.leader, c.peers)
	if err != nil {
		return none, err
	}
	defer inner.leave()
	x, err := s.NewProvision(threshold.Setup{Ceremony: topic, Context: context[:], Committee: committee, Self: n.self.Party, Authentic: n.authentic}, epoch, n.Rand)
	if err != nil {
		return none, err
	}
	p, err := drive(ctx, inner, x)
	if err != nil {
		return none, err
	}
	defer p.Destroy()
	return p.Digest(), n.pairs.store(ctx, nextName(provisionName(s.ID(), committee)), p)
}

// pairUp checks a key ceremony's pairing and, if it asks for a new pair setup, runs it. It returns the digest of the material that
// the key goes with, zero where the scheme has none. Until unlock, no other ceremony changes the committee's material here.
func (n *Node) pairUp(ctx context.Context, c *ceremony, scheme threshold.Scheme, committee threshold.Committee, in *attest.Intent, x *pairing) (digest [32]byte, unlock func(), err error) {
	s, ok := scheme.(threshold.Provisioner)
	if !ok {
		return digest, func() {}, checkPairing(nil, nil, x)
	}
	if x == nil {
		return digest, nil, checkPairing(s, nil, nil)
	}
	unlock = func() {}
	if x.Epoch != 0 {
		var free bool
		if unlock, free = n.keys.lockRefreshSoon(ctx, provisionName(s.ID(), committee)); !free {
			return digest, nil, problem.New(problem.PairState, "repeat the request", "another pair setup of this committee is under way")
		}
	}
	p, err := n.pairs.current(ctx, s, committee)
	if err == nil {
		err = checkPairing(s, p, x)
	}
	if err == nil && x.Epoch != 0 {
		digest, err = n.makePairs(ctx, c, s, committee, in.Hash(), x.Epoch)
	}
	if err != nil {
		unlock()
		return digest, nil, err
	}
	if x.Epoch == 0 {
		digest = p.Digest()
	}
	return digest, unlock, nil
}

// checkBans refuses a quorum with a peer that was caught cheating in this pair-epoch.
func (n *Node) checkBans(p threshold.Provision, signers []threshold.PartyID) error {
	for _, b := range p.Banned() {
		if slices.Contains(signers, b) {
			return &problem.Error{Code: problem.Blame, Message: fmt.Sprintf("node %q cheated in this pair-epoch and is banned", n.nodeOf(b)),
				Next: "choose other signers; once the node is trusted again, refresh a key of this committee: that makes new pair state", Culprits: n.nodesOf([]threshold.PartyID{b})}
		}
	}
	return nil
}

// avoidBanned adds the peers that this node has banned for the key's committee.
func (n *Node) avoidBanned(ctx context.Context, info threshold.KeyInfo, avoid map[threshold.PartyID]bool) error {
	scheme, err := n.Schemes(info.Scheme)
	if err != nil {
		return err
	}
	_, p, err := n.provisioned(ctx, scheme, info.Committee)
	if err != nil || p == nil {
		return err
	}
	for _, b := range p.Banned() {
		avoid[b] = true
	}
	return nil
}
