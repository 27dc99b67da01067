package appliance_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/vault"
)

// gate is a Store that holds the first write which touches a key with the prefix until it is opened.
type gate struct {
	vault.Store
	prefix  string
	taken   atomic.Bool
	held    chan struct{} // closed when a write is held
	opened  chan struct{}
	opening sync.Once
	mu      sync.Mutex
	writes  map[string]int // by prefix of the node's keys
}

func (m *member) gate(prefix string) *gate {
	g := &gate{Store: m.state, prefix: prefix, held: make(chan struct{}), opened: make(chan struct{}), writes: map[string]int{}}
	m.halt()
	m.state = g
	m.start()
	m.c.waitReady()
	m.c.t.Cleanup(g.open)
	return g
}

func (g *gate) open() { g.opening.Do(func() { close(g.opened) }) }

func (g *gate) Batch(ctx context.Context, puts []vault.Pair, deletes [][]byte) error {
	for _, p := range puts {
		if bytes.HasPrefix(p.Key, []byte(g.prefix)) {
			if g.taken.CompareAndSwap(false, true) {
				close(g.held)
				<-g.opened
			}
			break
		}
	}
	err := g.Store.Batch(ctx, puts, deletes)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range puts {
		g.writes[strings.Join(strings.SplitAfterN(string(p.Key), "/", 3)[:2], "")]++
	}
	return err
}

func (g *gate) count(kind string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.writes[kind]
}

// Goal: a proof that is accepted late does not put a key back to an epoch that is over. Method: hold a node's first write of the
// proofs, let the same proofs come again, refresh, and only then let the first write go on.
func TestLateProofKeepsEpoch(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Silence: 600 * time.Millisecond})
	g := c.nodes[2].gate("node/proofs/")
	w := c.keygen("ed25519", 2, 3)
	<-g.held
	refresh := func() error {
		_, err := c.nodes[0].node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID})
		return err
	}
	err := refresh()
	before := g.count("node/wallet/")
	g.open()
	waitFor(t, "the late record", func() bool { return g.count("node/wallet/") > before })
	if err != nil {
		waitFor(t, "a refresh", func() bool { return refresh() == nil })
	}
	waitFor(t, "the epoch on all nodes", func() bool {
		for _, m := range c.nodes {
			if got, err := m.node.Wallet(t.Context(), w.ID); err != nil || got.Epoch < 2 || got.State != keys.Active {
				return false
			}
		}
		return true
	})
}

