package appliance

import (
	"context"
	"slices"
	"time"

	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// wallet is a record as the outside sees it.
func (n *core) wallet(id string, r keys.Record) *Wallet {
	w := &Wallet{
		SessionID: r.SessionID, ID: id, Label: r.Label, Group: r.Group, Kind: threshold.KindOf(r.Info.Kind), Protocol: string(r.Scheme),
		PublicKey: keys.Shown(r.Info), Threshold: r.Info.Committee.Threshold, Parties: n.members.Nodes(r.Info.Committee.Parties),
		Epoch: r.Info.Epoch, State: r.State, Created: time.UnixMilli(r.Created).UTC(),
	}
	if s, err := n.cfg.Schemes(r.Scheme); err == nil {
		w.Protocol = s.Protocol()
	}
	return w
}

// Wallet returns one wallet by ID or public key in hex, of others where this node holds no share of it.
func (n *Node) Wallet(ctx context.Context, idOrKey string) (*Wallet, error) {
	key, _, err := n.others.known(ctx, "", idOrKey, nil)
	if err != nil {
		return nil, err
	}
	return n.wallet(key.ID, key.Record), nil
}

// Wallets lists wallets in the order of their IDs.
func (n *Node) Wallets(ctx context.Context, p Page) ([]Wallet, string, error) {
	if p.Token != "" && !attest.IsKeyID(p.Token) {
		return nil, "", badPage()
	}
	size := pageSize(p)
	var out []Wallet
	next := ""
	err := n.keys.Each(ctx, p.Token, func(id string, r keys.Record) bool {
		if p.Vaults != nil && !slices.Contains(p.Vaults, r.Group) {
			return true
		}
		if len(out) == size {
			next = out[size-1].ID
			return false
		}
		out = append(out, *n.wallet(id, r))
		return true
	})
	if err != nil {
		return nil, "", err
	}
	return out, next, nil
}

// badPage is of a token that no page ends with.
func badPage() error {
	return problem.Field("page_token", "use the next_page_token of the answer before", "bad page_token")
}

func pageSize(p Page) int {
	if p.Size <= 0 || p.Size > 1000 {
		return 100
	}
	return p.Size
}
