package appliance_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/vault"
)

// gate is a Store that holds the first write which touches a key with the prefix until it is opened.
type gate struct {
	vault.Store
	prefix string
	taken  atomic.Bool
	held   chan struct{} // closed when a write is held
	opened chan struct{}
	mu     sync.Mutex
	writes map[string]int // by prefix of the node's keys
}

func (m *member) gate(prefix string) *gate {
	g := &gate{Store: m.state, prefix: prefix, held: make(chan struct{}), opened: make(chan struct{}), writes: map[string]int{}}
	m.halt()
	m.state = g
	m.start()
	m.c.waitReady()
	return g
}

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
	close(g.opened)
	waitFor(t, "the late record", func() bool { return g.count("node/wallet/") > before })
	if err != nil {
		waitFor(t, "a refresh", func() bool { return refresh() == nil })
	}
	waitFor(t, "the epoch on all nodes", func() bool {
		for _, m := range c.nodes {
			if got, err := m.node.Wallet(t.Context(), w.ID); err != nil || got.Epoch < 2 || got.State != appliance.StateActive {
				return false
			}
		}
		return true
	})
}
