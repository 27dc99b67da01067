package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"filippo.io/age"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/badgerstore"
)

// storeKeyAAD binds a sealed store key to its node.
func (c *config) storeKeyAAD() []byte {
	h := canon.Hash("mpcd/v1/store-key", []byte(c.Cluster), []byte(c.Node))
	return h[:]
}

// slot is the token that opens the store's key.
func (t *tokens) slot() (vault.KeySlot, error) {
	w, err := t.wrapper()
	return vault.KeySlot{Wrapper: w, KEK: t.c.HSM.KEK}, err
}

// makeStoreKey makes the key of a new store, sealed by the token and to the recovery recipients; a key that is there is kept.
func (c *config) makeStoreKey(ctx context.Context, t *tokens) error {
	if c.Password.Provider != "hsm" {
		return nil
	}
	if _, err := os.Lstat(c.storeKeyPath()); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	slot, err := t.slot()
	if err != nil {
		return err
	}
	key := secret.New(badgerstore.KeyLen)
	defer key.Wipe()
	if _, err := io.ReadFull(rand.Reader, key.Bytes()); err != nil {
		return err
	}
	return c.writeStoreKey(ctx, key, c.HSM.Recovery, slot)
}

// writeStoreKey seals the key so that each slot and each recipient opens it.
func (c *config) writeStoreKey(ctx context.Context, key *secret.Bytes, recovery []string, slots ...vault.KeySlot) error {
	sealed, err := vault.SealKey(ctx, key, c.storeKeyAAD(), recovery, slots...)
	if err != nil {
		return err
	}
	return durable.WriteFile(c.storeKeyPath(), sealed, 0o600)
}

// recoveryPath is the copy of the store's key for recovery, where a password makes the key.
func (c *config) recoveryPath() string { return filepath.Join(c.DataDir, "store.recovery") }

// keepRecovery seals the store's key to those who can recover the vault, who must open the store first. Nobody can tell from a sealed
// key to whom it is sealed, so it is sealed anew at every start: a rewrap that was cut short, or somebody with the disk, may have left
// it to others or to none.
func (c *config) keepRecovery(ctx context.Context, t *tokens, key *secret.Bytes, recipients []string) error {
	if len(recipients) == 0 {
		return nil
	}
	slot, err := t.slot()
	if err != nil {
		return err
	}
	return c.keepStoreKey(ctx, key, recipients, slot)
}

// recoverStoreKey opens the store's key, or its copy for recovery, with an officer's identity.
func (c *config) recoverStoreKey(identities []age.Identity) (*secret.Bytes, error) {
	path := c.storeKeyPath()
	if c.Password.Provider != "hsm" {
		path = c.recoveryPath()
	}
	sealed, err := durable.ReadFile(path, vault.MaxSealedKey)
	if err != nil {
		return nil, err
	}
	key, err := vault.RecoverKey(sealed, c.storeKeyAAD(), identities...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// storeKey opens the key of the store. The caller wipes it.
func (c *config) storeKey(ctx context.Context, t *tokens) (*secret.Bytes, error) {
	if c.Password.Provider == "hsm" {
		slot, err := t.slot()
		if err != nil {
			return nil, err
		}
		return c.unsealStoreKey(ctx, slot)
	}
	password, err := c.password(ctx, t.opener)
	if errors.Is(err, hsm.ErrIntegrity) || errors.Is(err, hsm.ErrNoKey) {
		return nil, &fault.Error{Code: fault.CodeHSM, Err: err, Do: "compare password.key_id and password.uri with the key that sealed the password, and password.sealed with what it sealed"}
	}
	if err != nil {
		return nil, fault.Doing("password."+c.Password.Provider, err)
	}
	salt, err := badgerstore.Salt(c.storeDir())
	if err != nil {
		return nil, err
	}
	return badgerstore.KeyFromPassword(password, c.Password.Human, salt)
}

// password fetches the store's password from where the configuration says.
func (c *config) password(ctx context.Context, o *opener) (string, error) {
	settings, err := c.passwordSettings()
	if err != nil {
		return "", err
	}
	p, err := o.passwords().New(ctx, c.Password.Provider, settings)
	if err != nil {
		return "", err
	}
	return p.GetPassword(ctx, c.Password.KeyID)
}

// passwordSettings are what the provider wants beside the key's ID.
func (c *config) passwordSettings() (map[string]string, error) {
	set := map[string]string{}
	put := func(name, value string) {
		if value != "" {
			set[name] = value
		}
	}
	switch kind := c.Password.Provider; kind {
	case "aws", "gcp":
		put("ciphertext", c.Password.Sealed)
		if c.Password.URI == "" {
			break
		}
		u, err := hsm.ParseURI(c.Password.URI)
		if err != nil {
			return nil, fault.Doing("password.uri", err)
		}
		if u.Scheme != kind+"kms" {
			return nil, fault.Usage("write password.uri as "+kind+"kms:…", "password.uri is of %s, password.provider is %s", u.Scheme, kind)
		}
		put("endpoint", u.Attr("endpoint"))
		if kind == "aws" {
			put("region", u.Attr("region"))
		}
	case "pkcs11", "tpm":
		put("sealed", c.Password.Sealed)
		put("uri", c.Password.URI)
		if c.Password.URI == "" {
			put("uri", c.tokenURI())
		}
	}
	return set, nil
}

func (c *config) unsealStoreKey(ctx context.Context, slot vault.KeySlot) (*secret.Bytes, error) {
	sealed, err := durable.ReadFile(c.storeKeyPath(), vault.MaxSealedKey)
	if err != nil {
		return nil, err
	}
	key, err := vault.UnsealKey(ctx, sealed, c.storeKeyAAD(), slot)
	if errors.Is(err, hsm.ErrIntegrity) || errors.Is(err, vault.ErrWrongKEK) || errors.Is(err, vault.ErrIntegrity) {
		return nil, &fault.Error{Code: fault.CodeHSM, Err: fmt.Errorf("%s: %w", c.storeKeyPath(), err),
			Do: "set hsm.vault_uri and hsm.vault_key to where the vault is; if this is it, the file was changed: restore the data directory"}
	}
	return key, err
}
