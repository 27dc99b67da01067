package appliance

import (
	"context"
	"errors"
	"slices"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

func receiptKey(id string) []byte { return []byte("node/receipt/" + id) }

// receipt collects the evidence for one signature; the settlement's attestation is added last.
func (n *Node) receipt(s *signed, timeMS int64) *attest.Receipt {
	it := s.item
	return &attest.Receipt{
		Version: attest.ReceiptVersion, ID: attest.ReceiptID(it.hash), Cluster: n.Cluster, Roster: n.Roster.Fingerprint(),
		SessionID: it.intent.RequestID, Time: timeMS, Key: attest.NewKeyRecord(it.info), Intent: *it.intent,
		Policy:         attest.Policy{Verdict: attest.VerdictPermit, Rule: it.verdict.Rule},
		Cosign:         attest.NodeAttestation{Node: string(n.Node), Attestation: s.cosign},
		PresignSession: attest.Hash(it.req.Pre.Session), Presignature: it.req.Pre.ID, Signers: it.intent.Signers,
		Shares: attest.NewReceiptShares(s.shares), Signature: s.signature.Bytes, RecoveryID: s.signature.RecoveryID,
		Settlement: attest.NodeAttestation{Node: string(n.Node)},
	}
}

// signature is the answer that a receipt is evidence for.
func (n *Node) signature(r *attest.Receipt) *Signature {
	return &Signature{SessionID: r.SessionID, WalletID: r.Key.KeyID, Path: r.Intent.Path, PublicKey: n.signedBy(r), Bytes: r.Signature, RecoveryID: r.RecoveryID,
		Signers: n.nodesOf(r.Signers), ReceiptID: r.ID, Receipt: r}
}

// Receipt returns a receipt this node made as coordinator.
func (n *Node) Receipt(ctx context.Context, id string) (*attest.Receipt, error) {
	missing := problem.New(problem.NotFound, "ask the node that made the signature", "no receipt %q on this node", id[:min(len(id), 64)])
	if len(id) > 64 {
		return nil, missing
	}
	b, err := n.Store.Get(ctx, receiptKey(id))
	if errors.Is(err, vault.ErrNotFound) {
		return nil, missing
	}
	if err != nil {
		return nil, err
	}
	var r attest.Receipt
	if err := canon.Unmarshal(b, &r); err != nil {
		return nil, &problem.Error{Code: problem.Integrity, Message: "receipt " + id + " is damaged", Next: "restore the node's data directory from a good disk", Err: err}
	}
	return &r, nil
}

// namedSigners turns the caller's choice into a quorum of exactly the threshold's size.
func (n *Node) namedSigners(c threshold.Committee, ids []transport.NodeID) ([]threshold.PartyID, error) {
	ps := make([]threshold.PartyID, 0, len(ids))
	for _, id := range ids {
		p := n.party(id)
		switch {
		case p == 0:
			return nil, problem.Field("signers", "list the nodes with GET /api/v1/nodes", "unknown node %q", id)
		case !c.Contains(p):
			return nil, problem.Field("signers", "name parties of the wallet", "node %q holds no share of this wallet", id)
		case slices.Contains(ps, p):
			return nil, problem.Field("signers", "name each signer once", "node %q is named twice", id)
		}
		ps = append(ps, p)
	}
	if len(ps) != c.Threshold {
		return nil, problem.Field("signers", "name exactly as many signers as the threshold, or none", "%d signers named, %d must sign", len(ps), c.Threshold)
	}
	for _, p := range ps {
		if ok, _ := n.peers.usable(n.nodeOf(p)); !ok {
			return nil, problem.New(problem.Quorum, "start that node, or let the cluster choose the signers", "node %q cannot be reached or is accused", n.nodeOf(p))
		}
	}
	return sortedParties(ps), nil
}
