package appliance

import (
	"context"
	"errors"

	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

func receiptKey(id string) []byte { return []byte("node/receipt/" + id) }

// receipt collects the evidence for one signature; the settlement's attestation is added last.
func (n *core) receipt(s *signed, timeMS int64) *attest.Receipt {
	it := s.item
	return &attest.Receipt{
		Version: attest.ReceiptVersion, ID: attest.ReceiptID(it.hash), Cluster: n.cfg.Cluster, Roster: n.members.Roster().Fingerprint(),
		SessionID: it.intent.RequestID, Time: timeMS, Key: attest.NewKeyRecord(it.key.Record.Info), Intent: *it.intent,
		Policy:         attest.Policy{Verdict: attest.VerdictPermit, Rule: it.verdict.Rule},
		Cosign:         attest.NodeAttestation{Node: string(n.cfg.Node), Attestation: s.cosign},
		PresignSession: attest.Hash(it.req.Pre.Session), Presignature: it.req.Pre.ID, Signers: it.intent.Signers,
		Shares: attest.NewReceiptShares(s.shares), Signature: s.signature.Bytes, RecoveryID: s.signature.RecoveryID,
		Settlement: attest.NodeAttestation{Node: string(n.cfg.Node)},
	}
}

// signature is the answer that a receipt is evidence for.
func (n *core) signature(r *attest.Receipt) (*Signature, error) {
	scheme, err := n.cfg.Schemes(r.Intent.Scheme)
	if err != nil {
		return nil, err
	}
	info := threshold.KeyInfo{Kind: r.Key.Kind, GroupKey: r.Key.GroupKey, ChainCode: r.Key.ChainCode}
	pub, _, err := derive(keys.Key{Record: keys.Record{Info: info}, Scheme: scheme}, r.Intent.Path)
	if err != nil {
		return nil, err
	}
	return &Signature{SessionID: r.SessionID, WalletID: r.Key.KeyID, Path: r.Intent.Path, PublicKey: pub, Bytes: r.Signature,
		RecoveryID: r.RecoveryID, Signers: n.members.Nodes(r.Signers), ReceiptID: r.ID, Receipt: r,
		Coordinator: transport.NodeID(r.Intent.Node)}, nil
}

// maxReceiptID bounds what is looked up, in bytes.
const maxReceiptID = 64

// Receipt returns the receipt of a signature, of whichever node that is up has it.
func (n *Node) Receipt(ctx context.Context, id string) (*attest.Receipt, error) {
	r, err := n.others.kept(ctx, id, n.others.readReceipt)
	if err == nil {
		r.Logged = n.others.logged(ctx, r)
	}
	return r, err
}

// kept is the receipt that this node has, or that ask has from another.
func (n *others) kept(ctx context.Context, id string, ask func(context.Context, string) (*attest.Receipt, error)) (*attest.Receipt, error) {
	missing := problem.New(problem.NotFound, "start the node that made the signature", "no receipt %q on the nodes that are up",
		id[:min(len(id), maxReceiptID)])
	if len(id) > maxReceiptID {
		return nil, missing
	}
	b, err := n.cfg.Store.Get(ctx, receiptKey(id))
	if errors.Is(err, vault.ErrNotFound) {
		r, err := ask(ctx, id)
		if err == nil && r == nil {
			err = missing
		}
		return r, err
	}
	if err != nil {
		return nil, err
	}
	return parseReceipt(id, b)
}

func parseReceipt(id string, b []byte) (*attest.Receipt, error) {
	var r attest.Receipt
	if err := canon.UnmarshalVersion(b, attest.ReceiptVersion, &r); err != nil {
		return nil, problem.Unreadable("receipt "+id, problem.Restore, err)
	}
	return &r, nil
}
