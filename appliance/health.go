package appliance

import (
	"context"
	"fmt"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/problem"
)

// Readiness tells whether this node can serve a signature now, with reasons. It asks nobody: everything it needs is known.
func (n *Node) Readiness() Readiness {
	total := len(n.Roster.Roster.Nodes)
	live := n.peers.liveCount(n.nodesOf(n.allParties()))
	need := n.Threshold
	if need == 0 {
		need = total/2 + 1
	}
	seq, _ := n.AuditLog.Head()
	r := Readiness{Checks: []Check{
		{"running", n.ready.Load(), "the node has joined the network"},
		{"quorum", live >= need, fmt.Sprintf("%d of %d nodes are live, %d needed", live, total, need)},
		{"audit", true, fmt.Sprintf("%d entries", seq)},
	}}
	r.Ready = true
	for _, c := range r.Checks {
		r.Ready = r.Ready && c.OK
	}
	return r
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
	es, err := n.AuditLog.Entries(after, size)
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
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for !n.Readiness().Ready {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
	return nil
}

// Version is the version of the program this node runs.
func (n *Node) Version() string { return n.Release }
