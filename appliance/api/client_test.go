package api

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/golang-jwt/jwt/v5"

	"github.com/luxfi/mpcd/client"
)

// Goal: the Go client and the API mean the same. Method: every call of the client against the API with tokens, on a socket.
func TestClient(t *testing.T) {
	f := newFake()
	addr := listen(t, tokenServer(t, f), nil)
	claims := with(func(c jwt.MapClaims) { c["roles"] = []string{"requester", "key-admin", "auditor"} })
	c := client.New(client.Config{Nodes: []string{addr}, Token: token(t, jwt.SigningMethodEdDSA, issuer()["EdDSA"], claims)})
	ctx := t.Context()

	key, err := c.Keygen(ctx, &client.KeygenRequest{Threshold: 2, Total: 3, Parties: []string{"node1", "node2", "node3"}, Curve: "ed25519",
		Protocol: "frost", Label: "l"})
	if err != nil || key.WalletID != "w_ed" || key.SessionID == "" || f.keygens[0].SessionID != key.SessionID ||
		f.keygens[0].Requester != "alice" {
		t.Fatalf("%+v %v", key, err)
	}
	sig, err := c.Sign(ctx, &client.SignRequest{PublicKey: key.PublicKey, Message: []byte("hello"), Signers: []string{"node1", "node2"},
		Chain: "solana"})
	if err != nil || !ed25519.Verify(ed25519.PublicKey(key.PublicKey), []byte("hello"), sig.Signature) {
		t.Fatalf("%+v %v", sig, err)
	}
	// The example of seed document 000.
	ec, err := c.Keygen(ctx, &client.KeygenRequest{Threshold: 2, Curve: "secp256k1"})
	if err != nil || ec.Protocol != "dkls23" || ec.Address != ec.Addresses["ethereum"] {
		t.Fatalf("%+v %v", ec, err)
	}
	hash := bytes.Repeat([]byte{7}, 32)
	sig, err = c.Sign(ctx, &client.SignRequest{PublicKey: ec.PublicKey, MessageHash: hash, Signers: []string{"node1", "node2"}})
	if err != nil || sig.V == nil || sig.Protocol != "dkls23" || !bytes.Equal(append(bytes.Clone(sig.R), sig.S...), sig.Signature) {
		t.Fatalf("%+v %v", sig, err)
	}
	if got, _, err := ecdsa.RecoverCompact(append([]byte{byte(*sig.V)}, sig.Signature...), hash); err != nil ||
		!bytes.Equal(got.SerializeUncompressed(), ec.PublicKey) {
		t.Errorf("recovered %v %v", got, err)
	}
	child, err := c.Derive(ctx, ec.WalletID, "m/0/5")
	if err != nil || child.WalletID != ec.WalletID || child.DerivationPath != "m/0/5" || child.Address == ec.Address ||
		child.Address != child.Addresses["ethereum"] {
		t.Fatalf("%+v %v", child, err)
	}
	sig, err = c.Sign(ctx, &client.SignRequest{WalletID: ec.WalletID, MessageHash: hash, DerivationPath: "0/5"})
	if err != nil || sig.DerivationPath != "m/0/5" || !bytes.Equal(sig.PublicKey, child.PublicKey) || sig.Address != child.Address {
		t.Fatalf("%+v %v", sig, err)
	}
	var refusal *client.Error
	if _, err := c.Derive(ctx, ec.PublicKey.String(), "m/0/5'&path=m"); !errors.As(err, &refusal) || refusal.Code != "invalid" {
		t.Errorf("%v", err)
	}
	if _, err := c.Keygen(ctx, &client.KeygenRequest{Threshold: 2, Curve: "secp256k1", Protocol: "cggmp21"}); !errors.As(err, &refusal) ||
		refusal.Code != "unsupported" {
		t.Errorf("%v", err)
	}
	if w, err := c.CreateWallet(ctx, "bank", &client.KeygenRequest{Curve: "secp256k1"}); err != nil || w.ETHAddress != ec.Address ||
		!bytes.Equal(w.ECDSAPubKey, ec.PublicKey) {
		t.Errorf("%+v %v", w, err)
	}
	if w, err := c.Refresh(ctx, &client.RefreshRequest{WalletID: "w_ed", NewThreshold: 2, NewTotal: 3,
		NewParties: []string{"node1", "node2", "node3"}}); err != nil || w.Epoch != 1 {
		t.Errorf("%+v %v", w, err)
	}
	if w, err := c.CreateWallet(ctx, "bank", &client.KeygenRequest{Curve: "secp256k1", Protocol: "frost"}); err != nil || w.Group != "bank" ||
		w.BTCAddress == "" || w.WalletID != "w_tap" {
		t.Errorf("%+v %v", w, err)
	}
	if w, err := c.Wallet(ctx, key.PublicKey.String()); err != nil || w.WalletID != "w_ed" {
		t.Errorf("%+v %v", w, err)
	}
	if _, err := c.ProveThreshold(ctx, "w_ed"); err != nil {
		t.Error(err)
	}
	if list, next, err := c.Wallets(ctx, client.Page{Size: 2, Token: "x"}); err != nil || len(list) != 2 || next != "more" {
		t.Errorf("%+v %v", list, err)
	}
	if list, err := c.Nodes(ctx); err != nil || len(list) != 2 {
		t.Errorf("%+v %v", list, err)
	}
	if list, _, err := c.Audit(ctx, client.Page{}); err != nil || len(list) != 1 {
		t.Errorf("%+v %v", list, err)
	}
	if r, err := c.Receipt(ctx, sig.ReceiptID); err != nil || !json.Valid(r) {
		t.Errorf("%s %v", r, err)
	}
	if h, err := c.Health(ctx); err != nil || !h.Ready {
		t.Errorf("%+v %v", h, err)
	}
	var e *client.Error
	if _, err := c.Wallet(ctx, "w_no"); !errors.As(err, &e) || e.Code != "not_found" || e.Status != 404 || e.Retryable {
		t.Errorf("%v", err)
	}
	if _, err := client.New(client.Config{Nodes: []string{addr}}).Nodes(ctx); !errors.As(err, &e) || e.Status != 401 {
		t.Errorf("%v", err)
	}
}
