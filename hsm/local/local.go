package local

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"sync"

	"github.com/luxfi/mpcd/hsm"
)

const (
	provider  = "local"
	randomMax = 1 << 16 // most that Random reads, in bytes
)

// token is an open directory. The lock is for reading in all uses of keys, since Close wipes them.
type token struct {
	dir  string
	held *os.File // the lock on the directory

	mu   sync.RWMutex
	keys map[string]*key // nil once closed
}

// The token has every ability of the border but counting.
var (
	_ hsm.Token        = (*token)(nil)
	_ hsm.PublicKeyer  = (*token)(nil)
	_ hsm.KeyWrapper   = (*token)(nil)
	_ hsm.KeyGenerator = (*token)(nil)
	_ hsm.KeyLister    = (*token)(nil)
	_ hsm.RandomSource = (*token)(nil)
)

// Open opens the directory of local:/absolute/path, or makes it. ErrDevOnly unless Options.Dev is set; ErrUnavailable if the
// directory is in use, damaged or readable by others. It is an hsm.OpenFunc.
func Open(ctx context.Context, u *hsm.URI, o hsm.Options) (hsm.Token, error) {
	if !o.Dev {
		return nil, fmt.Errorf("local: %w: a software token guards nothing; use an HSM, a TPM or a cloud KMS, or `mpcd dev`", hsm.ErrDevOnly)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !filepath.IsAbs(u.Path) {
		return nil, fmt.Errorf("local: %w: name the directory by its full path: local:/path/to/dir", hsm.ErrURI)
	}
	if err := os.MkdirAll(u.Path, 0o700); err != nil {
		return nil, fmt.Errorf("local: %w: %w", hsm.ErrUnavailable, err)
	}
	held, err := lock(u.Path)
	if err != nil {
		return nil, err
	}
	keys, err := readKeys(u.Path)
	if err != nil {
		_ = held.Close()
		return nil, err
	}
	o.Log().Warn("software token: the keys lie in a file, for development only", "dir", u.Path)
	return &token{dir: u.Path, held: held, keys: keys}, nil
}

// use runs f with the key, while it cannot be wiped.
func use[T any](ctx context.Context, t *token, keyID string, f func(*key) (T, error)) (T, error) {
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if err := t.open(); err != nil {
		return zero, err
	}
	k := t.keys[keyID]
	if k == nil {
		return zero, fmt.Errorf("local: %w: %q in %s; correct the key ID, or on a new node make it with `mpcd hsm init`", hsm.ErrNoKey, keyID,
			t.dir)
	}
	v, err := f(k)
	if err != nil {
		return zero, fmt.Errorf("local: key %q: %w", keyID, err)
	}
	return v, nil
}

// open is an error once the token is closed. The caller holds mu.
func (t *token) open() error {
	if t.keys == nil {
		return fmt.Errorf("local: %w: token %s is closed", hsm.ErrUnavailable, t.dir)
	}
	return nil
}

// Provider is "local".
func (t *token) Provider() string { return provider }

// Info describes the directory.
func (t *token) Info(ctx context.Context) (hsm.TokenInfo, error) {
	if err := ctx.Err(); err != nil {
		return hsm.TokenInfo{}, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return hsm.TokenInfo{Provider: provider, Label: filepath.Base(t.dir), Manufacturer: "mpcd", Model: "file", SoftwareOnly: true}, t.open()
}

// Sign signs with an Ed25519 or P-256 key.
func (t *token) Sign(ctx context.Context, keyID string, message []byte) ([]byte, error) {
	return use(ctx, t, keyID, func(k *key) ([]byte, error) { return k.sign(message) })
}

// Verify checks a signature with the public half.
func (t *token) Verify(ctx context.Context, keyID string, message, signature []byte) (bool, error) {
	pub, err := t.PublicKey(ctx, keyID)
	if err != nil {
		return false, err
	}
	return hsm.Verify(pub, message, signature)
}

// PublicKey tells the public half of a signing key.
func (t *token) PublicKey(ctx context.Context, keyID string) (crypto.PublicKey, error) {
	return use(ctx, t, keyID, func(k *key) (crypto.PublicKey, error) {
		switch pub := k.public.(type) {
		case nil:
			return nil, hsm.ErrKeyType
		case ed25519.PublicKey:
			return ed25519.PublicKey(bytes.Clone(pub)), nil
		}
		return k.public, nil
	})
}

// Wrap seals a secret of 1 to hsm.MaxWrap bytes.
func (t *token) Wrap(ctx context.Context, keyID string, dek, aad []byte) ([]byte, error) {
	if len(dek) == 0 || len(dek) > hsm.MaxWrap {
		return nil, fmt.Errorf("local: wrap: secret of %d bytes, must be 1 to %d", len(dek), hsm.MaxWrap)
	}
	return use(ctx, t, keyID, func(k *key) ([]byte, error) { return k.wrap(dek, aad) })
}

// Unwrap opens what Wrap sealed; the caller wipes the result.
func (t *token) Unwrap(ctx context.Context, keyID string, wrapped, aad []byte) ([]byte, error) {
	return use(ctx, t, keyID, func(k *key) ([]byte, error) { return k.unwrap(wrapped, aad) })
}

// GenerateKey makes a key and writes it to disk. Ed25519, P-256 and AES.
func (t *token) GenerateKey(ctx context.Context, keyID string, kind hsm.KeyType) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if keyID == "" {
		return fmt.Errorf("local: %w: no key ID", hsm.ErrNoKey)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.open(); err != nil {
		return err
	}
	if t.keys[keyID] != nil {
		return fmt.Errorf("local: %w: %q in %s; choose another key ID", hsm.ErrKeyExists, keyID, t.dir)
	}
	if len(t.keys) >= keysMax {
		return fmt.Errorf("local: %s is full with %d keys", t.dir, keysMax)
	}
	k, err := generateKey(kind)
	if err != nil {
		return fmt.Errorf("local: key %q: %w", keyID, err)
	}
	t.keys[keyID] = k
	if err := writeKeys(t.dir, t.keys); err != nil {
		delete(t.keys, keyID)
		k.secret.Wipe()
		return err
	}
	return nil
}

// Keys lists the keys by ID.
func (t *token) Keys(ctx context.Context) ([]hsm.KeyInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if err := t.open(); err != nil {
		return nil, err
	}
	var all []hsm.KeyInfo
	for id, k := range t.keys {
		all = append(all, hsm.KeyInfo{ID: id, Type: k.kind, Local: true})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].ID < all[j].ID })
	return all, nil
}

// Random reads 1 to 65,536 bytes of the system's generator.
func (t *token) Random(ctx context.Context, n int) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if n < 1 || n > randomMax {
		return nil, fmt.Errorf("local: random: %d bytes, must be 1 to %d", n, randomMax)
	}
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b, nil
}

// Close wipes the keys from memory and gives the directory back. It is idempotent.
func (t *token) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.keys == nil {
		return nil
	}
	wipeAll(t.keys)
	t.keys = nil
	return t.held.Close()
}