// Goal: a session_id stays taken as long as its ceremony runs, also when the caller has gone. Method: hold the write of the
// answer, let the caller go, and ask again with the same body and with another.
func TestSessionOutlivesCaller(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	g := c.nodes[0].gate("node/receipt/")
	n := c.nodes[0].node
	before := n.Counts().Batches
	req := appliance.SignRequest{SessionID: "once", WalletID: w.ID, Message: []byte("pay 1"), BodyHash: [32]byte{1}}
	gone, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := n.Sign(gone, req)
		first <- err
	}()
	<-g.held
	leave()
	if err := <-first; err == nil {
		t.Fatal("answered before the answer was durable")
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := n.Sign(short, req)
	wantCode(t, err, problem.Timeout)
	other := req
	other.Message, other.BodyHash = []byte("pay 2"), [32]byte{2}
	_, err = n.Sign(t.Context(), other)
	wantCode(t, err, problem.Conflict)
	g.open()
	if _, err := n.Sign(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if got := n.Counts().Batches - before; got != 1 {
		t.Errorf("%d ceremonies for one session_id", got)
	}
}

// Goal: a node that stops waits for the requests it has begun, because its caller closes the vault next. Method: hold a write of a
// keygen while the node is told to stop.
func TestStopWaitsForRequests(t *testing.T) {
	c := newCluster(t, 3)
	m := c.nodes[0]
	g := m.gate("node/session/")
	var returned atomic.Bool
	go func() {
		_, _ = m.node.Keygen(context.Background(), appliance.KeygenRequest{Curve: "ed25519", Protocol: "frost", Threshold: 2, Total: 3})
		returned.Store(true)
	}()
	<-g.held
	m.stop()
	select {
	case err := <-m.done:
		t.Errorf("Run returned (%v), and a request is under way", err)
		m.done <- err
		g.open()
	case <-time.After(100 * time.Millisecond):
		g.open()
		err := <-m.done
		m.done <- err
		if !returned.Load() {
			waitFor(t, "the request's end", returned.Load)
		}
	}
}

// Goal: a batch may be larger than the store's. Method: one lane, 150 requests, batches of up to 150.
func TestLargeBatch(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Batch: 150, Lanes: 1})
	w := c.keygen("ed25519", 2, 3)
	var wg sync.WaitGroup
	for i := range 150 {
		wg.Go(func() {
			if _, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte{byte(i), 9}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := c.nodes[0].node.Counts(); n.Retries > 0 {
		t.Errorf("%d requests were tried again", n.Retries)
	}
}

// flaky is a token that can refuse to open what it sealed.
type flaky struct {
	hsm.Token
	fail atomic.Bool
}

func (f *flaky) Wrap(ctx context.Context, id string, dek, aad []byte) ([]byte, error) {
	return f.Token.(hsm.KeyWrapper).Wrap(ctx, id, dek, aad)
}

func (f *flaky) Unwrap(ctx context.Context, id string, wrapped, aad []byte) ([]byte, error) {
	if f.fail.Load() {
		return nil, errors.New("the token is away")
	}
	return f.Token.(hsm.KeyWrapper).Unwrap(ctx, id, wrapped, aad)
}

func (f *flaky) PublicKey(ctx context.Context, id string) (crypto.PublicKey, error) {
	return f.Token.(hsm.PublicKeyer).PublicKey(ctx, id)
}

// Goal: a refresh whose certificate is complete is never discarded for another attempt. Method: the tokens of all nodes fail at
// the activation; the next refresh has to find the key at epoch 2 and make epoch 3.
func TestCommittedRefreshStays(t *testing.T) {
	c := newCluster(t, 3)
	var tokens []*flaky
	for _, m := range c.nodes {
		m.halt()
		f := &flaky{Token: m.token}
		tokens = append(tokens, f)
		m.token = f
		m.start()
	}
	c.waitReady()
	w := c.keygen("ed25519", 2, 3)
	for _, f := range tokens {
		f.fail.Store(true)
	}
	if _, err := c.nodes[0].node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID}); err == nil {
		t.Fatal("refreshed without tokens")
	}
	for _, f := range tokens {
		f.fail.Store(false)
	}
	got, err := c.nodes[0].node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID})
	if err != nil {
		t.Fatal(err)
	}
	if got.Epoch != 3 {
		t.Errorf("epoch %d: a certified share was discarded", got.Epoch)
	}
	if _, err := c.nodes[1].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m")}); err != nil {
		t.Error(err)
	}
}

// Goal: nothing of a key ceremony happens before it is on record, the pair setup included. Method: a node whose audit log is
// closed is asked to a keygen that begins with a pair setup; its vault must stay as it is.
func TestAuditBeforePairSetup(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Silence: 500 * time.Millisecond})
	m := c.nodes[1]
	m.halt()
	m.blind = true
	m.start()
	c.waitReady()
	before := len(m.vault.(interface{ Keys() []string }).Keys())
	m.closer[0]()
	if _, err := c.nodes[0].node.Keygen(t.Context(), appliance.KeygenRequest{Curve: "secp256k1", Protocol: "dkls23", Threshold: 2,
		Total: 3}); err == nil {
		t.Error("a key was made without a record")
	}
	if got := len(m.vault.(interface{ Keys() []string }).Keys()); got != before {
		t.Errorf("the vault has %d entries, it had %d: the pair setup was made without a record", got, before)
	}
	m.stop()
	<-m.done // it cannot record its stop
	m.closer[1]()
	m.stop = nil
}
