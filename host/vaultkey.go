package host

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/vault"
)

// checkVaultKey refuses to have the vault's key made where a store is in use that such a key has sealed: one made anew opens nothing of it,
// and stands in the way of the first when the token's backup is put back. What tells is the store, not that there is one: its key, or its
// vault, names the key and the kind of token that sealed it. A token of another kind never had that key, so there it is made, as for a node
// whose token was chosen anew before it was enrolled.
func (t *Tokens) checkVaultKey(ctx context.Context) error {
	if t.config.DataDir == "" {
		return nil // a token alone
	}
	slot, err := t.slot()
	if err != nil {
		return err
	}
	_, missing := slot.Wrapper.Wrap(ctx, slot.KEK, []byte("mpcd/v1/host/trial"), nil)
	if !errors.Is(missing, hsm.ErrNoKey) {
		return nil // it is there, or the self-test tells what is wrong
	}
	used, err := t.sealedStore(ctx, slot)
	if err != nil || !used {
		return fault.Doing("look whether the vault's key has sealed a store", err)
	}
	return &fault.Error{Code: fault.CodeHSM, Err: fmt.Errorf("the store in %s is sealed by the vault's key: %w", t.config.DataDir, missing),
		Do: "put the token's backup back, or give the token that has the key; with neither, `mpcd hsm recover` opens the store for a recovery " +
			"officer. No other key opens it, so none is made: for a new node name another data_dir"}
}

// sealedStore tells whether a key of this name, in a token of this kind, has sealed the node's store.
func (t *Tokens) sealedStore(ctx context.Context, slot vault.KeySlot) (bool, error) {
	f := t.config.keyFile()
	if !f.password {
		sealed, err := durable.ReadFile(f.path, vault.MaxSealedKey)
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		return vault.SealedBy(sealed, slot), nil
	}
	if _, err := os.Stat(t.config.storeDir()); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	key, err := t.StoreKey(ctx)
	if errors.Is(err, hsm.ErrNoKey) {
		return true, nil // the password is sealed by a key of the token, which is gone too
	}
	if err != nil {
		return false, err
	}
	defer key.Wipe()
	s, err := openStore(t.config, key, t.options, t.crash)
	if err != nil {
		return false, err
	}
	used, err := vault.WrappedBy(ctx, s, slot)
	return used, errors.Join(err, s.Close())
}

// hasStore tells whether the node has one, or a key of one: then the keys of its token have been used.
func (c Config) hasStore() bool {
	if c.DataDir == "" {
		return false // a token alone
	}
	_, key := os.Stat(c.StoreKeyPath())
	_, store := os.Stat(c.storeDir())
	return key == nil || store == nil
}
