package appliance_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/memnet"
	"github.com/luxfi/mpcd/appliance/transport/transporttest"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold"
)

// picky denies one line while it is told to, and tells how often it was asked about it.
type picky struct {
	self threshold.PartyID

	mu    sync.Mutex
	line  string
	deny  bool
	apart bool // denies only what its node does not sign
	asked int
}

// lineOf is the line that an intent belongs to: the requests of threshold proofs begin with a name of their own.
func lineOf(in *attest.Intent) string {
	if strings.HasPrefix(in.RequestID, "prove/") {
		return "prove"
	}
	return string(in.Operation)
}

func (p *picky) set(line string, deny, apart bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line, p.deny, p.apart, p.asked = line, deny, apart, 0
}

func (p *picky) times() int { p.mu.Lock(); defer p.mu.Unlock(); return p.asked }

func (p *picky) Judge(_ context.Context, in *attest.Intent, _ threshold.Committee) (policy.Verdict, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if lineOf(in) != p.line {
		return policy.Verdict{Allow: true, Rule: "others"}, nil
	}
	p.asked++
	return policy.Verdict{Allow: !p.deny || p.apart && slices.Contains(in.Signers, p.self), Rule: "picky", Why: "it is told to"}, nil
}

// tapped counts the ceremonies of which nodes send something, by sender, kind and number of receivers; 0 stands for any number. What is
// repeated later of a ceremony does not count again.
type tapped struct {
	mu   sync.Mutex
	seen map[frames]map[[32]byte]bool
}

type frames struct {
	from transport.NodeID
	kind uint8
	to   int
}

func (c *cluster) tap() *tapped {
	x := &tapped{seen: map[frames]map[[32]byte]bool{}}
	c.hub.SetTap(func(f memnet.Frame) {
		e, err := transporttest.Peek(transport.Envelope{Body: f.Body})
		if err != nil {
			return
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, to := range []int{0, len(e.To)} {
			of := frames{e.From, e.Kind, to}
			if x.seen[of] == nil {
				x.seen[of] = map[[32]byte]bool{}
			}
			x.seen[of][e.Topic] = true
		}
	})
	return x
}

func (x *tapped) count(f frames) int { x.mu.Lock(); defer x.mu.Unlock(); return len(x.seen[f]) }

// tallied is a token that tells how often each of its keys has signed.
type tallied struct {
	hsm.Token
	hsm.PublicKeyer
	hsm.KeyWrapper
	mu     sync.Mutex
	signed map[string]int
}

func (x *tallied) Sign(ctx context.Context, keyID string, message []byte) ([]byte, error) {
	x.mu.Lock()
	x.signed[keyID]++
	x.mu.Unlock()
	return x.Token.Sign(ctx, keyID, message)
}

func (x *tallied) count(keyID string) int { x.mu.Lock(); defer x.mu.Unlock(); return x.signed[keyID] }

// tally starts the member again with a token that counts.
func (m *member) tally() *tallied {
	x := &tallied{Token: m.token, PublicKeyer: m.token.(hsm.PublicKeyer), KeyWrapper: m.token.(hsm.KeyWrapper), signed: map[string]int{}}
	m.halt()
	m.token = x
	m.start()
	return x
}

// entries are those of the member's audit log under a name.
func (m *member) entries(t *testing.T, name string) (out []audit.Entry) {
	t.Helper()
	for after := ""; ; {
		es, next, err := m.node.Audit(t.Context(), appliance.Page{Token: after, Size: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			if e.Event == name {
				out = append(out, e)
			}
		}
		if after = next; after == "" {
			return out
		}
	}
}

// factsOf collects one fact of entries.
func factsOf(es []audit.Entry, name string) map[string]bool {
	out := map[string]bool{}
	for _, e := range es {
		out[e.Facts[name]] = true
	}
	return out
}

// act asks a node for what a line does, under a session_id and with a body where the line's requests have them, by signers if any are
// named.
type act func(ctx context.Context, n *appliance.Node, session string, body byte, signers ...transport.NodeID) error

// actsOf are what every line does with a wallet of three nodes: the lines of Node.Lines, by name.
func actsOf(w *appliance.Wallet) map[string]act {
	return map[string]act{
		"keygen": func(ctx context.Context, n *appliance.Node, session string, body byte, _ ...transport.NodeID) error {
			_, err := n.Keygen(ctx, appliance.KeygenRequest{SessionID: session, BodyHash: [32]byte{body}, Curve: "ed25519", Threshold: 2, Total: 3})
			return err
		},
		"refresh": func(ctx context.Context, n *appliance.Node, session string, body byte, _ ...transport.NodeID) error {
			_, err := n.Refresh(ctx, appliance.RefreshRequest{SessionID: session, BodyHash: [32]byte{body}, WalletID: w.ID})
			return err
		},
		"prove": func(ctx context.Context, n *appliance.Node, _ string, _ byte, _ ...transport.NodeID) error {
			_, err := n.ProveThreshold(ctx, w.ID)
			return err
		},
		"presign": func(ctx context.Context, n *appliance.Node, _ string, _ byte, signers ...transport.NodeID) error {
			return n.Fill(ctx, w.ID, signers...)
		},
		"sign": func(ctx context.Context, n *appliance.Node, session string, body byte, signers ...transport.NodeID) error {
			_, err := n.Sign(ctx, appliance.SignRequest{SessionID: session, BodyHash: [32]byte{body}, WalletID: w.ID,
				Message: digestOf(session), Signers: signers})
			return err
		},
	}
}

// lineRow is what a line puts on record.
type lineRow struct {
	passed string   // by the coordinator, once the gate has let it pass
	begun  string   // by a party, the same
	done   []string // by the coordinator, in the end
}

var lineRows = map[string]lineRow{
	"keygen":  {"keygen.begin", "keygen.begin", []string{"keygen.certified", "key.active"}},
	"refresh": {"refresh.begin", "refresh.begin", []string{"refresh.done"}},
	"prove":   {"prove.accept", "share.prove", nil},
	"presign": {"presign.begin", "presign.begin", nil},
	"sign":    {"sign.accept", "share.sign", []string{"sign.done"}},
}

// gateTest is a cluster whose policies and tokens are watched. That nothing can be put on record shows when it is put there, and not
// before: else no act would come as far as to what must hold it back.
type gateTest struct {
	*cluster
	rules []*picky
	token *tallied // of node1, the coordinator
	sent  *tapped
}

func newGateTest(t *testing.T) *gateTest {
	g := &gateTest{cluster: newClusterLimits(t, 3, appliance.Limits{Presignatures: 8})}
	for i, m := range g.nodes {
		g.rules = append(g.rules, &picky{self: threshold.PartyID(i + 1)})
		m.policy, m.blind = g.rules[i], true
		if x := m.tally(); i == 0 {
			g.token = x
		}
	}
	g.waitReady()
	g.sent = g.tap()
	return g
}

// closeLog ends the member's audit log, and with the test the member, which cannot say then that it stops.
func (m *member) closeLog() {
	if err := m.node.AuditLog().Close(); err != nil {
		m.c.t.Error(err)
	}
	stop, done := m.stop, m.done
	m.stop = nil
	m.c.t.Cleanup(func() { stop(); <-done })
}
