package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault/badgerstore"
)

// storeKeyMax is the largest sealed store key, in bytes.
const storeKeyMax = 4096

// storeKeyAAD binds a sealed store key to its node.
func (c *config) storeKeyAAD() []byte {
	h := canon.Hash("mpcd/v1/store-key", []byte(c.Cluster), []byte(c.Node))
	return h[:]
}

// makeStoreKey makes the key of a new store, sealed by the token; a key that is there is kept.
func (c *config) makeStoreKey(ctx context.Context, t hsm.Token) error {
	if c.Password.Provider != "hsm" {
		return nil
	}
	if _, err := os.Lstat(c.storeKeyPath()); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	w, ok := hsm.As[hsm.KeyWrapper](t)
	if !ok {
		return fmt.Errorf("%w: %s wraps no keys; set password.provider to file or env", hsm.ErrUnsupported, t.Provider())
	}
	key := secret.New(badgerstore.KeyLen)
	defer key.Wipe()
	_, _ = rand.Read(key.Bytes())
	sealed, err := w.Wrap(ctx, c.HSM.KEK, key.Bytes(), c.storeKeyAAD())
	if err != nil {
		return err
	}
	return durable.WriteFile(c.storeKeyPath(), sealed, 0o600)
}

// storeKey opens the key of the store. The caller wipes it.
func (c *config) storeKey(ctx context.Context, t hsm.Token) (*secret.Bytes, error) {
	if c.Password.Provider == "hsm" {
		return c.unsealStoreKey(ctx, t)
	}
	p, err := hsm.NewPasswordProvider(c.Password.Provider, nil)
	if err != nil {
		return nil, err
	}
	password, err := p.GetPassword(ctx, c.Password.KeyID)
	if err != nil {
		return nil, err
	}
	salt, err := badgerstore.Salt(c.storeDir())
	if err != nil {
		return nil, err
	}
	return badgerstore.KeyFromPassword(password, c.Password.Human, salt)
}

func (c *config) unsealStoreKey(ctx context.Context, t hsm.Token) (*secret.Bytes, error) {
	sealed, err := durable.ReadFile(c.storeKeyPath(), storeKeyMax)
	if err != nil {
		return nil, err
	}
	w, ok := hsm.As[hsm.KeyWrapper](t)
	if !ok {
		return nil, fmt.Errorf("%w: %s unwraps no keys", hsm.ErrUnsupported, t.Provider())
	}
	b, err := w.Unwrap(ctx, c.HSM.KEK, sealed, c.storeKeyAAD())
	if errors.Is(err, hsm.ErrIntegrity) {
		return nil, &fault{Code: exitHSM, Err: fmt.Errorf("%s: this token's key %q does not open it: %w", c.storeKeyPath(), c.HSM.KEK, err),
			Do: "use the token the node was enrolled with; if it is that one, the file was changed: restore the data directory"}
	}
	if err != nil {
		return nil, err
	}
	key := secret.From(b)
	if key.Len() != badgerstore.KeyLen {
		key.Wipe()
		return nil, fmt.Errorf("%s holds a key of another length: %w", c.storeKeyPath(), hsm.ErrIntegrity)
	}
	return key, nil
}
