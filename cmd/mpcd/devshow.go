package main

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
)

// show is the walk through that dev takes before it says ready: keys, their proof, the loss of a node, its return. A cluster that
// was kept has its keys already.
func (d *dev) show(ctx context.Context) ([]wire.Wallet, error) {
	first := client.New(client.Config{Nodes: []string{d.members[0].url()}})
	if err := d.waitAll(ctx); err != nil {
		return nil, err
	}
	keys, err := d.keys(ctx, first)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		began := time.Now()
		s, err := sign(ctx, first, k, nil)
		if err != nil {
			return nil, err
		}
		d.o.note("signed with the %s key by %s in %d ms (%s after the start)", kindOf(k), strings.Join(s.Signers, " and "), time.Since(began).Milliseconds(), since(d.began))
	}
	return keys, d.loseAndRegain(ctx, first, keys)
}

// loseAndRegain kills the last node, signs without it, starts it again and signs with it.
func (d *dev) loseAndRegain(ctx context.Context, first *client.Client, keys []wire.Wallet) error {
	last := d.members[len(d.members)-1]
	last.stop(syscall.SIGKILL, time.Second)
	if d.threshold < d.nodes {
		for _, k := range keys {
			s, err := sign(ctx, first, k, nil)
			if err != nil {
				return fmt.Errorf("sign after %s was killed: %w", last.id, err)
			}
			d.o.note("killed %s, signed with the %s key by %s", last.id, kindOf(k), strings.Join(s.Signers, " and "))
		}
	} else {
		d.o.note("killed %s; all %d nodes are needed, so nothing is signed without it", last.id, d.nodes)
	}
	restarted := time.Now()
	if err := d.family.start(last); err != nil {
		return err
	}
	if err := last.waitReady(ctx); err != nil {
		return err
	}
	if err := d.waitLive(ctx, first, last.id, restarted); err != nil {
		return err
	}
	quorum := []string{last.id}
	for _, m := range d.members[:d.threshold-1] {
		quorum = append(quorum, m.id)
	}
	for _, k := range keys {
		s, err := sign(ctx, first, k, quorum)
		if err != nil {
			return fmt.Errorf("sign after %s came back: %w", last.id, err)
		}
		d.o.note("%s is back, signed with the %s key by %s", last.id, kindOf(k), strings.Join(s.Signers, " and "))
	}
	return nil
}

// keys finds the cluster's Ed25519 and Taproot keys, or makes them.
func (d *dev) keys(ctx context.Context, c *client.Client) ([]wire.Wallet, error) {
	kept, err := allWallets(ctx, c)
	if err != nil {
		return nil, err
	}
	var out []wire.Wallet
	for _, q := range []wire.KeygenRequest{
		{Curve: "ed25519", Protocol: "frost", Threshold: d.threshold, Total: d.nodes, Label: "dev ed25519"},
		{Curve: "secp256k1", Protocol: "frost", Threshold: d.threshold, Total: d.nodes, Label: "dev taproot"},
	} {
		if w, ok := active(kept, q); ok {
			out = append(out, w)
			continue
		}
		began := time.Now()
		w, err := c.Keygen(ctx, &q)
		if err != nil {
			return nil, err
		}
		d.o.note("made the %s key in %d ms and proved it: any %d of %d nodes sign, %d cannot", kindOf(*w), time.Since(began).Milliseconds(), w.Threshold, w.Total, w.Threshold-1)
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

func kindOf(w wire.Wallet) string {
	switch {
	case w.Curve == "secp256k1" && w.Protocol == "frost":
		return "Taproot"
	case w.Curve == "secp256k1":
		return "ECDSA"
	}
	return "Ed25519"
}

// sign signs a fresh text, or its digest, and returns what the node answered.
func sign(ctx context.Context, c *client.Client, w wire.Wallet, signers []string) (*wire.Signature, error) {
	text := []byte("mpcd dev " + time.Now().UTC().Format(time.RFC3339Nano))
	q := wire.SignRequest{WalletID: w.WalletID, Message: text, Signers: signers}
	if w.Curve == "secp256k1" {
		h := sha256.Sum256(text)
		q.Message, q.MessageHash = nil, h[:]
	}
	return c.Sign(ctx, &q)
}

// waitAll waits until every node sees every other one live.
func (d *dev) waitAll(ctx context.Context) error {
	for _, m := range d.members {
		c := client.New(client.Config{Nodes: []string{m.url()}})
		for _, other := range d.members {
			if other == m {
				continue
			}
			if err := d.waitLive(ctx, c, other.id, d.began); err != nil {
				return err
			}
		}
	}
	return nil
}

// waitLive waits until a node has seen another one live after a moment.
func (d *dev) waitLive(ctx context.Context, c *client.Client, id string, after time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, host.BootTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		nodes, err := c.Nodes(ctx)
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
