package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/cli"
	"github.com/luxfi/mpcd/internal/secret"
)

func hsmCommand(o *output) *cobra.Command {
	cmd := &cobra.Command{Use: "hsm", Short: "Look into the node's token, test it, make its keys, move the vault to another",
		Args: cobra.ArbitraryArgs, RunE: cli.NeedSubcommand}
	cmd.AddCommand(hsmList(o), hsmTest(o), hsmInit(o), hsmSealPassword(o), hsmRewrap(o), hsmRecover(o), hsmReanchor(o))
	return cmd
}

// tokenFlags name a token: by the node's configuration, or by a URI alone.
type tokenFlags struct {
	node    nodeFlags
	uri     string
	conf    string // of SoftHSM, for a token just made
	network bool
}

func (f *tokenFlags) register(cmd *cobra.Command) {
	f.node.register(cmd)
	cmd.Flags().StringVar(&f.uri, "uri", "", "the token, without a configuration")
	cmd.Flags().BoolVar(&f.network, "network", false, "with a URI: its library speaks to a network HSM")
}

// with runs do with the tokens. A configured node must not be running: software tokens bear no second process.
func (f *tokenFlags) with(ctx context.Context, o *output, args []string,
	do func(context.Context, host.Config, *host.Tokens) error) (err error) {
	if len(args) > 0 {
		if f.uri != "" && f.uri != args[0] {
			return fault.Usage("name one token", "two URIs are given")
		}
		f.uri = args[0]
	}
	if err := host.Harden(); err != nil {
		return fault.Doing("harden the process", err)
	}
	c := host.TokenOnly(f.uri)
	c.Dev, c.HSM.SoftHSMConf, c.HSM.Plugin.Network = f.node.dev, f.conf, f.network
	if f.uri == "" {
		if c, err = f.node.load(); err != nil {
			return err
		}
		held, err := host.LockTokens(c)
		if err != nil {
			return err
		}
		defer held.Close()
	}
	t, err := host.OpenTokens(ctx, c, o.options("error"))
	if err != nil {
		return fault.Doing("open the token", err)
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	return do(ctx, c, t)
}

// describeToken writes what a token says of itself.
func describeToken(w io.Writer, info hsm.TokenInfo, t hsm.Token) {
	row(w, "provider", info.Provider)
	row(w, "token", info.Label)
	row(w, "device", strings.Join(strings.Fields(info.Manufacturer+" "+info.Model+" "+info.Serial), " "))
	row(w, "firmware", cmp.Or(info.Firmware, "-"))
	row(w, "hardware", yesNo(!info.SoftwareOnly))
	row(w, "PIN tries left", cmp.Or(info.PINTries, "-"))
	sessions := "-"
	if info.MaxSessions > 0 {
		sessions = fmt.Sprintf("%d, %d open", info.MaxSessions, info.OpenSessions)
	}
	row(w, "sessions", sessions)
	row(w, "abilities", strings.Join(hsm.Abilities(t), ", "))
	if fence := host.Sandbox(t); fence != nil {
		row(w, "process", strings.Join(fence, ", "))
	}
}

func hsmList(o *output) *cobra.Command {
	var f tokenFlags
	cmd := &cobra.Command{
		Use:   "list [URI]",
		Short: "Show the token, what it can do, and its keys",
		Long: "Shows what the token reports: firmware, sessions, the PIN tries it has left, abilities, and each key with what guards it.\n" +
			"Without a URI and a configuration it lists what this binary can open.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := f.with(cmd.Context(), o, args, func(ctx context.Context, _ host.Config, t *host.Tokens) error {
				info, err := t.Info(ctx)
				if err != nil {
					return err
				}
				keys, err := t.List(ctx)
				if err != nil {
					return err
				}
				v := map[string]any{"token": info, "abilities": hsm.Abilities(t.Token), "keys": keys}
				return o.result(v, func(w io.Writer) {
					describeToken(w, info, t.Token)
					row(w)
					row(w, "KEY", "TYPE", "SENSITIVE", "EXTRACTABLE", "MADE IN TOKEN")
					for _, k := range keys {
						row(w, k.ID, k.Type, yesNo(k.Sensitive), yesNo(k.Extractable), yesNo(k.Local))
					}
				})
			})
			if errors.Is(err, host.ErrNoConfiguration) {
				return o.openables()
			}
			return err
		},
	}
	f.register(cmd)
	return cmd
}

// openables lists what this binary opens.
func (o *output) openables() error {
	all := host.Openables()
	return o.result(map[string]any{"drivers": all}, func(w io.Writer) {
		row(w, "No token is named: give a URI, or the node's file by --config. This binary opens:")
		row(w)
		row(w, "DRIVER", "URI", "WHAT")
		for _, x := range all {
			row(w, x.Driver, x.URI, x.What)
		}
	})
}

