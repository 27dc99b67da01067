package host

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
)

// The roles of a node's keys.
const (
	RoleCosign = "cosign" // signs intents
	RoleAttest = "attest" // signs shares
	RoleVault  = "vault"  // wraps the vault's keys
)

// Key is one of a node's keys.
type Key struct {
	Role        string
	hsm.KeyInfo           // its name; the type is what is made where it is missing
	In          hsm.Token // the token it is in
}

// Keys are the keys that a node needs: cosign, attest and vault, in this order.
func (t *Tokens) Keys() []Key {
	return []Key{
		{RoleCosign, hsm.KeyInfo{ID: t.config.HSM.CosignKey, Type: hsm.KeyP256}, t.Token},
		{RoleAttest, hsm.KeyInfo{ID: t.config.HSM.AttestKey, Type: hsm.KeyP256}, t.Token},
		{RoleVault, t.vaultKey(), t.Wrap},
	}
}

func (t *Tokens) vaultKey() hsm.KeyInfo {
	return hsm.KeyInfo{ID: t.config.HSM.KEK, Type: hsm.KeyAESWrap}
}

// signingKeys are the keys that sign, as a self-test wants them: P-256 and Ed25519 both serve.
func (t *Tokens) signingKeys(ctx context.Context) ([]hsm.KeyInfo, error) {
	p, ok := hsm.As[hsm.PublicKeyer](t.Token)
	if !ok {
		return nil, fmt.Errorf("%w: %s tells no public keys", hsm.ErrUnsupported, t.Provider())
	}
	var keys []hsm.KeyInfo
	for _, id := range []string{t.config.HSM.CosignKey, t.config.HSM.AttestKey} {
		pub, err := p.PublicKey(ctx, id)
		if err != nil {
			return nil, err
		}
		kind := hsm.TypeOf(pub)
		if kind != hsm.KeyP256 && kind != hsm.KeyEd25519 {
			return nil, fmt.Errorf("%w: key %q is %s, want p256 or ed25519", hsm.ErrKeyType, id, kind)
		}
		keys = append(keys, hsm.KeyInfo{ID: id, Type: kind})
	}
	return keys, nil
}

// Prove runs the self-test of every key a node needs, and returns the keys. One that is missing of a node that has a store was there
// before: no other does its work, so none is to be made.
func (t *Tokens) Prove(ctx context.Context) ([]hsm.KeyInfo, error) {
	keys, err := t.prove(ctx)
	if errors.Is(err, hsm.ErrNoKey) && t.config.hasStore() {
		err = &fault.Error{Code: fault.CodeHSM, Err: err, Do: "put the token's backup back, or give the token that has the key; if the key " +
			"has another name there, which `mpcd hsm list` tells, correct the key ID"}
	}
	return keys, err
}

func (t *Tokens) prove(ctx context.Context) ([]hsm.KeyInfo, error) {
	keys, err := t.signingKeys(ctx)
	if err != nil {
		return nil, err
	}
	if err := hsm.SelfTest(ctx, t.Token, keys...); err != nil {
		return nil, err
	}
	return append(keys, t.vaultKey()), hsm.SelfTest(ctx, t.Wrap, t.vaultKey())
}

// MakeKeys makes the keys that are missing, where the token makes keys, and proves them all. It makes none where the vault's key is missing
// that has sealed the node's store.
func (t *Tokens) MakeKeys(ctx context.Context) ([]hsm.KeyInfo, error) {
	if key := t.config.HSM.CosignKey; key == t.config.HSM.AttestKey && key != t.config.HSM.SignerKey {
		return nil, fault.Usage("give hsm.cosign_key and hsm.attest_key different names, or name one key for both in hsm.signer_key",
			"one key %q for two purposes", key)
	}
	if err := t.checkVaultKey(ctx); err != nil {
		return nil, err
	}
	for _, k := range t.Keys() {
		if err := makeKey(ctx, k.In, k.KeyInfo); err != nil {
			return nil, err
		}
	}
	keys, err := t.prove(ctx)
	return keys, half(t, err)
}

// half says what to do about a key of which the token has a part: there is one of that name, so none was made, and yet it is not found.
func half(t *Tokens, err error) error {
	makes := func(k Key) bool { _, ok := hsm.As[hsm.KeyGenerator](k.In); return ok }
	if !errors.Is(err, hsm.ErrNoKey) || !slices.ContainsFunc(t.Keys(), makes) {
		return err
	}
	return &fault.Error{Code: fault.CodeHSM, Err: err, Do: "put the token's backup back; without one, remove what is left of the key with " +
		"the token's own tool, repeat this, which makes another, and enrol the node with it"}
}

// MakeKey makes a key to sign with, in the token that signs, if it is missing.
func (t *Tokens) MakeKey(ctx context.Context, name string, kind hsm.KeyType) error {
	return makeKey(ctx, t.Token, hsm.KeyInfo{ID: name, Type: kind})
}

// makeKey makes a key that is missing. Where the token makes no keys it must be there; the self-test will tell.
func makeKey(ctx context.Context, in hsm.Token, k hsm.KeyInfo) error {
	g, ok := hsm.As[hsm.KeyGenerator](in)
	if !ok {
		return nil
	}
	if err := g.GenerateKey(ctx, k.ID, k.Type); err != nil && !errors.Is(err, hsm.ErrKeyExists) {
		return err
	}
	return nil
}

// List lists all keys in the token that signs, none where it cannot.
func (t *Tokens) List(ctx context.Context) ([]hsm.KeyInfo, error) {
	if l, ok := hsm.As[hsm.KeyLister](t.Token); ok {
		return l.Keys(ctx)
	}
	return []hsm.KeyInfo{}, nil
}
