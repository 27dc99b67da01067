package appliance

import (
	"context"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/problem"
)

// Readiness tells whether this node can serve a signature now, with reasons. It asks nobody: everything it needs is known.
func (n *Node) Readiness() Readiness {
	total, live := len(n.members.All()), n.peers.Live()
	need := n.cfg.Threshold
	if need == 0 {
		need = total/2 + 1
	}
	seq, _ := n.cfg.AuditLog.Head()
	entries := fmt.Sprintf("%d entries", seq)
	r := Readiness{Checks: []Check{
		{"running", n.serves(), "the node has joined the network"},
		{"quorum", live >= need, fmt.Sprintf("%d of %d nodes are live, %d needed", live, total, need)},
		written("audit", n.cfg.AuditLog.Writable(), entries),
		written("store", n.storeWritable(), "there is room for more"),
	}}
	r.Ready = true
	for _, c := range r.Checks {
		r.Ready = r.Ready && c.OK
	}
	return r
}

// written is the check of something that must be written before an act.
func written(what string, err error, detail string) Check {
	if err != nil {
		detail = err.Error()
	}
	return Check{what, err == nil, detail}
}

// storeWritable asks a store that can tell why nothing can be written now.
func (n *core) storeWritable() error {
	if s, ok := n.cfg.Store.(interface{ Writable() error }); ok {
		return s.Writable()
	}
	return nil
}

// Writable returns why this node cannot keep what it must keep before it acts, nil if it can. It asks log and store for what they know, and
// the disk for its room.
func (n *core) Writable() error {
	if err := errors.Join(n.cfg.AuditLog.Writable(), n.storeWritable()); err != nil {
		return problem.Unwritten(err)
	}
	return nil
}

// Audit lists entries in order; the token is the number of the entry before the page.
func (n *Node) Audit(_ context.Context, p Page) ([]audit.Entry, string, error) {
	var after uint64
	if p.Token != "" {
		if _, err := fmt.Sscan(p.Token, &after); err != nil {
			return nil, "", problem.Field("page_token", "use the next_page_token of the answer before", "bad page_token")
		}
	}
	size := pageSize(p)
	es, err := n.cfg.AuditLog.Entries(after, size)
	if err != nil {
		return nil, "", &problem.Error{Code: problem.Integrity, Message: "the audit log is damaged", Next: "run mpcd audit verify", Err: err}
	}
	next := ""
	if len(es) == size {
		next = fmt.Sprint(es[size-1].Seq)
	}
	return es, next, nil
}

// WaitQuorum returns when as many nodes are live as are needed to sign, or ctx ends.
func (n *Node) WaitQuorum(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-n.started:
	}
	if !n.peers.Await(ctx, func() bool { return n.Readiness().Ready }) {
		return ctx.Err()
	}
	return nil
}

// Nodes lists the roster with what this node knows of each member.
func (n *Node) Nodes() []NodeStatus {
	var out []NodeStatus
	for _, id := range n.members.All() {
		m, _ := n.members.Member(id)
		s := NodeStatus{ID: id, Party: m.Party, Facility: m.Facility}
		if id == n.cfg.Node {
			s.Self, s.Live, s.LastSeen, s.Version = true, true, n.cfg.Clock(), n.cfg.Release
		} else {
			notes, live := n.peers.Notes(id)
			s.Live, s.LastSeen, s.Version = live, notes.LastSeen, notes.Version
			s.Accused = notes.Accused != "" || n.pairs.Banned(m.Party)
		}
		out = append(out, s)
	}
	return out
}

// Version is the version of the program this node runs.
func (n *Node) Version() string { return n.cfg.Release }
