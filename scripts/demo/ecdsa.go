package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/internal/realinput"
)

// ecdsaKey makes the ECDSA key, with the pair setup of the committee.
func (d *demo) ecdsaKey(ctx context.Context) (*client.Wallet, error) {
	began := time.Now()
	w, err := d.client.Keygen(ctx, &client.KeygenRequest{Threshold: 2, Curve: "secp256k1"})
	if err != nil {
		return nil, err
	}
	say("made the ECDSA key by %s in %d ms, with the oblivious transfers between the nodes", w.Protocol, time.Since(began).Milliseconds())
	return w, nil
}

// ethereum signs a transaction of the wallet's key, and one of a key below it, whose address was made without a signature.
func (d *demo) ethereum(ctx context.Context, w *client.Wallet) error {
	if err := d.transfer(ctx, w, w.Address, ""); err != nil {
		return err
	}
	deposit, err := d.client.Derive(ctx, w.WalletID, "m/0/5")
	if err != nil {
		return err
	}
	return d.transfer(ctx, w, deposit.Address, deposit.DerivationPath)
}

// transfer signs an EIP-1559 transaction at a path below the wallet, or with its own key, and has go-ethereum recover its sender.
func (d *demo) transfer(ctx context.Context, w *client.Wallet, sender, path string) error {
	const chain = 96369 // Lux C-Chain
	payload, finish := realinput.EthereumTransaction{ChainID: chain, MaxPriorityFeePerGas: 1e9, MaxFeePerGas: 30e9, Gas: 21000,
		To: [20]byte{0xa1, 0x1c, 0xe0}, Value: 1e17}.Prepare()
	if path != "" {
		say("from the key at %s below it, derived by BIP 32:", path)
	}
	say("from %s: 0.1 of chain %d, in a transaction that every signer reads", sender, chain)
	s, err := d.client.Sign(ctx, &client.SignRequest{WalletID: w.WalletID, DerivationPath: path, Chain: "lux-c",
		Transaction: &client.Transaction{Format: "transaction", Bytes: payload}})
	if err != nil {
		return err
	}
	say("signed by %s: %x…", strings.Join(s.Signers, " and "), []byte(s.Signature[:16]))
	if s.RecoveryID == nil {
		return errors.New("the answer has no recovery_id")
	}
	raw := finish(s.Signature, *s.RecoveryID)
	var tx types.Transaction
	if err := tx.UnmarshalBinary(raw); err != nil {
		return fmt.Errorf("go-ethereum does not read the transaction: %w", err)
	}
	from, err := types.Sender(types.LatestSignerForChainID(big.NewInt(chain)), &tx)
	if err != nil || from.Hex() != sender {
		return fmt.Errorf("go-ethereum recovers %s as the sender, want %s: %w", from, sender, err)
	}
	say("go-ethereum recovers the sender %s: valid", from)
	return nil
}

// keyHash signs the spend of a P2WPKH output and has btcd's script engine execute the whole transaction.
func (d *demo) keyHash(ctx context.Context, w *client.Wallet) error {
	const amount = 90_000
	point, err := secp256k1.ParsePubKey(w.PublicKey)
	if err != nil {
		return err
	}
	key := [33]byte(point.SerializeCompressed())
	script := realinput.KeyHashScript(key)
	digest, finish := realinput.KeyHashSpend(key, sha256.Sum256([]byte("another transaction that paid us")), 1, amount, script)
	say("from %s: %d satoshi, fee %d", w.Addresses["bitcoin"], amount, realinput.FeeSat)
	s, err := d.client.Sign(ctx, &client.SignRequest{WalletID: w.WalletID, MessageHash: digest[:], Chain: "bitcoin"})
	if err != nil {
		return err
	}
	raw := finish(s.Signature)
	if err := execute(raw, script, amount); err != nil {
		return fmt.Errorf("btcd's script engine refuses the transaction: %w", err)
	}
	say("btcd's script engine: the transaction of %d bytes is valid", len(raw))
	if execute(raw, script, amount+1) == nil {
		return errors.New("btcd's script engine accepts another amount")
	}
	return nil
}
