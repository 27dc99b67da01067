package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/vault"
)

// tokens are the security modules of a node, open: the one that signs, the one whose key wraps the vault's, which is usually the
// same, and the one that counts the vault's generations, if any.
type tokens struct {
	hsm.Token
	wrap    hsm.Token
	counter hsm.MonotonicCounter
	c       *config
	*opener
}

// Close closes each token once.
func (t *tokens) Close() error { return t.opener.Close() }

// opener opens tokens, each once: a software token bears one process, and some TPMs one connection.
type opener struct {
	drivers hsm.Drivers
	options hsm.Options
	byURI   map[string]hsm.Token
	open    []hsm.Token // in the order of opening
}

// token opens what the URI names, or returns it if it is open.
func (p *opener) token(ctx context.Context, what, uri string) (hsm.Token, error) {
	name := uri
	if u, err := hsm.ParseURI(uri); err == nil {
		name = u.String() // one spelling
	}
	if t := p.byURI[name]; t != nil {
		return t, nil
	}
	t, err := p.drivers.Open(ctx, uri, p.options)
	if err != nil {
		err = fmt.Errorf("%s: %w", what, err)
		if explain(err).Code == fault.CodeFailed { // of a driver that knows none of our kinds
			return nil, &fault.Error{Code: fault.CodeHSM, Err: err, Do: "correct what is named, then look with `mpcd hsm list`"}
		}
		return nil, err
	}
	p.open, p.byURI[name] = append(p.open, t), t
	return t, nil
}

// Close closes each token once.
func (p *opener) Close() error {
	var errs []error
	for _, t := range slices.Backward(p.open) {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}

// The words of hsm.counter beside URIs.
const (
	counterAuto = "auto"
	counterNone = "none"
)

// openTokens opens what the configuration names. URIs that are equal are one token.
func (c *config) openTokens(ctx context.Context, log *slog.Logger) (_ *tokens, err error) {
	p, err := c.opener(log)
	if err != nil {
		return nil, err
	}
	t := &tokens{c: c, opener: p}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	if t.Token, err = p.token(ctx, "hsm.uri", c.tokenURI()); err != nil {
		return nil, err
	}
	if t.wrap, err = p.token(ctx, "hsm.vault_uri", c.vaultURI()); err != nil {
		return nil, err
	}
	t.counter, err = c.openCounter(ctx, p, t.wrap)
	return t, err
}

// openCounter is what counts the generations of a vault whose key is in wrap; nil for nothing.
func (c *config) openCounter(ctx context.Context, p *opener, wrap hsm.Token) (hsm.MonotonicCounter, error) {
	from := wrap
	switch c.HSM.Counter {
	case counterNone:
		return nil, nil
	case counterAuto:
	default:
		var err error
		if from, err = p.token(ctx, "hsm.counter", c.HSM.Counter); err != nil {
			return nil, err
		}
	}
	counter, ok := hsm.As[hsm.MonotonicCounter](from)
	if !ok && c.HSM.Counter != counterAuto {
		return nil, fmt.Errorf("hsm.counter: %w: %s has no monotonic counter; a TPM has", hsm.ErrUnsupported, from.Provider())
	}
	return counter, nil
}

// opener returns the drivers and what every token is opened with. One opener has one driver process.
func (c *config) opener(log *slog.Logger) (*opener, error) {
	if c.HSM.SoftHSMConf != "" {
		if err := os.Setenv("SOFTHSM2_CONF", c.HSM.SoftHSMConf); err != nil {
			return nil, err
		}
	}
	drivers, err := c.drivers(log)
	return &opener{drivers: drivers, options: hsm.Options{Dev: c.Dev, Logger: log, Sessions: c.HSM.Sessions}, byURI: map[string]hsm.Token{}}, err
}

// tokenURI is hsm.uri; the bare name local means a directory beside the data.
func (c *config) tokenURI() string {
	if c.HSM.URI == "local" {
		return "local:" + filepath.Join(filepath.Dir(c.DataDir), "hsm")
	}
	return c.HSM.URI
}

// vaultURI is the token whose key wraps the vault's.
func (c *config) vaultURI() string {
	if c.HSM.VaultURI == "" {
		return c.tokenURI()
	}
	return c.HSM.VaultURI
}

// wrapper is the token of the vault's key.
func (t *tokens) wrapper() (hsm.KeyWrapper, error) {
	w, ok := hsm.As[hsm.KeyWrapper](t.wrap)
	if !ok {
		return nil, fmt.Errorf("%w: %s wraps no keys", hsm.ErrUnsupported, t.wrap.Provider())
	}
	return w, nil
}

// counterID names the counter of the node's vault: nodes that share a token have vault keys of different names.
func (c *config) counterID() string { return c.HSM.KEK + "-generation" }

// vaultConfig says how the vault in the store is opened.
func (t *tokens) vaultConfig(store vault.Store, existing bool) (vault.Config, error) {
	w, err := t.wrapper()
	c := vault.Config{Store: store, Wrapper: w, KEK: t.c.HSM.KEK, Provider: t.wrap.Provider(), Recovery: t.c.HSM.Recovery, Node: string(t.c.Node), Existing: existing}
	if t.counter != nil {
		c.Counter, c.CounterID = t.counter, t.c.counterID()
	}
	return c, err
}

// signingKeys are the keys that sign, as a self-test wants them: P-256 and Ed25519 both serve.
func (t *tokens) signingKeys(ctx context.Context) ([]hsm.KeyInfo, error) {
	p, ok := hsm.As[hsm.PublicKeyer](t.Token)
	if !ok {
		return nil, fmt.Errorf("%w: %s tells no public keys", hsm.ErrUnsupported, t.Provider())
	}
	var keys []hsm.KeyInfo
	for _, id := range []string{t.c.HSM.CosignKey, t.c.HSM.AttestKey} {
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

func (t *tokens) vaultKey() hsm.KeyInfo { return hsm.KeyInfo{ID: t.c.HSM.KEK, Type: hsm.KeyAESWrap} }

// prove runs the self-test of every key a node needs, and returns the keys.
func (t *tokens) prove(ctx context.Context) ([]hsm.KeyInfo, error) {
	keys, err := t.signingKeys(ctx)
	if err != nil {
		return nil, err
	}
	if err := hsm.SelfTest(ctx, t.Token, keys...); err != nil {
		return nil, err
	}
	return append(keys, t.vaultKey()), hsm.SelfTest(ctx, t.wrap, t.vaultKey())
}

// makeKeys makes the keys that are missing, where the token makes keys, and proves them all.
func (t *tokens) makeKeys(ctx context.Context) ([]hsm.KeyInfo, error) {
	if t.c.HSM.CosignKey == t.c.HSM.AttestKey {
		return nil, fault.Usage("give hsm.cosign_key and hsm.attest_key different names", "one key %q for two purposes", t.c.HSM.CosignKey)
	}
	for _, k := range []struct {
		in hsm.Token
		hsm.KeyInfo
	}{
		{t.Token, hsm.KeyInfo{ID: t.c.HSM.CosignKey, Type: hsm.KeyP256}}, {t.Token, hsm.KeyInfo{ID: t.c.HSM.AttestKey, Type: hsm.KeyP256}}, {t.wrap, t.vaultKey()},
	} {
		g, ok := hsm.As[hsm.KeyGenerator](k.in)
		if !ok {
			continue // it must be there; the self-test will tell
		}
		if err := g.GenerateKey(ctx, k.ID, k.Type); err != nil && !errors.Is(err, hsm.ErrKeyExists) {
			return nil, err
		}
	}
	return t.prove(ctx)
}
