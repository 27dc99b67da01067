package appliance_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/memnet"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/vault"
)

// tape is what somebody has recorded of a cluster: the envelopes to its nodes, and what its callers sent.
type tape struct {
	*cluster
	t        *testing.T
	wallet   string
	mu       sync.Mutex
	frames   []memnet.Frame
	requests []appliance.SignRequest // signed
	receipts []string
	waits    []*attest.Intent // with the approvals that it was signed by, or that it was cancelled after
	cancel   map[string][]byte
	back     *member // that was put back, whose answers of since are lost
	lost     int     // requests that are refused for it
}

// record makes payments with the approvals of people, by the API of all nodes, until so much was sent.
func (x *tape) record(people board, most int) {
	x.t.Helper()
	x.hub.SetTap(func(f memnet.Frame) {
		f.Body = bytes.Clone(f.Body)
		x.mu.Lock()
		defer x.mu.Unlock()
		if len(x.frames) < most {
			x.frames = append(x.frames, f)
		}
	})
	defer x.hub.SetTap(nil)
	info := x.nodes[0].node.KeyInfo(x.t.Context(), x.wallet)
	for i := len(x.requests); i == 0 || x.recorded() < most; i++ {
		in, req := x.draft(x.wallet, fmt.Sprint("paid-", i), 5)
		people.approve(x.t, in, info, "ann", "ben")
		req.Approvals = in.Approvals
		for at := range x.nodes {
			if !x.asks(i, at) {
				continue
			}
			s, err := x.nodes[at].node.Sign(x.t.Context(), req)
			if err != nil {
				x.t.Fatal(err)
			}
			if len(x.requests) == i {
				x.requests, x.receipts = append(x.requests, req), append(x.receipts, s.ReceiptID)
			}
		}
		if i%50 != 0 || i >= 500 {
			continue
		}
		in = x.cluster.waits(x.wallet, fmt.Sprint("cancelled-", i))
		word, err := x.asker.Cancel(in)
		if err == nil {
			_, err = x.nodes[1].front().Cancel(x.t.Context(), in.RequestID, word)
		}
		if err != nil {
			x.t.Fatal(err)
		}
		x.everywhere(in.RequestID, appliance.Cancelled)
		people.approve(x.t, in, info, "ann", "ben")
		x.waits, x.cancel[in.RequestID] = append(x.waits, in), word
	}
}

// dropped is how many envelopes a node has refused before anything of them was looked at: as repeated, or of an earlier run of its sender.
func (x *tape) dropped(m *member) uint64 {
	by := m.node.Dropped()
	return by[transport.DropReplay.String()] + by[transport.DropStaleBoot.String()]
}

// asks tells whether a payment is asked for at a node: each at one, the first few at all, which take the answer over.
func (x *tape) asks(payment, node int) bool { return payment < 6 || payment%len(x.nodes) == node }

func (x *tape) recorded() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.frames)
}

// done is what the cluster has done: shares, signatures, operations by state; and what its desks say.
func (x *tape) done() string {
	x.t.Helper()
	out := ""
	for _, m := range x.nodes {
		states := map[appliance.OperationState]int{}
		all, err := m.front().Operations(x.t.Context(), "")
		if err != nil {
			x.t.Fatal(err)
		}
		for _, o := range all {
			states[o.State]++
		}
		out += fmt.Sprint(m.id, states)
		events := []string{"sign.done", "operation.change", "sign.accept", "share.sign"}
		if x.back != nil { // whose requests each is about to lead once more before a signer refuses
			events = events[:2]
		}
		for _, event := range events {
			out += fmt.Sprint(" ", event, " ", len(m.entries(x.t, event)))
		}
		out += "\n"
	}
	return out
}

// replay plays all of it again, to all nodes: envelopes from a place of its own on the network, requests and words at each node's API, and
// records of what waited as a member does who has them. A node that alone was restarted, or put back, does not know what came before, and
// takes the envelopes of runs that go on, where they are young; what is in them does nothing.
func (x *tape) replay(when string, forgetful ...*member) {
	x.t.Helper()
	before, to, dropped := x.done(), map[transport.NodeID]uint64{}, map[transport.NodeID]uint64{}
	for _, m := range x.nodes {
		dropped[m.id] = x.dropped(m)
	}
	thief := x.hub.Node("thief")
	defer thief.Close()
	conns := map[string]transport.Conn{}
	for _, f := range x.frames {
		if conns[f.Channel] == nil {
			c, err := thief.Join(x.t.Context(), f.Channel, nil)
			if err != nil {
				x.t.Fatal(err)
			}
			conns[f.Channel] = c
		}
		if err := conns[f.Channel].Send(x.t.Context(), transport.Envelope{To: []transport.NodeID{f.To}, Body: f.Body}); err != nil {
			x.t.Fatal(err)
		}
		to[f.To]++
	}
	for at, m := range x.nodes {
		if !slices.Contains(forgetful, m) {
			waitFor(x.t, "each is refused", func() bool { return x.dropped(m)-dropped[m.id] >= to[m.id] })
		}
		for _, s := range m.node.Nodes() {
			if s.Accused || s.Limited {
				x.t.Errorf("%s, %s names %s", when, m.id, s.ID)
			}
		}
		for i, req := range x.requests {
			if !x.asks(i, at) {
				continue
			}
			s, err := m.node.Sign(x.t.Context(), req)
			if m == x.back && isLost(err) {
				x.lost++
				for _, other := range x.nodes[1:] {
					if s, err := other.node.Sign(x.t.Context(), req); !isLost(err) {
						x.t.Errorf("%s, %s at %s: %+v, %v", when, req.SessionID, other.id, s, err)
					}
				}
			} else if err != nil || s.ReceiptID != x.receipts[i] {
				x.t.Fatalf("%s, %s at %s: %+v, %v", when, req.SessionID, m.id, s, err)
			}
		}
		for _, in := range x.waits {
			m.node.LearnDesk(x.t.Context(), x.nodes[0].id, deskBody(in))
			for _, a := range in.Approvals {
				if _, err := m.front().Approve(x.t.Context(), in.RequestID, a); problem.As(err).Code != problem.Conflict {
					x.t.Errorf("%s, approved again: %v", when, err)
				}
			}
			if _, err := m.front().Cancel(x.t.Context(), in.RequestID, x.cancel[in.RequestID]); problem.As(err).Code != problem.Conflict {
				x.t.Errorf("%s, cancelled again: %v", when, err)
			}
		}
	}
	if after := x.done(); after != before {
		x.t.Errorf("%s: before\n%safter\n%s", when, before, after)
	}
}

