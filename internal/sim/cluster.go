package sim

import (
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host"
)

// ClusterName is the name of every cluster made here.
const ClusterName = "sim"

// Config says what kind of cluster New makes.
type Config struct {
	Nodes  int
	Limits appliance.Limits
}

// Cluster is nodes of one process, made of real parts.
type Cluster struct {
	TB     testing.TB
	Roster *attest.SignedRoster
	Nodes  []*Node // Nodes[i] is party i+1
	Wire   *Wire   // everything that any node handed to NATS
	Log    *Buffer // everything that any node logged, at level debug

	limits   appliance.Limits
	operator *enrol.Operator
	dir      string // of the operator
}

// New makes a cluster, starts its nodes and waits until each sees all. It ends with the test.
func New(tb testing.TB, cfg Config) *Cluster {
	tb.Helper()
	c := &Cluster{TB: tb, Wire: &Wire{}, Log: &Buffer{}, limits: cfg.Limits, dir: filepath.Join(tb.TempDir(), "operator")}
	var err error
	if c.operator, err = enrol.NewOperator(c.dir, ClusterName); err != nil {
		tb.Fatal(err)
	}
	if _, err := c.operator.Pilot(); err != nil {
		tb.Fatal(err)
	}
	routes := FreePorts(tb, cfg.Nodes)
	var es []enrol.Enrolment
	for i := range cfg.Nodes {
		n, e := c.newNode(i, routes)
		es, c.Nodes = append(es, e), append(c.Nodes, n)
	}
	if c.Roster, err = c.operator.Sign(nil, es); err != nil {
		tb.Fatal(err)
	}
	for _, n := range c.Nodes {
		n.Start()
	}
	c.WaitReady()
	return c
}

// WaitReady returns when every running node sees every other.
func (c *Cluster) WaitReady() {
	c.TB.Helper()
	running := 0
	for _, n := range c.Nodes {
		if n.Running() {
			running++
		}
	}
	for _, n := range c.Nodes {
		if n.Running() {
			Wait(c.TB, fmt.Sprintf("%s sees %d nodes", n.ID, running), func() bool { return n.live() >= running })
		}
	}
}

// Keygen makes a FROST key on the first node.
func (c *Cluster) Keygen(curve string, t, n int) *appliance.Wallet {
	c.TB.Helper()
	return c.KeygenBy(curve, "frost", t, n)
}

// KeygenBy makes a key of the protocol on the first node.
func (c *Cluster) KeygenBy(curve, protocol string, t, n int) *appliance.Wallet {
	c.TB.Helper()
	w, err := c.Nodes[0].Node.Keygen(c.TB.Context(), appliance.KeygenRequest{Curve: curve, Protocol: protocol, Threshold: t, Total: n,
		Label: "sim"})
	if err != nil {
		c.TB.Fatal(err)
	}
	return w
}

// Initiate signs an intent as the cluster's initiator.
func (c *Cluster) Initiate(in *attest.Intent) {
	c.TB.Helper()
	chain, err := host.ReadAuthority(filepath.Join(c.dir, enrol.AuthorityFile), ed25519.PublicKey(c.Roster.Root))
	if err != nil {
		c.TB.Fatal(err)
	}
	digest := chain[len(chain)-1].Authority.Digest()
	err = enrol.UseKey("", filepath.Join(c.dir, enrol.InitiatorFile), nil, func(sign attest.SignFunc) (err error) {
		in.Authority = digest[:]
		in.Initiation, err = in.Initiate("initiator", time.UnixMilli(in.Created).Add(time.Hour), sign)
		return err
	})
	if err != nil {
		c.TB.Fatal(err)
	}
}

func (c *Cluster) peers() transport.Peers { return host.Peers(c.Roster.Roster) }

// waitMax is how long a condition may take to hold before the test fails.
const waitMax = 30 * time.Second

// Wait returns when the condition holds, and fails the test when it never does.
func Wait(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.Now().Add(waitMax)
	for !ok() {
		if time.Now().After(deadline) {
			tb.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// FreePorts returns n addresses on loopback that were free just now, below those that the system gives to connections: between now and
// their use no connection takes one, and of other tests hardly one.
func FreePorts(tb testing.TB, n int) []string {
	tb.Helper()
	const first, last, tries = 12_000, 32_000, 1000
	var out []string
	for range tries {
		if len(out) == n {
			return out
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(last-first)))
		if err != nil {
			continue // in use
		}
		defer l.Close() // all are held until all are found
		out = append(out, l.Addr().String())
	}
	tb.Fatalf("%d free ports, want %d", len(out), n)
	return nil
}

// Buffer keeps what is written to it. It is safe for concurrent use.
type Buffer struct {
	mu sync.Mutex
	b  []byte
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b = append(b.b, p...)
	return len(p), nil
}

// Bytes is a copy of what was written.
func (b *Buffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]byte(nil), b.b...)
}

func (b *Buffer) String() string { return string(b.Bytes()) }
