package appliance

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
)

const (
	rosterEvery = 10 * time.Second // how often a peer that is behind is sent our roster
	showEvery   = time.Minute      // and one that is not, which roster it is
	shownMax    = 100              // bytes that say so
)

// TakeUp puts a newer roster in the place of the one in use, without a restart. It must have a higher serial, be signed by the same root,
// have every node as the party it was, and this node's own keys unchanged; Config.KeepRoster may refuse it, and keeps it. A roster that is
// older changes nothing, and another one of the same serial is refused: the operator has signed two, and one of them does not know what the
// other changed. Who was removed is neither heard nor chosen from then on; a node that is removed itself is not ready any more.
func (n *Node) TakeUp(ctx context.Context, r *attest.SignedRoster) error {
	n.rosters.Lock()
	defer n.rosters.Unlock()
	was := n.members.Roster()
	if r.Roster.Serial < was.Roster.Serial || r.Fingerprint() == was.Fingerprint() {
		return nil
	}
	if err := r.Verify(ed25519.PublicKey(was.Root)); err != nil {
		return err
	}
	if r.Roster.Serial == was.Roster.Serial {
		return otherRoster(was.Roster.Serial, was.Fingerprint(), r.Fingerprint())
	}
	if err := n.takeUp(ctx, r); err != nil {
		return fmt.Errorf("the roster of serial %d: %w", r.Roster.Serial, err)
	}
	n.cfg.Logger.Info("a newer roster is in use", "serial", r.Roster.Serial, "nodes", len(r.Roster.Members()), "fingerprint", r.Fingerprint())
	n.peers.Tell()
	return n.cfg.AuditLog.Append(ctx, audit.Event{Name: "roster.taken",
		Facts: map[string]string{"serial": fmt.Sprint(r.Roster.Serial), "roster": r.Fingerprint()}})
}

func (n *Node) takeUp(ctx context.Context, r *attest.SignedRoster) error {
	next, err := ceremony.NewMembers(r, n.cfg.Node)
	if err != nil {
		return err
	}
	_, names := next.Removed()
	removed := slices.Contains(names, n.cfg.Node)
	self, ok := next.Member(n.cfg.Node)
	switch {
	case r.Roster.Cluster != n.cfg.Cluster || !ok && !removed:
		return problem.New(problem.Invalid, "fetch the roster of this cluster", "this node is no member in it")
	case ok && (!n.token.attest.Public.(equalKey).Equal(self.Attest) || !n.token.cosign.Public.(equalKey).Equal(self.Cosign)):
		return problem.New(problem.HSM, "configure the token that was enrolled, and restart this node", "it has other keys for this node")
	}
	if m, err := r.Roster.Node(string(n.cfg.Node)); err == nil && len(m.WitnessKey) > 0 && !bytes.Equal(m.WitnessKey, n.cfg.Self.WitnessKey) {
		return problem.New(problem.Invalid, "enrol this node again, and have the operator sign that", "it has another witness key for this node")
	}
	if err := n.members.Fit(next); err != nil {
		return err
	}
	if removed {
		n.removed.Store(r.Roster.Serial)
		n.peers.Tell()
		return problem.New(problem.Invalid, "stop this node", "this node is not a member any more")
	}
	if n.cfg.KeepRoster != nil {
		if err := n.cfg.KeepRoster(ctx, r); err != nil {
			return err
		}
	}
	if err := n.keepRoster(ctx, r); err != nil {
		return err
	}
	n.peers.Grow(next.All()) // before anybody looks a new member up
	n.members.Renew(next)
	gone, names := n.members.Removed()
	n.pool.DropPeers(gone)
	for _, id := range names {
		n.pool.DropCoordinator(id)
	}
	if net := n.net.Load(); net != nil {
		net.Remove(names)
		return net.Add(peersOf(n.members))
	}
	return nil
}

// peersOf are the nodes of the roster for the transport.
func peersOf(m *ceremony.Members) transport.Peers {
	peers := transport.Peers{}
	for _, id := range m.All() {
		if x, ok := m.Member(id); ok {
			peers[id] = transport.Peer{Node: id, Identity: x.Identity, HPKE: x.Seal}
		}
	}
	return peers
}

// learnRoster takes up what a peer sent. Its signature makes it safe, whoever sent it. A fingerprint with a serial alone is compared.
func (n *Node) learnRoster(ctx context.Context, env transport.Envelope) {
	if bytes.HasPrefix(env.Body, []byte("r_")) && len(env.Body) <= shownMax {
		ours, theirs := n.members.Roster(), strings.Fields(string(env.Body))
		if len(theirs) == 2 && theirs[1] == fmt.Sprint(ours.Roster.Serial) && theirs[0] != ours.Fingerprint() {
			n.remark(env.From, "a peer's roster is another one", otherRoster(ours.Roster.Serial, ours.Fingerprint(), theirs[0]))
		}
		return
	}
	r, err := attest.ParseRoster(env.Body)
	if err == nil {
		err = n.TakeUp(ctx, r)
	}
	if err != nil {
		n.remark(env.From, "a peer's roster is not taken up", err)
	}
}

// rosters sends our roster to a peer that has an older one, and says where ours is the older. A peer whose roster has the same serial is
// told the fingerprint of ours, for it may be another one.
func (w *watch) rosters(n *Node, id transport.NodeID) {
	ours, now := n.members.Roster(), n.cfg.Clock()
	notes, live := n.peers.Notes(id)
	if !live || notes.Serial == 0 {
		return
	}
	if notes.Serial == ours.Roster.Serial {
		if now.Sub(w.shown[id]) >= showEvery {
			w.shown[id] = now
			which := fmt.Sprintf("%s %d", ours.Fingerprint(), notes.Serial)
			n.send(transport.Envelope{To: []transport.NodeID{id}, Kind: ceremony.KindRoster, Body: []byte(which)})
		}
		return
	}
	if now.Sub(w.sent[id]) < rosterEvery {
		return
	}
	w.sent[id] = now
	if notes.Serial > ours.Roster.Serial {
		n.cfg.Logger.Warn("this node's roster is behind", "serial", ours.Roster.Serial, "member", id, "has", notes.Serial)
		return
	}
	n.send(transport.Envelope{To: []transport.NodeID{id}, Kind: ceremony.KindRoster, Body: ours.JSON()})
}
