package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/badgerstore"
)

// target is where a vault is moved to.
type target struct {
	uri, key     string
	recovery     []string
	noRecovery   bool
	noAnchor     bool
	identityFile string
}

func (x *target) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&x.uri, "to", "", "URI of the token to move the vault to; the one it is in if empty")
	f.StringVar(&x.key, "to-key", "", "its key that wraps the vault's keys; hsm.vault_key if empty")
	f.StringSliceVar(&x.recovery, "recovery", nil, "age recipients who can open the vault without a token, from now on; those it has if none are given")
	f.BoolVar(&x.noRecovery, "no-recovery", false, "end recovery without a token")
	f.BoolVar(&x.noAnchor, "unanchored", false, "accept that an older copy of the directory is no longer noticed, where the new token cannot count")
}

func (x *target) check() error {
	if x.noRecovery && len(x.recovery) > 0 {
		return fault.Usage("give --recovery, or --no-recovery", "both --recovery and --no-recovery are given")
	}
	return nil
}

// recipients are what Wrapping.Recovery wants: nil keeps.
func (x *target) recipients() []string {
	if x.noRecovery {
		return []string{}
	}
	if len(x.recovery) == 0 {
		return nil
	}
	return x.recovery
}

func hsmRewrap(o *output) *cobra.Command {
	var flags nodeFlags
	var x target
	cmd := &cobra.Command{
		Use:   "rewrap",
		Short: "Move the vault to another token, or change who can recover it",
		Long: "Wraps every key of the vault with the other token's key, proves each, and then switches in one write. Shares are not touched. The node\n" +
			"must be stopped. Killed at any moment, nothing is lost: until the switch the old token opens the vault, after it the new one; the\n" +
			"same command goes on. The attestation keys stay where they are: to move these, enrol the node anew.",
		Example: "  mpcd hsm rewrap -c mpcd.yaml --to 'tpm:?pcrs=sha256:0,2,7'\n  mpcd hsm rewrap -c mpcd.yaml --to 'awskms:region=eu-central-1' --to-key node1/vault\n" +
			"  mpcd hsm rewrap -c mpcd.yaml --recovery age1…,age1…",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.load()
			if err != nil {
				return err
			}
			held, err := c.lock()
			if err != nil {
				return err
			}
			defer held.Close()
			if err := x.check(); err != nil {
				return err
			}
			to, err := c.rewrap(cmd.Context(), o, x)
			if errors.Is(err, vault.ErrInvalid) {
				err = &fault.Error{Code: fault.CodeUsage, Err: err, Do: "correct --recovery; where the new token cannot count, set hsm.counter to a TPM, or say --unanchored"}
			}
			if err != nil {
				return fault.Doing("rewrap", err)
			}
			if p := c.Password.Provider; p == "pkcs11" || p == "tpm" {
				o.note("the store's password is still sealed by the token that password.uri, or hsm.uri, names: before you give that token up, seal the\n" +
					"password with another by `mpcd hsm seal-password`, and set password.uri and password.sealed")
			}
			return to.report(o, "moved")
		},
	}
	flags.register(cmd)
	x.register(cmd)
	return cmd
}

func hsmRecover(o *output) *cobra.Command {
	var flags nodeFlags
	var x target
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Open a vault whose token is dead with a recovery identity, and move it to another token",
		Long: "Does what rewrap does with the age identity of a recovery officer in the place of the dead token. Make sure that the data directory is\n" +
			"the newest copy: without the old token's counter nothing can tell. The node then has new attestation keys: enrol it anew.",
		Example: "  mpcd hsm recover -c mpcd.yaml --identity officer.age --to 'pkcs11:token=spare?module-path=…&pin-source=cred:pin'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if x.uri == "" || x.identityFile == "" {
				return fault.Usage("give --identity FILE and --to URI", "recovery needs an identity and a token to move to")
			}
			c, err := flags.load()
			if err != nil {
				return err
			}
			held, err := c.lock()
			if err != nil {
				return err
			}
			defer held.Close()
			if err := x.check(); err != nil {
				return err
			}
			to, err := c.recover(cmd.Context(), o, x)
			if err != nil {
				return fault.Doing("recover", err)
			}
			if c.Password.Provider != "hsm" {
				o.note("if the store's password died with the token, set password.provider: hsm and password.key_id: %s, which the new token opens", strconv.Quote(c.recoveryPath()))
			}
			return to.report(o, "recovered")
		},
	}
	flags.register(cmd)
	x.register(cmd)
	cmd.Flags().StringVar(&x.identityFile, "identity", "", "file with the officer's age identity")
	return cmd
}

