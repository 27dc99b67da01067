package appliance_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// crashing makes the member's vault and state one store, as they are in the program, and returns it.
func (m *member) crashing() *vaulttest.Memory {
	m.halt()
	store := vaulttest.NewMemory()
	m.vault, m.state = store, store
	return store
}

// reboot restarts the member on what its store held when it crashed.
func (m *member) reboot(store *vaulttest.Memory) *vaulttest.Memory {
	m.c.t.Helper()
	m.halt()
	healthy := store.Reopen()
	m.vault, m.state = healthy, healthy
	m.start()
	return healthy
}

// repeat repeats what may succeed later without a change, as a client does: nodes that were just restarted are not known to all.
func repeat[T any](t *testing.T, do func() (T, error)) (out T, err error) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last answer: %v", err)
		}
	})
	sim.Wait(t, "an answer", func() bool {
		out, err = do()
		var e *problem.Error
		return !errors.As(err, &e) || !e.Code.Retryable()
	})
	return out, err
}

// agree waits until all nodes have the wallet active at one epoch, and returns it.
func (c *cluster) agree(wallet string) (epoch uint64) {
	c.t.Helper()
	sim.Wait(c.t, "all nodes agree on wallet "+wallet, func() bool {
		epoch = 0
		for _, m := range c.nodes {
			w, err := m.node.Wallet(c.t.Context(), wallet)
			if err != nil || w.State != keys.Active || epoch != 0 && w.Epoch != epoch {
				return false
			}
			epoch = w.Epoch
		}
		return true
	})
	return epoch
}

// everyQuorum signs with each pair of the three nodes, at the epoch and at no other.
func (c *cluster) everyQuorum(t *testing.T, wallet string, epoch uint64) {
	t.Helper()
	for i, coordinator := range c.nodes {
		pair := []transport.NodeID{coordinator.id, c.nodes[(i+1)%3].id}
		sig, err := repeat(t, func() (*appliance.Signature, error) {
			return coordinator.node.Sign(t.Context(), appliance.SignRequest{WalletID: wallet, Message: bytes.Repeat([]byte{byte(i) + 1}, 32),
				Signers: pair})
		})
		if err != nil {
			t.Fatalf("%v do not sign: %v", pair, err)
		}
		if sig.Receipt.Key.Epoch != epoch {
			t.Errorf("%v signed at epoch %d, want %d", pair, sig.Receipt.Key.Epoch, epoch)
		}
	}
}

// crashPoints counts the durable writes of a node in act, and runs f for each of them, failed before and after it is on disk.
// victim 0 leads, victim 1 takes part.
func crashPoints(t *testing.T, act func(t *testing.T, victim int) int, f func(t *testing.T, victim, at int, when vaulttest.When)) {
	g := new(errgroup.Group)
	g.SetLimit(6) // they wait more than they work
	for victim, role := range []string{"coordinator", "party"} {
		writes := act(t, victim)
		if writes < 4 {
			t.Errorf("%s: only %d writes", role, writes)
		}
		for at := 1; at <= writes; at++ {
			for when, name := range []string{"before", "after"} {
				g.Go(func() error {
					t.Run(fmt.Sprintf("%s/%s write %d of %d", role, name, at, writes), func(t *testing.T) { f(t, victim, at, vaulttest.When(when)) })
					return nil
				})
			}
		}
	}
	_ = g.Wait()
}

// newCrashing is a cluster of three with one node on a store that can crash, and a key.
func newCrashing(t *testing.T, victim int) (*cluster, *vaulttest.Memory, *appliance.Wallet) {
	t.Helper()
	c := newClusterLimits(t, 3, quick)
	store := c.nodes[victim].crashing()
	c.nodes[victim].start()
	c.waitReady()
	w, err := repeat(t, func() (*appliance.Wallet, error) {
		return c.nodes[0].node.Keygen(t.Context(), appliance.KeygenRequest{Curve: "ed25519", Threshold: 2, Total: 3})
	})
	if err != nil {
		t.Fatal(err)
	}
	c.agree(w.ID) // nothing of it is written after this
	return c, store, w
}