// backup is what a node had stored: its vault, its store, and its audit log with what stands beside it.
type backup struct {
	vault, state vault.Store
	log          fstest.MapFS
}

func (m *member) backup() backup {
	b := backup{copied(m.c.t, m.vault), copied(m.c.t, m.state), fstest.MapFS{}}
	for _, name := range m.logFiles() {
		data, err := os.ReadFile(name)
		if err != nil {
			m.c.t.Fatal(err)
		}
		b.log[filepath.Base(name)] = &fstest.MapFile{Data: data}
	}
	return b
}

// putBack has a node, which is stopped, begin from what it had stored once.
func (b backup) putBack(m *member) {
	for _, name := range m.logFiles() {
		if err := os.Remove(name); err != nil {
			m.c.t.Fatal(err)
		}
	}
	if err := os.CopyFS(m.dir, b.log); err != nil {
		m.c.t.Fatal(err)
	}
	m.vault, m.state = copied(m.c.t, b.vault), copied(m.c.t, b.state)
}

func (m *member) logFiles() []string {
	names, err := filepath.Glob(filepath.Join(m.dir, "audit*"))
	if err != nil || len(names) < 2 {
		m.c.t.Fatal(names, err)
	}
	return names
}

// isLost tells a request that is refused because node1 has led it, and was put back since.
func isLost(err error) bool {
	return err != nil && problem.As(err).Code == problem.Conflict && strings.Contains(err.Error(), "node node1 has led what is asked for")
}

// Goal: nothing that was recorded does anything when it comes again: no share, no signature, no operation, no word; who asks again has the
// answer of before. Method: 1,000 envelopes of payments with approvals and of requests that were cancelled, 10,000 by `make redteam`, and
// what callers sent for them; all of it again, at once, after a restart of one node, and of all, and after one was put
// back as it was when half of it was recorded: what it has answered since is refused. Last, a payment is signed.
func TestReplayedAll(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Presignatures: -1})
	x := &tape{cluster: c, t: t, wallet: c.keygenBy("secp256k1", "dkls23", 2, 3).ID, cancel: map[string][]byte{}}
	people := c.approvingBy(split)
	most := 1000
	if redteamTimes() > 1 {
		most = 10_000
	}
	x.record(people, most/2)
	old := map[*member]backup{}
	for _, m := range c.nodes {
		m.halt()
		old[m] = m.backup()
		m.start()
	}
	c.waitReady()
	for _, m := range c.nodes {
		m.checkpoint(m.node.AuditLog())
	}
	for _, m := range c.nodes {
		for _, of := range c.nodes {
			sim.Wait(t, string(m.id)+" has witnessed "+string(of.id), func() bool { return !m.witnessed(of.id).Witnessed.IsZero() })
		}
	}
	x.record(people, most)
	x.replay("at once")
	for _, nodes := range [][]*member{c.nodes[:1], c.nodes} {
		for _, m := range nodes {
			m.halt()
		}
		for _, m := range nodes {
			m.start()
		}
		c.waitReady()
		forgetful := nodes
		if len(nodes) == len(c.nodes) {
			forgetful = nil
		}
		x.replay(fmt.Sprintf("after a restart of %d", len(nodes)), forgetful...)
	}
	back := c.nodes[0]
	back.halt()
	old[back].putBack(back)
	back.start()
	back.checkpoint(back.node.AuditLog())
	c.waitReady()
	for _, in := range x.waits {
		c.everywhere(in.RequestID, appliance.Cancelled)
	}
	for _, m := range c.nodes {
		sim.Wait(t, string(m.id)+" knows that it was put back", func() bool { return m.witnessed(back.id).Trouble != "" })
	}
	x.back = back
	x.replay("after one was put back", back)
	in, req := c.draft(x.wallet, "after", 5)
	people.approve(t, in, c.nodes[0].node.KeyInfo(t.Context(), x.wallet), "ann", "ben")
	req.Approvals = in.Approvals
	if _, err := c.nodes[2].node.Sign(t.Context(), req); err != nil {
		t.Error(err)
	}
	if x.lost == 0 {
		t.Error("nothing was lost that was put back")
	}
	t.Logf("%d envelopes, %d requests, %d operations\n%s", len(x.frames), len(x.requests), len(x.waits), x.done())
}
