package appliance_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// noBad denies every message that begins with "bad".
type noBad struct{}

func (noBad) Judge(_ context.Context, in *attest.Intent, _ threshold.Committee) (policy.Verdict, error) {
	if strings.HasPrefix(string(in.Message), "bad") {
		return policy.Verdict{Rule: "no-bad", Why: "it is bad"}, nil
	}
	return policy.Verdict{Allow: true, Rule: "all"}, nil
}

// Goal: a request that is denied, here or by a peer, does not break up the batch it is in: the others are signed together, and it
// alone is refused; each is on record by itself. Method: 60 requests at once, three of them denied; count the ceremonies and the entries.
func TestDeniedInBatch(t *testing.T) {
	for name, deniers := range map[string][]int{"by the coordinator": {0}, "by a peer": {1, 2}} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 3)
			for _, i := range deniers {
				m := c.nodes[i]
				m.halt()
				m.policy = noBad{}
				m.start()
			}
			c.waitReady()
			w := c.keygen("ed25519", 2, 3)
			n := c.nodes[0].node
			before := n.Counts().Batches
			var wg sync.WaitGroup
			for i := range 60 {
				wg.Go(func() {
					text := fmt.Sprint("good ", i)
					if i%20 == 7 {
						text = fmt.Sprint("bad ", i)
					}
					_, err := n.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte(text)})
					if strings.HasPrefix(text, "bad") {
						wantCode(t, err, problem.Denied)
					} else if err != nil {
						t.Errorf("%s: %v", text, err)
					}
				})
			}
			wg.Wait()
			if got := n.Counts().Batches - before; got > 30 {
				t.Errorf("%d ceremonies for 60 requests, 3 of them denied", got)
			}
			for event, want := range map[string]int{"sign.done": 57, "sign.refuse": map[bool]int{true: 3}[name == "by the coordinator"]} {
				if got := len(factsOf(c.nodes[0].entries(t, event), "session")); got != want {
					t.Errorf("%s of %d requests on record, want %d", event, got, want)
				}
			}
		})
	}
}

// choosy waits before it judges "first" until it is let go, and denies what is bad, and what is odd each for a reason of its own.
type choosy struct {
	letGo  chan struct{}
	denies bool
}

func (p choosy) Judge(_ context.Context, in *attest.Intent, _ threshold.Committee) (policy.Verdict, error) {
	kind, _, _ := strings.Cut(string(in.Message), " ")
	switch {
	case kind == "first":
		<-p.letGo
	case p.denies && kind == "bad":
		return policy.Verdict{Why: "it is bad"}, nil
	case p.denies && kind == "odd":
		return policy.Verdict{Why: "it is " + string(in.Message)}, nil
	}
	return policy.Verdict{Allow: true}, nil
}

// Goal: who refuses requests of a batch names all of them, and the others are signed together with the next ceremony, however many were
// refused, for one reason or for several. Method: 60 requests wait in one lane behind another; a coordinator or its peers deny some of
// them; count the ceremonies that were led.
func TestRestOfBatchGoesOn(t *testing.T) {
	for name, row := range map[string]struct {
		odd    int
		byPeer bool
		want   uint64
	}{
		"by the coordinator":                      {0, false, 1},
		"by the coordinator, for several reasons": {3, false, 1},
		"by peers":                      {0, true, 1 + 1 + 1},         // all, the rest, and the bad ones with the other peer
		"by peers, for several reasons": {3, true, 1 + 1 + 1 + 3 + 3}, // and the odd ones, one less each time, with both
	} {
		t.Run(name, func(t *testing.T) {
			c := newClusterLimits(t, 3, appliance.Limits{Lanes: 1})
			letGo := make(chan struct{})
			for i, m := range c.nodes {
				m.halt()
				m.policy = choosy{letGo, row.byPeer == (i > 0)}
				m.start()
			}
			c.waitReady()
			w := c.keygen("ed25519", 2, 3)
			n := c.nodes[0].node
			before := n.Counts().Batches
			var wg sync.WaitGroup
			sign := func(text string) {
				wg.Go(func() {
					_, err := n.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte(text)})
					if strings.HasPrefix(text, "bad") || strings.HasPrefix(text, "odd") {
						wantCode(t, err, problem.Denied)
					} else if err != nil {
						t.Errorf("%s: %v", text, err)
					}
				})
			}
			sign("first")
			waitFor(t, "the first has begun", func() bool { return n.Working() == 1 && n.Queued() == 0 })
			for i := range 60 {
				switch {
				case i%20 == 7:
					sign(fmt.Sprint("bad ", i))
				case i%20 == 9 && i/20 < row.odd:
					sign(fmt.Sprint("odd ", i))
				default:
					sign(fmt.Sprint("good ", i))
				}
			}
			waitFor(t, "all wait", func() bool { return n.Queued() == 60 })
			close(letGo)
			wg.Wait()
			if got := n.Counts().Batches - before - 1; got != row.want {
				t.Errorf("%d ceremonies for 60 requests, want %d", got, row.want)
			}
			if got := n.Counts().Retries; got > 150 { // those that nobody refuses, once with each peer
				t.Errorf("60 requests were tried again %d times", got)
			}
		})
	}
}

