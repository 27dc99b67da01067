package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

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
			to, err := c.rewrap(cmd.Context(), o, x)
			if err != nil {
				return doing("rewrap", err)
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
				return usage("give --identity FILE and --to URI", "recovery needs an identity and a token to move to")
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
			to, err := c.recover(cmd.Context(), o, x)
			if err != nil {
				return doing("recover", err)
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
			m, err := c.openMove(cmd.Context(), o)
			if err != nil {
				return doing("reanchor", err)
			}
			defer m.Close()
			vc, err := m.from.vaultConfig(m.store, true)
			if err == nil {
				err = vault.Reanchor(cmd.Context(), vc)
			}
			if err != nil {
				return doing("reanchor", err)
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

func (c *config) openMove(ctx context.Context, o *output) (*move, error) {
	log := newLogger(o.err, "error", "text")
	from, err := c.openTokens(ctx, log)
	if err != nil {
		return nil, err
	}
	key, err := c.storeKey(ctx, from, log)
	if err != nil {
		return nil, errors.Join(err, from.Close())
	}
	store, err := badgerstore.Open(badgerstore.Config{Dir: c.storeDir(), Key: key, Logger: log})
	if err != nil {
		key.Wipe()
		return nil, errors.Join(err, from.Close())
	}
	return &move{from, key, store}, nil
}

// moved is a token a vault was moved to.
type moved struct {
	uri, key string
	wrapping vault.Wrapping
	slot     vault.KeySlot
	token    io.Closer
}

func (m *moved) report(o *output, what string) error {
	v := map[string]any{"vault_uri": m.uri, "vault_key": m.key}
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

// openTarget opens the token to move to, makes its key if that is missing, and proves it.
func (c *config) openTarget(ctx context.Context, o *output, x target) (*moved, error) {
	to := *c
	if x.uri != "" {
		to.HSM.VaultURI = x.uri
	}
	if x.key != "" {
		to.HSM.KEK = x.key
	}
	drivers, options, err := c.opener(newLogger(o.err, "error", "text"))
	if err != nil {
		return nil, err
	}
	token, err := drivers.Open(ctx, to.vaultURI(), options)
	if err != nil {
		return nil, err
	}
	m := &moved{uri: to.vaultURI(), key: to.HSM.KEK, token: token}
	t := &tokens{wrap: token, c: &to}
	if g, ok := hsm.As[hsm.KeyGenerator](token); ok {
		if err = g.GenerateKey(ctx, m.key, hsm.KeyAESWrap); errors.Is(err, hsm.ErrKeyExists) {
			err = nil
		}
	}
	if err == nil {
		err = hsm.SelfTest(ctx, token, t.vaultKey())
	}
	if err == nil {
		m.slot, err = t.slot()
	}
	if err != nil {
		return nil, errors.Join(err, token.Close())
	}
	m.wrapping = vault.Wrapping{Wrapper: m.slot.Wrapper, KEK: m.key, Provider: token.Provider(), Recovery: x.recipients(), Unanchored: x.noAnchor}
	if c.HSM.Counter == counterAuto {
		if counter, ok := hsm.As[hsm.MonotonicCounter](token); ok {
			m.wrapping.Counter, m.wrapping.CounterID = counter, to.counterID()
		}
	}
	return m, nil
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

func (c *config) rewrap(ctx context.Context, o *output, x target) (*moved, error) {
	m, err := c.openMove(ctx, o)
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
	to, err := c.openTarget(ctx, o, x)
	if err != nil {
		return nil, err
	}
	defer to.token.Close()
	if c.HSM.Counter != counterAuto && m.from.counter != nil {
		to.wrapping.Counter, to.wrapping.CounterID = m.from.counter, from.CounterID
	}
	recovery := x.recipients()
	if recovery == nil {
		v, err := vault.Open(ctx, from)
		if err != nil {
			return nil, err
		}
		recovery = v.RecoveryRecipients()
		if err := v.Close(); err != nil {
			return nil, err
		}
	}
	// The store's key opens with either token while the vault is on its way.
	if c.Password.Provider == "hsm" {
		if err := c.writeStoreKey(ctx, m.key, recovery, old, to.slot); err != nil {
			return nil, err
		}
	}
	if err := vault.Rewrap(ctx, from, to.wrapping, progress(o, "rewrap")); err != nil {
		return nil, err
	}
	return to, c.keepStoreKey(ctx, m.key, recovery, to.slot)
}

// keepStoreKey writes the store's key for the token that opens the vault now, or its copy for recovery.
func (c *config) keepStoreKey(ctx context.Context, key *secret.Bytes, recovery []string, slot vault.KeySlot) error {
	if c.Password.Provider == "hsm" {
		return c.writeStoreKey(ctx, key, recovery, slot)
	}
	if err := os.Remove(c.recoveryPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(recovery) == 0 {
		return nil
	}
	sealed, err := vault.SealKey(ctx, key, c.storeKeyAAD(), recovery, slot)
	if err != nil {
		return err
	}
	return durable.WriteFile(c.recoveryPath(), sealed, 0o600)
}

func (c *config) recover(ctx context.Context, o *output, x target) (*moved, error) {
	identities, err := readIdentities(x.identityFile)
	if err != nil {
		return nil, err
	}
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
	defer key.Wipe()
	store, err := badgerstore.Open(badgerstore.Config{Dir: c.storeDir(), Key: key, Logger: newLogger(o.err, "error", "text")})
	if err != nil {
		return nil, err
	}
	defer store.Close()
	to, err := c.openTarget(ctx, o, x)
	if err != nil {
		return nil, err
	}
	defer to.token.Close()
	recovery := x.recipients()
	if recovery == nil {
		recovery = c.HSM.Recovery
	}
	if len(recovery) == 0 && !x.noRecovery {
		return nil, usage("give --recovery, set hsm.recovery, or say --no-recovery", "nobody could recover the vault from now on")
	}
	// The key first for both ways: until the vault has switched, only the identity opens it.
	if err := c.keepStoreKey(ctx, key, recovery, to.slot); err != nil {
		return nil, err
	}
	return to, vault.Recover(ctx, store, identities, to.wrapping, progress(o, "recover"))
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
		return nil, usage("give the file that age-keygen wrote; decrypt it first if it has a passphrase", "%s holds no age identity: %w", path, err)
	}
	return ids, nil
}
