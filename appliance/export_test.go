package appliance

import (
	"context"
	"errors"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
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

// Share lends the active share of a wallet; the caller releases it.
func (n *Node) Share(ctx context.Context, wallet string) (*threshold.KeyShare, func(), error) {
	rec, err := n.keys.record(ctx, wallet)
	if err != nil {
		return nil, nil, err
	}
	h, err := n.keys.open(ctx, wallet, rec.Info.Epoch)
	if err != nil {
		return nil, nil, err
	}
	return h.share, func() { n.keys.release(h) }, nil
}

// StageAttempt stores the share of a refresh and certifies it, as a party does whose coordinator then withholds the others'
// certificates. It returns this party's certificate.
func (n *Node) StageAttempt(ctx context.Context, wallet string, share *threshold.KeyShare) (certificate, error) {
	rec, err := n.keys.record(ctx, wallet)
	if err != nil {
		return certificate{}, err
	}
	if err := n.stageRefresh(ctx, wallet, &rec, share); err != nil {
		return certificate{}, err
	}
	b, err := attest.Attest(ctx, n.HSM, n.attestKey, n.header(attest.KindKeygen), [][]byte{n.leaf(wallet, share.KeyInfo, rec, n.self.Party)})
	if err != nil {
		return certificate{}, err
	}
	return certificate{n.self.Party, b.Cose}, nil
}

// Show gives the node a complete certificate, as any peer may.
func (n *Node) Show(ctx context.Context, wallet string, epoch uint64, certs ...certificate) {
	n.learnAnswer(ctx, transport.Envelope{From: "node3", Kind: kindAnswer, Body: canon.MustMarshal(answer{KeyID: wallet, Epoch: epoch, Certs: certs})})
}
