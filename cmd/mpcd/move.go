package main

import (
	"cmp"
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/vault"
)

// moveFlags say where a vault is moved to.
type moveFlags struct {
	host.Target
	noRecovery bool
}

func (f *moveFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.URI, "to", "", "URI of the token to move the vault to; the one it is in if empty")
	fs.StringVar(&f.Key, "to-key", "", "its key that wraps the vault's keys; hsm.vault_key if empty")
	fs.StringSliceVar(&f.Recovery, "recovery", nil,
		"age recipients who can open the vault without a token, from now on; those it has if none are given")
	fs.BoolVar(&f.noRecovery, "no-recovery", false, "end recovery without a token")
	fs.BoolVar(&f.Unanchored, "unanchored", false,
		"accept that an older copy of the directory is no longer noticed, where the new token cannot count")
}

// target is what the flags say.
func (f *moveFlags) target() (host.Target, error) {
	x := f.Target
	switch {
	case f.noRecovery && len(x.Recovery) > 0:
		return x, fault.Usage("give --recovery, or --no-recovery", "both --recovery and --no-recovery are given")
	case f.noRecovery:
		x.Recovery = []string{}
	case len(x.Recovery) == 0:
		x.Recovery = nil // they stay
	}
	return x, nil
}

// moveCommand is a command that moves the vault of the configured node, which must not run: act does it, and returns what to say of it.
func moveCommand(cmd *cobra.Command, act func(context.Context, host.Config) (func() error, error)) *cobra.Command {
	var flags nodeFlags
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := flags.load()
		if err != nil {
			return err
		}
		report, err := act(cmd.Context(), c)
		if err != nil {
			return err
		}
		return report()
	}
	flags.register(cmd)
	return cmd
}

func hsmRewrap(o *output) *cobra.Command {
	var f moveFlags
	cmd := &cobra.Command{
		Use:   "rewrap",
		Short: "Move the vault to another token, or change who can recover it",
		Long: "Wraps every key of the vault with the other token's key, proves each, " +
			"and then switches in one write. Shares are not touched. The node\n" +
			"must be stopped. Killed at any moment, nothing is lost: until the switch the old token opens the vault, after it the new one; the\n" +
			"same command goes on. The attestation keys stay where they are: to move these, enrol the node anew.",
		Example: "  mpcd hsm rewrap -c mpcd.yaml --to 'tpm:?pcrs=sha256:0,2,7'\n" +
			"  mpcd hsm rewrap -c mpcd.yaml --to 'awskms:region=eu-central-1' --to-key node1/vault\n" +
			"  mpcd hsm rewrap -c mpcd.yaml --recovery age1…,age1…",
	}
	f.register(cmd)
	return moveCommand(cmd, func(ctx context.Context, c host.Config) (func() error, error) {
		x, err := f.target()
		if err != nil {
			return nil, err
		}
		to, err := host.Rewrap(ctx, c, o.options("error"), x, o.progress("rewrap"))
		return func() error {
			if p := c.Password.Provider; p == "pkcs11" || p == "tpm" {
				o.note("the store's password is still sealed by the token that password.uri, or hsm.uri, names: " +
					"before you give that token up, seal the\n" +
					"password with another by `mpcd hsm seal-password`, and set password.uri and password.sealed")
			}
			if to.Stayed {
				return o.moved(to, "wrapped anew, in the token and under the key it was")
			}
			return o.moved(to, "moved")
		}, fault.Doing("rewrap", refusedTarget(err))
	})
}

func hsmRecover(o *output) *cobra.Command {
	var f moveFlags
	var identityFile string
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Open a vault whose token is dead with a recovery identity, and move it to another token",
		Long: "Does what rewrap does with the age identity of a recovery officer in the place of the dead token. " +
			"Make sure that the data directory is\n" +
			"the newest copy: without the old token's counter nothing can tell. The node then has new attestation keys: enrol it anew.",
		Example: "  mpcd hsm recover -c mpcd.yaml --identity officer.age --to 'pkcs11:token=spare?module-path=…&pin-source=cred:pin'",
	}
	f.register(cmd)
	cmd.Flags().StringVar(&identityFile, "identity", "", "file with the officer's age identity")
	return moveCommand(cmd, func(ctx context.Context, c host.Config) (func() error, error) {
		if f.URI == "" || identityFile == "" {
			return nil, fault.Usage("give --identity FILE and --to URI", "recovery needs an identity and a token to move to")
		}
		x, err := f.target()
		if err != nil {
			return nil, err
		}
		identities, err := host.ReadIdentities(identityFile)
		if err != nil {
			return nil, err
		}
		to, err := host.Recover(ctx, c, o.options("error"), x, identities, o.progress("recover"))
		return func() error { return o.moved(to, "recovered") }, fault.Doing("recover", refusedTarget(err))
	})
}

func hsmReanchor(o *output) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reanchor",
		Short: "Declare this copy of the data directory the newest, after a restore that was meant",
		Long: "A node whose data directory is an older copy refuses to start, " +
			"because it may hold erased shares and lacks what it promised since. If this\n" +
			"copy is all there is, run this, and then refresh every key that the node holds a share of: " +
			"`mpcd refresh`. It also anchors a vault that was\n" +
			"made before its token could count.",
	}
	return moveCommand(cmd, func(ctx context.Context, c host.Config) (func() error, error) {
		counter, err := host.Reanchor(ctx, c, o.options("error"))
		return func() error {
			return o.result(map[string]any{"anchored": counter != "", "counter": counter}, func(w io.Writer) {
				if counter == "" {
					row(w, "not anchored: the token cannot count; see hsm.counter")
					return
				}
				row(w, "anchored in counter", counter)
			})
		}, fault.Doing("reanchor", err)
	})
}

// refusedTarget says what to do where the vault refuses to go where the flags say.
func refusedTarget(err error) error {
	switch {
	case errors.Is(err, vault.ErrUncounted):
		return &fault.Error{Code: fault.CodeUsage, Err: err, Do: "set hsm.counter to a TPM, or say --unanchored"}
	case errors.Is(err, vault.ErrInvalid):
		return &fault.Error{Code: fault.CodeUsage, Err: err, Do: "correct --recovery"}
	}
	return err
}

// moved tells where the vault is now, and all that is to be done next.
func (o *output) moved(m host.Moved, how string) error {
	v := map[string]any{"vault_uri": m.URI, "vault_key": m.Key, "set": m.Set, "file": m.File, "enroll": m.Enroll}
	if m.Recovery != nil {
		v["recovery"] = m.Recovery
	}
	return o.result(v, func(w io.Writer) {
		if len(m.Set) == 0 {
			row(w, "the vault is "+how+"; mpcd.yaml stays as it is")
			return
		}
		row(w, "the vault is "+how+"; set before the next start, in "+cmp.Or(m.File, "mpcd.yaml")+":")
		for _, line := range m.Lines() {
			row(w, line)
		}
		if m.Enroll {
			row(w, "then enrol the node anew, for its keys that sign are others: `mpcd node enroll` here, then `mpcd node roster sign` at the")
			row(w, "operator's, and bring roster.json to this host")
		}
	})
}

// progress tells how far a pass over the vault is, ten times.
func (o *output) progress(what string) host.Progress {
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
