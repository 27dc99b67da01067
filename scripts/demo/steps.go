package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"

	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/internal/realinput"
)

// solana signs a transfer of a quarter SOL and has it checked by crypto/ed25519 and by OpenSSL.
func (d *demo) solana(ctx context.Context) (*client.Signature, error) {
	wallet := d.cluster.Wallets[0]
	from := [32]byte(wallet.PublicKey)
	message := realinput.SolanaTransfer(from, sha256.Sum256([]byte("alice")), 250_000_000, sha256.Sum256([]byte("a recent block")))
	say("from %s: 0.25 SOL, a message of %d bytes, which every signer reads", wallet.Address, len(message))
	s, err := d.client.Sign(ctx, &client.SignRequest{WalletID: wallet.WalletID, Chain: "solana",
		Transaction: &client.Transaction{Format: "transaction", Bytes: message}})
	if err != nil {
		return nil, err
	}
	say("signed by %s: %x…", strings.Join(s.Signers, " and "), []byte(s.Signature[:16]))
	tx := realinput.SolanaTransaction(s.Signature, message)
	if !ed25519.Verify(from[:], tx[65:], tx[1:65]) {
		return nil, errors.New("crypto/ed25519 refuses the signature")
	}
	say("crypto/ed25519: valid")
	return s, d.openssl(ctx, from[:], message, s.Signature)
}

// openssl has the OpenSSL command check the signature, and refuse one for another message.
func (d *demo) openssl(ctx context.Context, key, message, sig []byte) error {
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(key))
	if err != nil {
		return err
	}
	pub, err := d.write("solana.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	if err != nil {
		return err
	}
	signature, err := d.write("solana.sig", sig)
	if err != nil {
		return err
	}
	verify := func(name string, m []byte) (string, error) {
		path, err := d.write(name, m)
		if err != nil {
			return "", err
		}
		b, err := exec.CommandContext(ctx, "openssl", "pkeyutl", "-verify", "-pubin", "-inkey", pub, "-rawin", "-in", path, "-sigfile",
			signature).CombinedOutput()
		return strings.TrimSpace(string(b)), err
	}
	out, err := verify("solana.msg", message)
	if err != nil {
		return fmt.Errorf("openssl refuses the signature: %s", out)
	}
	say("openssl:        %s", strings.ToLower(out))
	changed := bytes.Clone(message)
	changed[len(changed)-1] ^= 1
	if _, err := verify("solana-changed.msg", changed); err == nil {
		return errors.New("openssl accepts the signature for another message")
	}
	return nil
}

// taproot signs the key-path spend of an output and has btcd's script engine execute the whole transaction.
func (d *demo) taproot(ctx context.Context) error {
	const amount = 150_000
	wallet := d.cluster.Wallets[1]
	key := [32]byte(wallet.PublicKey)
	digest, finish := realinput.TaprootSpend(key, sha256.Sum256([]byte("the transaction that paid us")), 0, amount,
		realinput.TaprootScript(key))
	say("from %s: %d satoshi, fee %d", wallet.Address, amount, realinput.FeeSat)
	s, err := d.client.Sign(ctx, &client.SignRequest{WalletID: wallet.WalletID, MessageHash: digest[:], Chain: "bitcoin"})
	if err != nil {
		return err
	}
	say("signed by %s: %x…", strings.Join(s.Signers, " and "), []byte(s.Signature[:16]))
	raw := finish(s.Signature)
	if err := execute(raw, realinput.TaprootScript(key), amount); err != nil {
		return fmt.Errorf("btcd's script engine refuses the transaction: %w", err)
	}
	say("btcd's script engine: the transaction of %d bytes is valid", len(raw))
	if execute(raw, realinput.TaprootScript(key), amount+1) == nil {
		return errors.New("btcd's script engine accepts another amount")
	}
	say("raw: %s…", hex.EncodeToString(raw[:40]))
	return nil
}

// execute runs btcd's script engine over the whole transaction.
func execute(raw, script []byte, amount int64) error {
	m := wire.NewMsgTx(2)
	if err := m.Deserialize(bytes.NewReader(raw)); err != nil {
		return err
	}
	prev := txscript.NewCannedPrevOutputFetcher(script, amount)
	engine, err := txscript.NewEngine(script, m, 0, txscript.StandardVerifyFlags, nil, txscript.NewTxSigHashes(m, prev), amount, prev)
	if err != nil {
		return err
	}
	return engine.Execute()
}

// receipt fetches the receipt of a signature and has `mpcd attest verify` accept it, and refuse it with one field changed.
func (d *demo) receipt(ctx context.Context, s *client.Signature) error {
	b, err := d.client.Receipt(ctx, s.ReceiptID)
	if err != nil {
		return err
	}
	path, err := d.write("receipt.json", b)
	if err != nil {
		return err
	}
	out, err := d.attest(ctx, path)
	if err != nil {
		return fmt.Errorf("mpcd attest verify refuses the receipt: %s", out)
	}
	say("mpcd attest verify --roster roster.json --root %s… receipt.json", d.cluster.Root[:10])
	for _, line := range strings.Split(out, "\n") {
		say("   %s", line)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	fields["time_ms"] = append(bytes.Clone(fields["time_ms"][:len(fields["time_ms"])-1]),
		'0'+(fields["time_ms"][len(fields["time_ms"])-1]-'0'+1)%10)
	changed, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	if path, err = d.write("changed.json", changed); err != nil {
		return err
	}
	out, err = d.attest(ctx, path)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 6 {
		return fmt.Errorf("a receipt with another time was not refused with exit code 6: %v %s", err, out)
	}
	say("with its time changed by a millisecond: refused, exit code %d", exit.ExitCode())
	return nil
}

func (d *demo) attest(ctx context.Context, path string) (string, error) {
	b, err := exec.CommandContext(ctx, d.program, "attest", "verify", "--roster", d.cluster.Roster, "--root", d.cluster.Root,
		path).CombinedOutput()
	return strings.TrimSpace(string(b)), err
}
