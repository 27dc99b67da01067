package dev

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// Show is the walk through that dev takes before it says ready: keys, their proof, the loss of a node, its return. A cluster that
// was kept has its keys already.
func (c *Cluster) Show(ctx context.Context) (r Ready, err error) {
	first := client.New(client.Config{Nodes: []string{c.members[0].url()}})
	if err := c.waitAll(ctx); err != nil {
		return r, err
	}
	keys, err := c.wallets(ctx, first)
	if err != nil {
		return r, err
	}
	for _, k := range keys {
		began := time.Now()
		s, err := sign(ctx, first, k, nil)
		if err != nil {
			return r, err
		}
		c.Note("signed with the %s key by %s in %d ms (%s after the start)", kindOf(k).Name, strings.Join(s.Signers, " and "),
			time.Since(began).Milliseconds(), c.Since())
	}
	if err := c.loseAndRegain(ctx, first, keys); err != nil {
		return r, err
	}
	return c.ready(keys)
}

// loseAndRegain kills the last node, signs without it, starts it again and signs with it.
func (c *Cluster) loseAndRegain(ctx context.Context, first *client.Client, keys []wire.Wallet) error {
	last := c.members[len(c.members)-1]
	last.stop(syscall.SIGKILL, time.Second)
	if c.Threshold < c.Nodes {
		for _, k := range keys {
			s, err := sign(ctx, first, k, nil)
			if err != nil {
				return fmt.Errorf("sign after %s was killed: %w", last.id, err)
			}
			c.Note("killed %s, signed with the %s key by %s", last.id, kindOf(k).Name, strings.Join(s.Signers, " and "))
		}
	} else {
		c.Note("killed %s; all %d nodes are needed, so nothing is signed without it", last.id, c.Nodes)
	}
	restarted := time.Now()
	if err := c.family.start(last); err != nil {
		return err
	}
	if err := last.waitReady(ctx); err != nil {
		return err
	}
	if err := c.waitLive(ctx, first, last.id, restarted); err != nil {
		return err
	}
	quorum := []string{last.id}
	for _, m := range c.members[:c.Threshold-1] {
		quorum = append(quorum, m.id)
	}
	for _, k := range keys {
		s, err := sign(ctx, first, k, quorum)
		if err != nil {
			return fmt.Errorf("sign after %s came back: %w", last.id, err)
		}
		c.Note("%s is back, signed with the %s key by %s", last.id, kindOf(k).Name, strings.Join(s.Signers, " and "))
	}
	return nil
}

// wallets finds the cluster's Ed25519 and Taproot keys, or makes them.
func (c *Cluster) wallets(ctx context.Context, api *client.Client) ([]wire.Wallet, error) {
	kept, err := api.AllWallets(ctx)
	if err != nil {
		return nil, err
	}
	var out []wire.Wallet
	for _, q := range []wire.KeygenRequest{
		{Curve: "ed25519", Protocol: "frost", Threshold: c.Threshold, Total: c.Nodes, Label: "dev ed25519"},
		{Curve: "secp256k1", Protocol: "frost", Threshold: c.Threshold, Total: c.Nodes, Label: "dev taproot"},
	} {
		if w, ok := active(kept, q); ok {
			out = append(out, w)
			continue
		}
		began := time.Now()
		w, err := api.Keygen(ctx, &q)
		if err != nil {
			return nil, err
		}
		c.Note("made the %s key in %d ms and proved it: any %d of %d nodes sign, %d cannot", kindOf(*w).Name, time.Since(began).Milliseconds(),
			w.Threshold, w.Total, w.Threshold-1)
		out = append(out, *w)
	}
	return out, nil
}

func active(ws []wire.Wallet, q wire.KeygenRequest) (wire.Wallet, bool) {
	for _, w := range ws {
		if w.Curve == q.Curve && w.Label == q.Label && w.State == "active" {
			return w, true
		}
	}
	return wire.Wallet{}, false
}

func kindOf(w wire.Wallet) threshold.Kind {
	s, err := schemes.For(w.Curve, w.Protocol)
	if err != nil {
		return threshold.Kind{Name: w.Protocol} // of another release
	}
	return s.Kind()
}

// sign signs a fresh text, or its digest, and returns what the node answered.
func sign(ctx context.Context, c *client.Client, w wire.Wallet, signers []string) (*wire.Signature, error) {
	text := []byte("mpcd dev " + time.Now().UTC().Format(time.RFC3339Nano))
	q := wire.SignRequest{WalletID: w.WalletID, Message: text, Signers: signers}
	if kindOf(w).Digest > 0 {
		h := sha256.Sum256(text)
		q.Message, q.MessageHash = nil, h[:]
	}
	return c.Sign(ctx, &q)
}

// waitAll waits until every node sees every other one live.
func (c *Cluster) waitAll(ctx context.Context) error {
	for _, m := range c.members {
		api := client.New(client.Config{Nodes: []string{m.url()}})
		for _, other := range c.members {
			if other == m {
				continue
			}
			if err := c.waitLive(ctx, api, other.id, c.Began); err != nil {
				return err
			}
		}
	}
	return nil
}

// waitLive waits until a node has seen another one live after a moment.
func (c *Cluster) waitLive(ctx context.Context, api *client.Client, id string, after time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, host.BootTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		nodes, err := api.Nodes(ctx)
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if n.ID == id && n.Live && n.LastSeen != nil && n.LastSeen.After(after) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not come back: %w", id, ctx.Err())
		case <-tick.C:
		}
	}
}
