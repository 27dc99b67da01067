package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/vault"
)

// Tokens are the security modules of a node, open: the one that signs, the one whose key wraps the vault's, which is usually the
// same, and the one that counts the vault's commits, if any.
type Tokens struct {
	hsm.Token
	Wrap    hsm.Token
	counter hsm.MonotonicCounter
	config  Config
	crash   func(error) // Options.Crash
	*opener
}

// Close closes each token once.
func (t *Tokens) Close() error { return t.opener.Close() }

// All are the tokens, each once, in the order in which they were opened.
func (t *Tokens) All() []hsm.Token { return t.open }

// OpenTokens opens what the configuration names. URIs that are equal are one token.
func OpenTokens(ctx context.Context, c Config, o Options) (_ *Tokens, err error) {
	p, err := newOpener(c, o)
	if err != nil {
		return nil, err
	}
	t := &Tokens{config: c, crash: o.Crash, opener: p}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	if t.Token, err = p.token(ctx, "hsm.uri", c.TokenURI()); err != nil {
		return nil, err
	}
	if t.Wrap, err = p.token(ctx, "hsm.vault_uri", c.vaultURI()); err != nil {
		return nil, err
	}
	t.counter, err = openCounter(ctx, c, p, t.Wrap)
	return t, err
}

// opener opens tokens, each once: a software token bears one process, and some TPMs one connection. It has one driver process.
type opener struct {
	work    *workDir
	drivers hsm.Drivers
	options hsm.Options
	conf    string // of SoftHSM
	byURI   map[string]hsm.Token
	open    []hsm.Token // in the order of opening
}

func newOpener(c Config, o Options) (*opener, error) {
	work, err := newWorkDir()
	if err != nil {
		return nil, err
	}
	p := &opener{work: work, conf: c.HSM.SoftHSMConf, byURI: map[string]hsm.Token{},
		options: hsm.Options{Dev: c.Dev, Logger: o.Log, Sessions: c.HSM.Sessions}}
	conf := ""
	if c.HSM.SoftHSMConf != "" {
		conf, err = work.softConf(c.HSM.SoftHSMConf)
	}
	if err == nil {
		p.drivers, err = drivers(c, o, work.path, conf)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// ErrOpen is in every error of a token that could not be opened.
var ErrOpen = errors.New("the token could not be opened")

// openError is why the token of a setting could not be opened.
type openError struct {
	setting string
	err     error
}

func (e *openError) Error() string   { return e.setting + ": " + e.err.Error() }
func (e *openError) Unwrap() []error { return []error{e.err, ErrOpen} }

// tokensDir is where SoftHSM keeps its tokens, beside its configuration.
func tokensDir(conf string) string { return filepath.Join(filepath.Dir(conf), "tokens") }

// token opens what the URI names, or returns it if it is open.
func (p *opener) token(ctx context.Context, setting, uri string) (hsm.Token, error) {
	name := uri
	if u, err := hsm.ParseURI(uri); err == nil {
		name = u.String() // one spelling
	}
	if t := p.byURI[name]; t != nil {
		return t, nil
	}
	t, err := p.drivers.Open(ctx, uri, p.options)
	if errors.Is(err, hsm.ErrNoToken) && p.conf != "" {
		tokens := tokensDir(p.conf)
		if there, _ := filepath.Glob(filepath.Join(tokens, "*", "token.object")); len(there) > 0 { // of which SoftHSM says nothing
			err = fmt.Errorf("%w; %s has the files of %d token, which may be damaged, or another user's", err, tokens, len(there))
		}
	}
	if err != nil {
		return nil, &openError{setting, err}
	}
	p.open, p.byURI[name] = append(p.open, t), t
	return t, nil
}

// Close closes each token once, and removes the working directory.
func (p *opener) Close() error {
	var errs []error
	for _, t := range slices.Backward(p.open) {
		errs = append(errs, t.Close())
	}
	return errors.Join(append(errs, p.work.Close())...)
}

// The words of hsm.counter beside URIs.
const (
	CounterAuto = "auto"
	CounterNone = "none"
)

// openCounter is what counts the commits of a vault whose key is in wrap; nil for nothing.
func openCounter(ctx context.Context, c Config, p *opener, wrap hsm.Token) (hsm.MonotonicCounter, error) {
	from := wrap
	switch c.HSM.Counter {
	case CounterNone:
		return nil, nil
	case CounterAuto:
	default:
		var err error
		if from, err = p.token(ctx, "hsm.counter", c.HSM.Counter); err != nil {
			return nil, err
		}
	}
	counter, ok := hsm.As[hsm.MonotonicCounter](from)
	if !ok && c.HSM.Counter != CounterAuto {
		return nil, fmt.Errorf("hsm.counter: %w: %s has no monotonic counter; a TPM has", hsm.ErrUnsupported, from.Provider())
	}
	return counter, nil
}

// checks are of tokens whose driver process ended and that cannot be opened again, though nobody may have asked them for anything since.
func (t *Tokens) checks() []appliance.Check {
	var out []appliance.Check
	for _, x := range t.open {
		if err := lost(x); err != nil {
			c := appliance.Check{Name: "driver", Detail: problem.Plain(err), Next: appliance.TokenAway}
			if !errors.Is(err, hsm.ErrUnavailable) || durable.IsFull(err) {
				_, c.Next = KindOf(err)
			}
			out = append(out, c)
		}
	}
	return out
}

// wrapper is the token of the vault's key.
func (t *Tokens) wrapper() (hsm.KeyWrapper, error) {
	w, ok := hsm.As[hsm.KeyWrapper](t.Wrap)
	if !ok {
		return nil, fmt.Errorf("%w: %s wraps no keys", hsm.ErrUnsupported, t.Wrap.Provider())
	}
	return w, nil
}

// slot is what opens the store's key.
func (t *Tokens) slot() (vault.KeySlot, error) {
	w, err := t.wrapper()
	return vault.KeySlot{Wrapper: w, KEK: t.config.HSM.KEK}, err
}

// vaultConfig says how the vault in the store is opened.
func (t *Tokens) vaultConfig(store vault.Store, existing bool) (vault.Config, error) {
	w, err := t.wrapper()
	c := vault.Config{Store: store, Wrapper: w, KEK: t.config.HSM.KEK, Provider: t.Wrap.Provider(), Recovery: t.config.HSM.Recovery,
		Node: string(t.config.Node), Existing: existing}
	if t.counter != nil {
		c.Counter, c.CounterID = t.counter, t.config.counterID()
	}
	return c, err
}

// RosterKey is the public half of a signing key, as the roster pins it.
func (t *Tokens) RosterKey(ctx context.Context, id string) (attest.Hex, error) {
	p, ok := hsm.As[hsm.PublicKeyer](t.Token)
	if !ok {
		return nil, fmt.Errorf("%w: %s tells no public keys", hsm.ErrUnsupported, t.Provider())
	}
	pub, err := p.PublicKey(ctx, id)
	if err != nil {
		return nil, err
	}
	der, err := attest.MarshalPublicKey(pub)
	return attest.Hex(der), err
}