func hsmReanchor(o *output) *cobra.Command {
	var flags nodeFlags
	cmd := &cobra.Command{
		Use:   "reanchor",
		Short: "Declare this copy of the data directory the newest, after a restore that was meant",
		Long: "A node whose data directory is an older copy refuses to start, because it may hold erased shares and lacks what it promised since. If this\n" +
			"copy is all there is, run this, and then refresh every key that the node holds a share of: `mpcd refresh`. It also anchors a vault that was\n" +
			"made before its token could count.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.load()
			if err != nil {
				return err
			}
			held, err := c.lock()
			if err != nil {
				return err
			}
			defer held.Close()
			m, _, err := c.openMove(cmd.Context(), o, nil)
			if err != nil {
				return fault.Doing("reanchor", err)
			}
			defer m.Close()
			vc, err := m.from.vaultConfig(m.store, true)
			if err == nil {
				err = vault.Reanchor(cmd.Context(), vc)
			}
			if err != nil {
				return fault.Doing("reanchor", err)
			}
			v := map[string]any{"anchored": vc.Counter != nil, "counter": vc.CounterID}
			return o.result(v, func(w io.Writer) {
				if vc.Counter == nil {
					row(w, "not anchored: the token cannot count; see hsm.counter")
					return
				}
				row(w, "anchored in counter", vc.CounterID)
			})
		},
	}
	flags.register(cmd)
	return cmd
}

// move is the store of a stopped node, open, with its vault closed.
type move struct {
	from  *tokens
	key   *secret.Bytes
	store *badgerstore.Store
}

func (m *move) Close() error {
	m.key.Wipe()
	return errors.Join(m.store.Close(), m.from.Close())
}

// openMove opens what the configuration names. With a target, whose token is opened too, the store may be in its hands already.
func (c *config) openMove(ctx context.Context, o *output, x *target) (_ *move, to *moved, err error) {
	log := newLogger(o.err, "error", "text")
	from, err := c.openTokens(ctx, log)
	if err != nil {
		return nil, nil, err
	}
	m := &move{from: from}
	defer func() {
		if err != nil {
			m.key.Wipe()
			err = errors.Join(err, from.Close())
		}
	}()
	if m.key, err = c.storeKey(ctx, from); err != nil && (x == nil || !errors.Is(err, vault.ErrWrongKEK)) {
		return nil, nil, err
	}
	if x != nil {
		wrong := err
		if to, err = c.openTarget(ctx, from.opener, *x, wrong == nil); err != nil {
			return nil, nil, cmp.Or(wrong, err)
		}
		if wrong != nil {
			if m.key, err = c.unsealStoreKey(ctx, to.slot); err != nil {
				return nil, nil, wrong
			}
		}
	}
	m.store, err = badgerstore.Open(badgerstore.Config{Dir: c.storeDir(), Key: m.key, Logger: log})
	return m, to, err
}

// moved is a token a vault was moved to.
type moved struct {
	uri, key string
	wrapping vault.Wrapping
	slot     vault.KeySlot
}

func (m *moved) report(o *output, what string) error {
	v := map[string]any{"vault_uri": m.uri, "vault_key": m.key}
	if r := m.wrapping.Recovery; r != nil {
		v["recovery"] = r
	}
	return o.result(v, func(w io.Writer) {
		row(w, "the vault is "+what+"; set in mpcd.yaml before the next start:")
		row(w, "hsm:")
		row(w, "  vault_uri: "+strconv.Quote(m.uri))
		row(w, "  vault_key: "+strconv.Quote(m.key))
		if r := m.wrapping.Recovery; r != nil {
			row(w, "  recovery: ["+strings.Join(r, ", ")+"]")
		}
	})
}

// openTarget opens the token to move to, and proves its key. With create it makes the key if that is missing.
func (c *config) openTarget(ctx context.Context, p *opener, x target, create bool) (*moved, error) {
	to := *c
	if x.uri != "" {
		to.HSM.VaultURI = x.uri
	}
	if x.key != "" {
		to.HSM.KEK = x.key
	}
	token, err := p.token(ctx, "--to", to.vaultURI())
	if err != nil {
		return nil, err
	}
	m := &moved{uri: to.vaultURI(), key: to.HSM.KEK}
	t := &tokens{wrap: token, c: &to, opener: p}
	if g, ok := hsm.As[hsm.KeyGenerator](token); ok && create {
		if err := g.GenerateKey(ctx, m.key, hsm.KeyAESWrap); err != nil && !errors.Is(err, hsm.ErrKeyExists) {
			return nil, err
		}
	}
	if err := hsm.SelfTest(ctx, token, t.vaultKey()); err != nil {
		return nil, err
	}
	if m.slot, err = t.slot(); err != nil {
		return nil, err
	}
	m.wrapping = vault.Wrapping{Wrapper: m.slot.Wrapper, KEK: m.key, Provider: token.Provider(), Recovery: x.recipients(), Unanchored: x.noAnchor}
	if m.wrapping.Counter, err = to.openCounter(ctx, p, token); err != nil {
		return nil, err
	}
	if m.wrapping.Counter != nil {
		m.wrapping.CounterID = to.counterID()
	}
	return m, nil
}

// vaultConfig is how the vault is opened once it has moved.
func (m *moved) vaultConfig(c *config, store vault.Store) vault.Config {
	w := m.wrapping
	return vault.Config{Store: store, Wrapper: w.Wrapper, KEK: w.KEK, Provider: w.Provider, Node: string(c.Node), Existing: true, Counter: w.Counter, CounterID: w.CounterID}
}