func hsmTest(o *output) *cobra.Command {
	var f tokenFlags
	var count int
	cmd := &cobra.Command{
		Use:   "test [URI]",
		Short: "Prove that the token can do what the node will ask of it, and measure how fast",
		Long: "Signs and verifies with the cosign and attest keys, " +
			"wraps and unwraps with the vault key, checks that changed input is refused, and\n" +
			"measures each. It logs in once, with the PIN that is configured, and not where the token says that one more wrong\n" +
			"PIN locks it.",
		Example: "  mpcd hsm test -c mpcd.yaml\n  mpcd hsm test 'tpm:device=/dev/tpmrm0'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 1 || count > 100_000 {
				return fault.Usage("give --count from 1 to 100000", "%d operations", count)
			}
			return f.with(cmd.Context(), o, args, func(ctx context.Context, _ host.Config, t *host.Tokens) error {
				info, err := t.Info(ctx)
				if err != nil {
					return err
				}
				keys, err := t.Prove(ctx)
				if err != nil {
					return &fault.Error{Code: fault.CodeHSM, What: "the token fails its self-test", Err: err,
						Do: "do not use it; check its keys with `mpcd hsm list`"}
				}
				times, err := t.Timings(ctx, count)
				if err != nil {
					return err
				}
				v := map[string]any{"ok": true, "token": info, "abilities": hsm.Abilities(t.Token), "keys": keys, "timings": times}
				return o.result(v, func(w io.Writer) {
					describeToken(w, info, t.Token)
					row(w)
					for _, k := range keys {
						row(w, "ok", k.ID, k.Type)
					}
					row(w)
					row(w, "OPERATION", "KEY", "P50", "P99", "PER SECOND")
					for _, x := range times {
						row(w, x.Operation, x.Key, fmt.Sprintf("%.2f ms", x.P50), fmt.Sprintf("%.2f ms", x.P99), fmt.Sprintf("%.0f", x.PerSecond))
					}
				})
			})
		},
	}
	f.register(cmd)
	cmd.Flags().IntVar(&count, "count", 100, "operations of each kind to measure, or what two seconds allow")
	return cmd
}

func hsmInit(o *output) *cobra.Command {
	var f tokenFlags
	var soft, label string
	cmd := &cobra.Command{
		Use:   "init [URI]",
		Short: "Make the node's keys in its token; with --softhsm DIR make a token first",
		Long: "Makes the keys cosign, attest and vault where they are missing; " +
			"what is there is kept. With --softhsm a new SoftHSM token is made in\n" +
			"DIR, which must not hold one, with a random PIN in DIR/pin that the owner alone may read, and its URI printed.",
		Example: "  mpcd hsm init --config /etc/mpcd/mpcd.yaml\n  mpcd hsm init --softhsm ./token\n  mpcd hsm init tpm:",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if soft != "" {
				p, err := host.ProvisionSoftHSM(soft, label)
				if err != nil {
					return fault.Doing("make the token", err)
				}
				f.uri, f.conf = p.URI, p.Conf
			}
			return f.with(cmd.Context(), o, args, func(ctx context.Context, c host.Config, t *host.Tokens) error {
				keys, err := t.MakeKeys(ctx)
				if err != nil {
					return fault.Doing("make the keys", err)
				}
				asked := make([]map[string]any, len(keys)) // what the token says of them, `mpcd hsm list` tells
				for i, k := range keys {
					asked[i] = map[string]any{"id": k.ID, "type": k.Type}
				}
				return o.result(map[string]any{"uri": c.TokenURI(), "softhsm_conf": f.conf, "keys": asked}, func(w io.Writer) {
					row(w, "uri", c.TokenURI())
					if f.conf != "" {
						row(w, "softhsm_conf", f.conf)
					}
					for _, k := range keys {
						row(w, "key", k.ID, k.Type)
					}
				})
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&soft, "softhsm", "", "make a SoftHSM token in this directory")
	cmd.Flags().StringVar(&label, "label", "mpcd", "label of the new token")
	return cmd
}

// hsmSealPassword seals the store's password for password.provider pkcs11 or tpm.
func hsmSealPassword(o *output) *cobra.Command {
	var f tokenFlags
	var key string
	cmd := &cobra.Command{
		Use:   "seal-password [URI]",
		Short: "Seal a password, read from standard input, with a key of the token",
		Long: "Prints the sealed password in base64, for password.sealed or $" + hsm.SealedPasswordEnv +
			" with password.provider pkcs11 or tpm. For AWS KMS use\n" +
			"`aws kms encrypt --output text --query CiphertextBlob`, for Google `gcloud kms encrypt`.",
		Example: "  head -c 32 /dev/urandom | base64 | mpcd hsm seal-password tpm: --key vault > store.password",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := host.ReadPassword(os.Stdin)
			if err != nil {
				return err
			}
			defer secret.Wipe(password)
			return f.with(cmd.Context(), o, args, func(ctx context.Context, _ host.Config, t *host.Tokens) error {
				sealed, err := t.SealPassword(ctx, key, password)
				if err != nil {
					return err
				}
				return o.result(map[string]any{"sealed": sealed, "key": key}, func(out io.Writer) { row(out, sealed) })
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&key, "key", "vault", "the key that seals it")
	return cmd
}
