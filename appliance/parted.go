package appliance

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/vault"
)

// What happens where the officers have signed two authorities of one serial. No node can tell which they mean: each goes on with the one
// that it has used, says so of itself and of its peers, and another takes its place only where the operator settles it.

// AuthorityCheck is the name of the check that this node's authority is that of its peers.
const AuthorityCheck = "authority"

// settleNext is what to do then.
const settleNext = "find out which is right, have the officers sign on from that, stop each node that has used the other, and there: " +
	"`mpcd authority settle FILE --config mpcd.yaml`"

var errParted = errors.New("the officers have signed two authorities of one serial: " + settleNext)

// partedAuthority is the refusal of a chain that has another authority of a serial than the one that a node has used.
func partedAuthority(was, c attest.AuthorityChain) error {
	at := 0
	for at < min(len(was), len(c))-1 && was[at].Authority.Digest() == c[at].Authority.Digest() {
		at++
	}
	return &problem.Error{Code: problem.Conflict, Err: attest.ErrAuthority, Next: settleNext,
		Message: fmt.Sprintf("the officers have signed two authorities of serial %d: this node has used %s, the other is %s", at+1,
			was[at].Authority.Digest(), c[at].Authority.Digest())}
}

// digestOf is the digest of the authority that this node has of a serial; zero where it has none. The caller holds mu.
func (a *authority) digestOf(serial uint64) attest.Hash {
	switch n := uint64(len(a.chain)); {
	case serial == 0 || serial > n:
		return attest.Hash{}
	case serial < n:
		return a.chain[serial].Authority.Prior
	}
	return a.digest
}

// refuse notes that a peer sent a chain that parted from ours, and that ends with an authority of a digest.
func (a *authority) refuse(peer transport.NodeID, digest attest.Hash) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refused == nil {
		a.refused = map[transport.NodeID]attest.Hash{}
	}
	a.refused[peer] = digest
}

// parted says, in words, that a peer's authority is neither one of this node's chain nor one that may follow it: the peer says that it has
// another of a serial that this node has, or has sent a longer chain with another. "" where it is.
func (a *authority) parted(id transport.NodeID) string {
	notes, live := a.core.peers.Notes(id)
	a.mu.RLock()
	defer a.mu.RUnlock()
	if !live || a.now == nil || notes.Authority == 0 || notes.Digest == (attest.Hash{}) {
		return ""
	}
	ours := a.digestOf(notes.Authority)
	if ours == notes.Digest || ours == (attest.Hash{}) && a.refused[id] != notes.Digest {
		return ""
	}
	return fmt.Sprintf("goes by an authority of serial %d, %.18s…, that parted from this node's of serial %d, %.18s…", notes.Authority,
		notes.Digest.String(), a.now.Serial, a.digest.String())
}

// check holds our authority against those of the peers. Where most of them go by another, nothing that is asked for here is signed. Of one
// peer among several it is told alone: it says so itself, and may lie.
func (a *authority) check() Check {
	var seen, others int
	detail := ""
	for _, id := range a.core.members.All() {
		notes, live := a.core.peers.Notes(id)
		if id == a.core.cfg.Node || !live || notes.Authority == 0 {
			continue
		}
		seen++
		if words := a.parted(id); words != "" {
			others++
			detail += fmt.Sprintf("; %s %s", id, words)
		}
	}
	c := Check{Name: AuthorityCheck, OK: 2*others <= seen,
		Detail: fmt.Sprintf("of %d peers %d go by one that parted from it%s", seen, others, detail)}
	if others > 0 {
		c.Next = settleNext
	}
	return c
}

// CheckAuthority tells of a node that does not run what its next start would: whether the chain that its store keeps holds, and the one
// that it is configured with, nil for none, may take its place. It returns the one that would be in force, nil for none.
func CheckAuthority(ctx context.Context, s vault.Store, root ed25519.PublicKey, cluster string, c attest.AuthorityChain) (*attest.Authority,
	error) {
	kept, now, _, err := keptAuthority(ctx, s, root)
	if err != nil || c == nil {
		return now, err
	}
	next, _, err := judgeAuthority(c, root, cluster)
	switch {
	case err != nil:
		return nil, err
	case kept.Extends(c):
		return now, nil
	case !c.Extends(kept):
		return nil, partedAuthority(kept, c)
	}
	return next, nil
}

// SettleAuthority has a node that does not run keep a chain that parted from the one it has used: root and officers must have signed it, as
// any, and its serial is not lower. It is first put on record, with both; where the node keeps that chain already nothing is.
func SettleAuthority(ctx context.Context, s vault.Store, root ed25519.PublicKey, cluster string, c attest.AuthorityChain,
	record func(facts map[string]string) error) error {
	kept, was, _, err := keptAuthority(ctx, s, root)
	if err != nil {
		return err
	}
	now, _, err := judgeAuthority(c, root, cluster)
	const start = "put it where `authority` in mpcd.yaml says, and start the node: it judges by itself which of the two follows the other"
	switch {
	case err != nil:
		return err
	case kept.Extends(c) && c.Extends(kept):
		return nil
	case kept.Extends(c) || c.Extends(kept):
		return problem.New(problem.Invalid, start, "there is nothing to settle: one of the two chains has all of the other")
	case now.Serial < was.Serial:
		return problem.New(problem.Conflict, "have the officers sign on from it, up to a serial that is not lower",
			"the authority is of serial %d, this node has used one of serial %d", now.Serial, was.Serial)
	}
	if err := record(map[string]string{"serial": fmt.Sprint(now.Serial), "authority": now.Digest().String(),
		"was_serial": fmt.Sprint(was.Serial), "was": was.Digest().String()}); err != nil {
		return err
	}
	return keepAuthority(ctx, s, c)
}
