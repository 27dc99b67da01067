package appliance_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/policy"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/memnet"
	"github.com/luxfi/mpcd/appliance/transport/transporttest"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// picky denies one line while it is told to, and tells how often it was asked about it.
type picky struct {
	mu    sync.Mutex
	line  string
	deny  bool
	asked int
}

// lineOf is the line that an intent belongs to: the requests of threshold proofs begin with a name of their own.
func lineOf(in *attest.Intent) string {
	if strings.HasPrefix(in.RequestID, "prove/") {
		return "prove"
	}
	return string(in.Operation)
}

func (p *picky) set(line string, deny bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line, p.deny, p.asked = line, deny, 0
}

func (p *picky) Judge(_ context.Context, in *attest.Intent, _ threshold.Committee) (policy.Verdict, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if lineOf(in) != p.line {
		return policy.Verdict{Allow: true, Rule: "others"}, nil
	}
	p.asked++
	return policy.Verdict{Allow: !p.deny, Rule: "picky", Why: "it is told to"}, nil
}

// watched counts the engine's messages that node2 sends.
func watched(c *cluster) (engine func() int) {
	var mu sync.Mutex
	n := 0
	c.hub.SetTap(func(f memnet.Frame) {
		if e, err := transporttest.Peek(transport.Envelope{Body: f.Body}); err == nil && e.From == "node2" && e.Kind == ceremony.KindEngine {
			mu.Lock()
			defer mu.Unlock()
			n++
		}
	})
	return func() int { mu.Lock(); defer mu.Unlock(); return n }
}

// Goal: no line acts without the gate. What a policy denies, its node neither begins nor puts on record as begun, as a party and as the
// coordinator; what it allows is on record. Method: every line of the node, with the policy of a party, then of the coordinator, denying
// just that one; a tap on the network. A line that is new here fails until it has a row.
func TestEveryLinePassesTheGate(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Presignatures: 8})
	rules := make([]*picky, 3)
	for i, m := range c.nodes {
		rules[i] = &picky{}
		m.halt()
		m.policy = rules[i]
		m.start()
	}
	c.waitReady()
	engine := watched(c)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	ctx, first := t.Context(), func() *appliance.Node { return c.nodes[0].node }
	sign := func() error {
		_, err := first().Sign(ctx, appliance.SignRequest{WalletID: w.ID, Message: digestOf(t.Name()),
			Signers: []transport.NodeID{"node1", "node2"}})
		return err
	}
	rows := map[string]struct {
		event string // of a party's audit log, once it may begin
		act   func() error
	}{
		"keygen": {"keygen.begin", func() error {
			_, err := first().Keygen(ctx, appliance.KeygenRequest{Curve: "ed25519", Threshold: 2, Total: 3})
			return err
		}},
		"refresh": {"refresh.begin", func() error {
			_, err := first().Refresh(ctx, appliance.RefreshRequest{WalletID: w.ID})
			return err
		}},
		"prove": {"share.prove", func() error {
			_, err := first().ProveThreshold(ctx, w.ID)
			return err
		}},
		"presign": {"presign.begin", func() error { return first().Fill(ctx, w.ID, "node1", "node2") }},
		"sign":    {"share.sign", sign},
	}
	for _, line := range first().Lines() {
		row, ok := rows[line]
		if !ok {
			t.Errorf("line %s has no row here: does it pass the gate?", line)
			continue
		}
		t.Run(line, func(t *testing.T) {
			for i, who := range []string{"coordinator", "party"} {
				rules[i].set(line, true)
				before, sent := c.nodes[1].events(t, row.event), engine()
				if err := row.act(); problem.As(err).Code != problem.Denied {
					t.Errorf("denied by the %s: %v", who, err)
				}
				if rules[i].asked == 0 {
					t.Errorf("the %s's policy was not asked", who)
				}
				if got := c.nodes[1].events(t, row.event); got != before {
					t.Errorf("denied by the %s, node2 has begun: %s %d times", who, row.event, got-before)
				}
				if got := engine(); got != sent {
					t.Errorf("denied by the %s, node2 sent %d messages of the protocol", who, got-sent)
				}
				rules[i].set(line, false)
			}
			before := c.nodes[1].events(t, row.event)
			if err := row.act(); err != nil {
				t.Errorf("allowed: %v", err)
			}
			if got := c.nodes[1].events(t, row.event); got <= before {
				t.Errorf("allowed, and node2's log has no %s", row.event)
			}
			if rules[1].asked == 0 {
				t.Error("allowed, and the party's policy was not asked")
			}
		})
	}
}

