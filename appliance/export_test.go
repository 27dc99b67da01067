package appliance

import (
	"context"
	"errors"

	"github.com/luxfi/mpcd/appliance/problem"
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

// LeakReady takes one presignature out of this leader's pool and keeps it, as a leader does who means to use it twice.
func (n *Node) LeakReady(wallet string) *threshold.Presignature {
	n.pool.mu.Lock()
	defer n.pool.mu.Unlock()
	for id, g := range n.pool.groups {
		if id.leader == n.Config.Node && id.key == wallet && len(g.order) > 0 {
			return n.pool.remove(g, g.order[0])
		}
	}
	return nil
}

// Return puts a presignature back, as a signer does who forgets that he used it.
func (n *Node) Return(leader transport.NodeID, wallet string, epoch uint64, signers []threshold.PartyID, pre *threshold.Presignature) {
	n.pool.add(idOf(leader, wallet, epoch, signers), signers, [32]byte{}, nil, []*threshold.Presignature{pre})
}

// SignWith leads a ceremony over the message with a presignature that the signers hold, whether or not it was used before.
func (n *Node) SignWith(ctx context.Context, wallet, session string, signers []threshold.PartyID, pre *threshold.Presignature, message []byte) error {
	rec, err := n.keys.record(ctx, wallet)
	if err != nil {
		return err
	}
	in := n.newIntent(attest.OpSign, session, "rogue", signers)
	in.KeyID, in.Scheme, in.Epoch, in.Message = wallet, rec.Info.Scheme, rec.Info.Epoch, message
	_, err = n.leadSign(ctx, opSign, signers, []*attest.Intent{in}, []*threshold.Presignature{pre}, nil)
	return err
}

// CodePresigOf tells whether a signer refused because it does not have the presignature.
func CodePresigOf(err error) bool {
	var r *refusedError
	return errors.As(err, &r) && r.Code == problem.Presig
}

// Stopped is how the pool tells that the machine was stopped between two readings of its clocks.
var Stopped = stopped

// Filling tells whether a pool is being filled.
func (n *Node) Filling() bool {
	n.pool.mu.Lock()
	defer n.pool.mu.Unlock()
	for _, g := range n.pool.groups {
		if g.filling {
			return true
		}
	}
	return false
}