var quick = appliance.Limits{Silence: time.Second, Request: 10 * time.Second}

// Goal: whatever a crash leaves of a refresh, the key is not lost, one epoch alone signs after recovery, and the next refresh
// succeeds. Method: every durable write of the coordinator, then of a party, fails once, before and after it is on disk, with all
// writes after it; the node restarts on what was on disk.
func TestRealCrashInRefresh(t *testing.T) {
	refresh := func(t *testing.T, c *cluster, w *appliance.Wallet) error {
		_, err := c.nodes[0].node.Refresh(t.Context(), appliance.RefreshRequest{SessionID: "once", WalletID: w.ID})
		return err
	}
	crashPoints(t, func(t *testing.T, victim int) int {
		c, store, w := newCrashing(t, victim)
		before := store.Writes()
		if err := refresh(t, c, w); err != nil {
			t.Fatal(err)
		}
		c.agree(w.ID)
		return store.Writes() - before
	}, func(t *testing.T, victim, at int, when vaulttest.When) {
		c, store, w := newCrashing(t, victim)
		store.FailAt(at, when)
		before := store.Writes()
		err := refresh(t, c, w)
		if err == nil { // a party may still be at its last writes
			sim.Wait(t, "the crash", func() bool { return store.Writes()-before >= at })
		}
		c.nodes[victim].reboot(store)
		if store.Writes()-before < at {
			t.Errorf("the node wrote %d times, it did not crash", store.Writes()-before)
		}
		c.waitReady()
		epoch := c.agree(w.ID)
		if err == nil && epoch != 2 {
			t.Errorf("the refresh was acknowledged, and the epoch is %d", epoch)
		}
		c.everyQuorum(t, w.ID, epoch)
		again, err := repeat(t, func() (*appliance.Wallet, error) {
			return c.nodes[1].node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID})
		})
		if err != nil {
			t.Fatalf("the next refresh: %v", err)
		}
		if again.Epoch <= epoch || !bytes.Equal(again.PublicKey, w.PublicKey) {
			t.Errorf("after the next refresh: %+v", again)
		}
		c.everyQuorum(t, w.ID, c.agree(w.ID))
	})
}

// Goal: a crash in key generation never leaves an acknowledged key that does not sign, and never keeps the cluster from making
// the next. Method: as for refresh; the request is repeated under its session_id.
func TestRealCrashInKeygen(t *testing.T) {
	keygen := func(t *testing.T, c *cluster) (*appliance.Wallet, error) {
		return c.nodes[0].node.Keygen(t.Context(), appliance.KeygenRequest{SessionID: "once", Curve: "ed25519", Threshold: 2, Total: 3})
	}
	crashPoints(t, func(t *testing.T, victim int) int {
		c, store, _ := newCrashing(t, victim)
		before := store.Writes()
		w, err := keygen(t, c)
		if err != nil {
			t.Fatal(err)
		}
		c.agree(w.ID)
		return store.Writes() - before
	}, func(t *testing.T, victim, at int, when vaulttest.When) {
		c, store, _ := newCrashing(t, victim)
		before := store.Writes()
		store.FailAt(at, when)
		first, err := keygen(t, c)
		if err == nil {
			sim.Wait(t, "the crash", func() bool { return store.Writes()-before >= at })
		}
		c.nodes[victim].reboot(store)
		c.waitReady()
		if err == nil {
			c.everyQuorum(t, first.ID, c.agree(first.ID))
		}
		w, err := repeat(t, func() (*appliance.Wallet, error) { return keygen(t, c) })
		if err != nil {
			t.Fatalf("the repeated keygen: %v", err)
		}
		if first != nil && first.ID != w.ID {
			t.Errorf("the acknowledged key %s became %s", first.ID, w.ID)
		}
		c.everyQuorum(t, w.ID, c.agree(w.ID))
	})
}