// progress tells how far a pass over the vault is, at most a hundred times.
func progress(o *output, what string) func(done, total int) {
	last := -1
	return func(done, total int) {
		if percent := done * 100 / max(1, total); percent != last {
			last = percent
			if percent%10 == 0 {
				o.note("%s: %d of %d records", what, done, total)
			}
		}
	}
}

// rewrap moves the vault. Killed at any moment, it goes on when it is called again: whichever of the two tokens has the vault and the
// store's key is asked for them.
func (c *config) rewrap(ctx context.Context, o *output, x target) (*moved, error) {
	m, to, err := c.openMove(ctx, o, &x)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	from, err := m.from.vaultConfig(m.store, true)
	if err != nil {
		return nil, err
	}
	from.Recovery = nil // it has what it has
	old, err := m.from.slot()
	if err != nil {
		return nil, err
	}
	before, err := recipientsOf(ctx, from)
	if errors.Is(err, vault.ErrWrongKEK) { // perhaps it has moved already
		if now, merr := recipientsOf(ctx, to.vaultConfig(c, m.store)); merr == nil {
			before, err = now, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if gone := removed(before, x.recipients()); len(gone) > 0 && to.uri == c.vaultURI() && to.key == c.HSM.KEK {
		return nil, fault.Usage("give --to-key with a name that the token does not have yet, and destroy the old key when the vault has moved",
			"%s would still be let in by an older copy of the disk, as long as the token opens what key %q wrapped", strings.Join(gone, ", "), c.HSM.KEK)
	}
	// The store's key opens with either token, and for those who can recover the vault, while the vault is on its way.
	if c.Password.Provider == "hsm" {
		if err := c.writeStoreKey(ctx, m.key, before, old, to.slot); err != nil {
			return nil, err
		}
	}
	if err := vault.Rewrap(ctx, from, to.wrapping, progress(o, "rewrap")); err != nil {
		return nil, err
	}
	if recovery := x.recipients(); recovery != nil {
		before = recovery
	}
	return to, c.keepStoreKey(ctx, m.key, before, to.slot)
}

// removed lists who could recover the vault and no longer can; next is nil where nothing changes.
func removed(before, next []string) []string {
	if next == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(before), func(r string) bool { return slices.Contains(next, r) })
}

// recipientsOf opens a vault, and tells who can recover it.
func recipientsOf(ctx context.Context, vc vault.Config) ([]string, error) {
	v, err := vault.Open(ctx, vc)
	if err != nil {
		return nil, err
	}
	return v.RecoveryRecipients(), v.Close()
}

// keepStoreKey leaves the store's key sealed as the vault is: by one token, to the recipients. Where a password makes the key, only
// the copy for recovery is kept.
func (c *config) keepStoreKey(ctx context.Context, key *secret.Bytes, recovery []string, slot vault.KeySlot) error {
	if c.Password.Provider == "hsm" {
		return c.writeStoreKey(ctx, key, recovery, slot)
	}
	if len(recovery) == 0 {
		if err := os.Remove(c.recoveryPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	sealed, err := vault.SealKey(ctx, key, c.storeKeyAAD(), recovery, slot)
	if err != nil {
		return err
	}
	return durable.WriteFile(c.recoveryPath(), sealed, 0o600)
}

// recover moves the vault first and seals the store's key last: until the end the identity opens both, so that a recovery that was
// cut short is repeated with the same command.
func (c *config) recover(ctx context.Context, o *output, x target) (*moved, error) {
	identities, err := readIdentities(x.identityFile)
	if err != nil {
		return nil, err
	}
	key, err := c.recoverStoreKey(identities)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	log := newLogger(o.err, "error", "text")
	store, err := badgerstore.Open(badgerstore.Config{Dir: c.storeDir(), Key: key, Logger: log})
	if err != nil {
		return nil, err
	}
	defer store.Close()
	p, err := c.opener(log)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	to, err := c.openTarget(ctx, p, x, true)
	if err != nil {
		return nil, err
	}
	now := to.vaultConfig(c, store)
	err = vault.Recover(ctx, store, identities, to.wrapping, progress(o, "recover"))
	if errors.Is(err, vault.ErrRecovery) { // it has moved already, and to other officers
		if moved, merr := recipientsOf(ctx, now); merr == nil && slices.Equal(moved, slices.Sorted(slices.Values(x.recipients()))) {
			err = vault.Rewrap(ctx, now, to.wrapping, progress(o, "recover"))
		}
	}
	if err != nil {
		return nil, err
	}
	recovery, err := recipientsOf(ctx, now)
	if err != nil {
		return nil, err
	}
	return to, c.keepStoreKey(ctx, key, recovery, to.slot)
}

// readIdentities reads a file of age identities.
func readIdentities(path string) ([]age.Identity, error) {
	b, err := durable.ReadFile(path, secretsLimit)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(b)
	ids, err := age.ParseIdentities(strings.NewReader(string(b)))
	if err != nil {
		return nil, fault.Usage("give the file that age-keygen wrote; decrypt it first if it has a passphrase", "%s holds no age identity: %w", path, err)
	}
	return ids, nil
}
