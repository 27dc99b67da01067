package api

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/internal/address"
)

// What the node answered, as JSON has it: functions of their arguments, so that a repeated request has the same bytes.

func renderWallet(w *appliance.Wallet) (wire.Wallet, error) {
	out := wire.Wallet{
		SessionID: w.SessionID, WalletID: w.ID, Label: w.Label, Group: w.Group, PublicKey: w.PublicKey, Protocol: w.Protocol, Curve: w.Kind.Curve,
		Threshold: w.Threshold, Total: len(w.Parties), Parties: names(w.Parties), Epoch: w.Epoch, State: string(w.State),
		Created: moment(w.Created), Status: wire.StatusPending, Coordinator: string(w.Coordinator),
	}
	if w.State == keys.Active {
		out.Status = wire.StatusCompleted
	}
	var err error
	if out.Address, out.Addresses, err = address.For(address.Family(w.Kind.Addresses), w.PublicKey); err != nil {
		return out, &problem.Error{Code: problem.Integrity, Message: "wallet " + w.ID + " has a public key that is none", Err: err}
	}
	return out, nil
}

func renderVaultWallet(w wire.Wallet) wire.VaultWallet {
	out := wire.VaultWallet{
		Wallet: w, ETHAddress: w.Addresses["ethereum"], BTCAddress: w.Addresses["bitcoin"], SOLAddress: w.Addresses["solana"],
		XRPAddress: w.Addresses["xrpl"], DOTAddress: w.Addresses["polkadot"], ADAAddress: w.Addresses["cardano"],
	}
	switch {
	case w.Curve == "ed25519":
		out.EdDSAPubKey = w.PublicKey
	case len(w.PublicKey) == 32:
		out.SchnorrPubKey = w.PublicKey
	default:
		out.ECDSAPubKey = w.PublicKey
	}
	return out
}

// renderSignature writes a signature by w.
func renderSignature(s *appliance.Signature, w *appliance.Wallet) (wire.Signature, error) {
	out := wire.Signature{
		SessionID: s.SessionID, WalletID: s.WalletID, PublicKey: s.PublicKey, Protocol: w.Protocol, Signature: s.Bytes,
		Status: wire.StatusCompleted, Signers: names(s.Signers), ReceiptID: s.ReceiptID,
		Coordinator: string(s.Coordinator),
	}
	if half := len(s.Bytes) / 2; len(s.Bytes) == 64 {
		out.R, out.S = s.Bytes[:half], s.Bytes[half:]
	}
	if s.RecoveryID >= 0 {
		id, v := s.RecoveryID, 27+s.RecoveryID
		out.RecoveryID, out.V = &id, &v
	}
	if len(s.Path) == 0 {
		return out, nil
	}
	child, err := renderChild(&appliance.Child{WalletID: s.WalletID, Path: s.Path, PublicKey: s.PublicKey}, w)
	out.DerivationPath, out.Address, out.Addresses = child.DerivationPath, child.Address, child.Addresses
	return out, err
}

// renderChild writes a key below w.
func renderChild(c *appliance.Child, w *appliance.Wallet) (wire.Child, error) {
	out := wire.Child{WalletID: c.WalletID, DerivationPath: wire.FormatPath(c.Path), PublicKey: c.PublicKey, Protocol: w.Protocol,
		Curve: w.Kind.Curve}
	var err error
	if out.Address, out.Addresses, err = address.For(address.Family(w.Kind.Addresses), c.PublicKey); err != nil {
		return out, &problem.Error{Code: problem.Integrity,
			Message: "the key at " + out.DerivationPath + " below wallet " + c.WalletID + " is none", Err: err}
	}
	return out, nil
}

func renderNode(n appliance.NodeStatus) wire.Node {
	return wire.Node{
		ID: string(n.ID), Party: int(n.Party), Self: n.Self, Live: n.Live, LastSeen: moment(n.LastSeen), Version: n.Version,
		Facility: n.Facility, Accused: n.Accused, Limited: n.Limited, Ready: n.Ready, Trouble: n.Trouble, AheadMS: n.Ahead.Milliseconds(),
	}
}

// renderJSON writes what another package defines the JSON of.
func renderJSON(what string, v any) (json.RawMessage, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("api: writing %s: %w", what, err)
	}
	return b, nil
}

func names(ids []transport.NodeID) []string {
	out := make([]string, 0, len(ids))
	for _, id := range ids {
		out = append(out, string(id))
	}
	return out
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