// events counts entries of the member's audit log.
func (m *member) events(t *testing.T, name string) (n int) {
	t.Helper()
	for after := ""; ; {
		es, next, err := m.node.Audit(t.Context(), appliance.Page{Token: after, Size: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			if e.Event == name {
				n++
			}
		}
		if after = next; after == "" {
			return n
		}
	}
}

// Goal: an act whose record cannot be written is not done, in any line. Method: the party's audit log is closed; every line is tried.
func TestNoActOffRecord(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Presignatures: 8})
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	n := c.nodes[0].node
	var mu sync.Mutex
	var rounds []uint8
	c.hub.SetTap(func(f memnet.Frame) {
		e, err := transporttest.Peek(transport.Envelope{Body: f.Body})
		if err == nil && e.From == "node2" && slices.Contains([]uint8{ceremony.KindShares, ceremony.KindAck, ceremony.KindCertificate}, e.Kind) {
			mu.Lock()
			defer mu.Unlock()
			rounds = append(rounds, e.Kind)
		}
	})
	if err := c.nodes[1].node.AuditLog().Close(); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for line, act := range map[string]func() error{
		"keygen": func() error {
			_, err := n.Keygen(ctx, appliance.KeygenRequest{Curve: "ed25519", Threshold: 2, Total: 3})
			return err
		},
		"refresh": func() error { _, err := n.Refresh(ctx, appliance.RefreshRequest{WalletID: w.ID}); return err },
		"presign": func() error { return n.Fill(ctx, w.ID, "node1", "node2") },
		"sign": func() error {
			_, err := n.Sign(ctx, appliance.SignRequest{WalletID: w.ID, Message: digestOf("off"), Signers: []transport.NodeID{"node1", "node2"}})
			return err
		},
	} {
		if err := act(); err == nil {
			t.Errorf("%s went through without a record", line)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(rounds) != 0 {
		t.Errorf("node2 sent the outcome of acts that are not on record: kinds %v", rounds)
	}
	c.nodes[1].stop() // its log is closed, so it cannot say that it stops
	<-c.nodes[1].done
	c.nodes[1].stop = nil
}

// Goal: nor does a coordinator begin what it cannot put on record. Method: its audit log is closed; every line is tried. No message of the
// protocol may leave it, and of a signature, whose acceptance is recorded too, not even the proposal.
func TestCoordinatorOffRecord(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Presignatures: 8})
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	m := c.nodes[0]
	var mu sync.Mutex
	sent := map[uint8]int{}
	c.hub.SetTap(func(f memnet.Frame) {
		if e, err := transporttest.Peek(transport.Envelope{Body: f.Body}); err == nil && e.From == m.id {
			mu.Lock()
			defer mu.Unlock()
			sent[e.Kind]++
		}
	})
	count := func(kind uint8) int { mu.Lock(); defer mu.Unlock(); return sent[kind] }
	if err := m.node.AuditLog().Close(); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, err := m.node.Sign(ctx, appliance.SignRequest{WalletID: w.ID, Message: digestOf("off"), Signers: []transport.NodeID{"node1", "node2"}})
	if err == nil {
		t.Error("it signs without a record")
	}
	if n := count(ceremony.KindProposal); n != 0 {
		t.Errorf("%d proposals to sign are not on record", n)
	}
	for line, act := range map[string]func() error{
		"keygen": func() error {
			_, err := m.node.Keygen(ctx, appliance.KeygenRequest{Curve: "secp256k1", Protocol: "dkls23", Threshold: 2, Total: 3})
			return err
		},
		"refresh": func() error { _, err := m.node.Refresh(ctx, appliance.RefreshRequest{WalletID: w.ID}); return err },
		"presign": func() error { return m.node.Fill(ctx, w.ID, "node1", "node2") },
	} {
		if err := act(); err == nil {
			t.Errorf("%s goes through without a record", line)
		}
		if n := count(ceremony.KindEngine); n != 0 {
			t.Errorf("%s: %d messages of a protocol that is not on record", line, n)
		}
	}
	m.stop() // its log is closed, so it cannot say that it stops
	<-m.done
	m.stop = nil
}
