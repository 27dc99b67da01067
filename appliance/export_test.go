package appliance

import (
	"context"
	"errors"

	"github.com/luxfi/mpcd/threshold"
)

// BanPeer does what a failed check of the oblivious transfer does: the pair state is destroyed, and the ban stored.
func (n *Node) BanPeer(ctx context.Context, wallet string, peer threshold.PartyID) error {
	rec, err := n.keys.record(ctx, wallet)
	if err != nil {
		return err
	}
	scheme, err := n.Schemes(rec.Info.Scheme)
	if err != nil {
		return err
	}
	s, p, err := n.provisioned(ctx, scheme, rec.Info.Committee)
	if err != nil {
		return err
	}
	p.Ban(peer)
	return n.pairs.keepBans(ctx, s, rec.Info.Committee, p, &threshold.Abort{Kind: threshold.Ban, Culprits: []threshold.PartyID{peer}, Err: errors.New("test")})
}
