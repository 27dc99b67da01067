package host

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/vault"
)

// target is the token that a vault goes to, open.
type target struct {
	config   Config // the node's, once the vault has moved
	wrapping vault.Wrapping
	slot     vault.KeySlot
	soft     bool // it is a token of SoftHSM
}

// softBeside is what to do where SoftHSM does not see the token to move to.
const softBeside = "SoftHSM sees the tokens of one directory alone: move what is in the new one's tokens/ to beside the token of " +
	"hsm.softhsm_conf, then repeat the command; if the old token is dead, name the new one's file with MPCD_HSM_SOFTHSM_CONF instead"

// openTarget opens the token to move to, and proves its key. With create it makes the key if that is missing.
func openTarget(ctx context.Context, c Config, p *opener, x Target, create bool) (*target, error) {
	flag := parser{values: Values{"--to": {Text: x.URI, Origin: "flag --to"}}}
	to := flag.uri("--to")
	if flag.err != nil {
		return nil, flag.err
	}
	c.HSM.VaultURI, c.HSM.KEK = cmp.Or(to, c.HSM.VaultURI), cmp.Or(x.Key, c.HSM.KEK)
	token, err := p.token(ctx, "--to", c.vaultURI())
	if errors.Is(err, hsm.ErrNoToken) && c.HSM.SoftHSMConf != "" && strings.Contains(strings.ToLower(to), "softhsm") {
		return nil, &fault.Error{Code: fault.CodeHSM, Err: err, Do: softBeside}
	}
	if err != nil {
		return nil, err
	}
	t := &Tokens{Wrap: token, config: c, opener: p}
	if create {
		if err := makeKey(ctx, token, t.vaultKey()); err != nil {
			return nil, err
		}
	}
	if err := hsm.SelfTest(ctx, token, t.vaultKey()); err != nil {
		return nil, err
	}
	info, err := token.Info(ctx)
	if err != nil {
		return nil, err
	}
	next := &target{config: c, soft: strings.Contains(info.Manufacturer, "SoftHSM")}
	if next.slot, err = t.slot(); err != nil {
		return nil, err
	}
	next.wrapping = vault.Wrapping{Wrapper: next.slot.Wrapper, KEK: c.HSM.KEK, Provider: token.Provider(), Recovery: x.Recovery,
		Unanchored: x.Unanchored}
	if next.wrapping.Counter, err = openCounter(ctx, c, p, token); err != nil {
		return nil, err
	}
	if next.wrapping.Counter != nil {
		next.wrapping.CounterID = c.counterID()
	}
	return next, nil
}

// vaultConfig is how the vault is opened once it has moved.
func (to *target) vaultConfig(store vault.Store) vault.Config {
	w := to.wrapping
	return vault.Config{Store: store, Wrapper: w.Wrapper, KEK: w.KEK, Provider: w.Provider, Node: string(to.config.Node), Existing: true,
		Counter: w.Counter, CounterID: w.CounterID}
}

// same tells whether the vault stays in the token and under the key that the configuration names.
func (to *target) same(c Config) bool {
	return to.config.vaultURI() == c.vaultURI() && to.config.HSM.KEK == c.HSM.KEK
}