// failing is a token whose n-th signatures with a key fail.
type failing struct {
	hsm.Token
	hsm.PublicKeyer
	hsm.KeyWrapper
	fails    atomic.Int64
	settling func() // called before it signs one; may be nil
}

func (f *failing) Sign(ctx context.Context, keyID string, message []byte) ([]byte, error) {
	if f.settling != nil && strings.Contains(string(message), string(attest.KindSettlement)) {
		f.settling()
	}
	if f.fails.Load() > 0 && strings.Contains(string(message), string(attest.KindSettlement)) && f.fails.Add(-1) >= 0 {
		return nil, errors.New("the token is busy")
	}
	return f.Token.Sign(ctx, keyID, message)
}

// Goal: when the outcome cannot be attested or stored at once, that is tried again; a second signature is not made. Method: a token
// that fails twice on settlements, and a store that fails twice on receipts; count the ceremonies.
func TestSettleAgain(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	m := c.nodes[0]
	token := &failing{Token: m.token, PublicKeyer: m.token.(hsm.PublicKeyer), KeyWrapper: m.token.(hsm.KeyWrapper)}
	store := &failingStore{Store: m.state, prefix: "node/receipt/"}
	m.halt()
	m.token, m.state = token, store
	m.start()
	c.waitReady()
	for _, count := range []*atomic.Int64{&token.fails, &store.fails} {
		before := m.node.Counts().Batches
		count.Store(2)
		sig, err := m.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.node.Receipt(t.Context(), sig.ReceiptID); err != nil {
			t.Error(err)
		}
		count.Store(100)
		if _, err := m.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("never")}); err == nil {
			t.Error("answered without a receipt")
		}
		count.Store(0)
		if got := m.node.Counts().Batches - before; got != 2 {
			t.Errorf("%d ceremonies for two requests", got)
		}
	}
}

// Goal: no signature is handed out before it is on record that it was made. Method: the audit log is closed when the token is to attest
// the outcome.
func TestNoAnswerOffRecord(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	m := c.nodes[0]
	m.halt()
	m.token = &failing{Token: m.token, PublicKeyer: m.token.(hsm.PublicKeyer), KeyWrapper: m.token.(hsm.KeyWrapper),
		settling: sync.OnceFunc(func() { m.closeLog() })}
	m.start()
	c.waitReady()
	if _, err := m.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m")}); err == nil {
		t.Error("a signature was handed out off the record")
	}
}

// failingStore refuses what is stored under keys with the prefix, so often.
type failingStore struct {
	vault.Store
	prefix string
	fails  atomic.Int64
}

func (f *failingStore) Batch(ctx context.Context, puts []vault.Pair, deletes [][]byte) error {
	for _, p := range puts {
		if strings.HasPrefix(string(p.Key), f.prefix) && f.fails.Load() > 0 {
			f.fails.Add(-1)
			return errors.New("the disk is busy")
		}
	}
	return f.Store.Batch(ctx, puts, deletes)
}

// slowToken takes its time for every signature, one after the other.
type slowToken struct {
	hsm.Token
	hsm.PublicKeyer
	hsm.KeyWrapper
	mu    sync.Mutex
	takes time.Duration
}

func (s *slowToken) Sign(ctx context.Context, keyID string, message []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	time.Sleep(s.takes) // the token's own slowness, not a wait of the test
	return s.Token.Sign(ctx, keyID, message)
}

// Goal: where the coordinator's token is slow, requests that arrive together go together; where it is fast, none waits. Method: 40
// requests at once with a token of 10 ms; count the ceremonies.
func TestGather(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	m := c.nodes[0]
	m.halt()
	m.token = &slowToken{Token: m.token, PublicKeyer: m.token.(hsm.PublicKeyer), KeyWrapper: m.token.(hsm.KeyWrapper),
		takes: 10 * time.Millisecond}
	m.start()
	c.waitReady()
	sign := func(text string) {
		if _, err := m.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte(text)}); err != nil {
			t.Error(err)
		}
	}
	for i := range 3 { // it learns how slow the token is
		sign(fmt.Sprint("first ", i))
	}
	before := m.node.Counts().Batches
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() { sign(fmt.Sprint(i)) })
	}
	wg.Wait()
	if got := m.node.Counts().Batches - before; got > 4 {
		t.Errorf("%d ceremonies for 40 requests at once", got)
	}
}
