package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/softhsm"
)

func hsmCommand(o *output) *cobra.Command {
	cmd := &cobra.Command{Use: "hsm", Short: "Look into the node's token, test it, make its keys", Args: cobra.ArbitraryArgs, RunE: needSubcommand}
	cmd.AddCommand(hsmList(o), hsmTest(o), hsmInit(o))
	return cmd
}

// tokenFlags name a token: by the node's configuration, or by a URI alone.
type tokenFlags struct {
	node nodeFlags
	uri  string
	conf string // of SoftHSM, for a token just made
}

func (f *tokenFlags) register(cmd *cobra.Command) {
	f.node.register(cmd)
	cmd.Flags().StringVar(&f.uri, "uri", "", "the token, without a configuration")
}

// with runs do with the token. A configured node must not be running: software tokens bear no second process.
func (f *tokenFlags) with(ctx context.Context, o *output, do func(context.Context, *config, hsm.Token) error) (err error) {
	c := &config{Dev: f.node.dev}
	if f.uri != "" {
		c.HSM.URI, c.HSM.CosignKey, c.HSM.AttestKey, c.HSM.KEK = f.uri, "cosign", "attest", "vault"
		c.HSM.SoftHSMConf = f.conf
	} else {
		if c, err = f.node.load(); err != nil {
			return err
		}
		held, err := c.lock()
		if err != nil {
			return err
		}
		defer held.Close()
	}
	t, err := c.openToken(ctx, newLogger(o.err, "error", "text"))
	if err != nil {
		return doing("open the token", err)
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	return do(ctx, c, t)
}

func hsmList(o *output) *cobra.Command {
	var f tokenFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the token, what it can do, and its keys",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.with(cmd.Context(), o, func(ctx context.Context, _ *config, t hsm.Token) error {
				info, err := t.Info(ctx)
				if err != nil {
					return err
				}
				keys := []hsm.KeyInfo{}
				if l, ok := hsm.As[hsm.KeyLister](t); ok {
					if keys, err = l.Keys(ctx); err != nil {
						return err
					}
				}
				v := map[string]any{"token": info, "abilities": hsm.Abilities(t), "keys": keys}
				return o.result(v, func(w io.Writer) {
					row(w, "provider", info.Provider)
					row(w, "token", info.Label)
					row(w, "device", strings.TrimSpace(info.Manufacturer+" "+info.Model+" "+info.Serial))
					row(w, "hardware", yesNo(!info.SoftwareOnly))
					row(w, "abilities", strings.Join(hsm.Abilities(t), ", "))
					row(w)
					row(w, "KEY", "TYPE", "SENSITIVE", "EXTRACTABLE", "MADE IN TOKEN")
					for _, k := range keys {
						row(w, k.ID, k.Type, yesNo(k.Sensitive), yesNo(k.Extractable), yesNo(k.Local))
					}
				})
			})
		},
	}
	f.register(cmd)
	return cmd
}

func hsmTest(o *output) *cobra.Command {
	var f tokenFlags
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Prove that the token can do what the node will ask of it",
		Long:  "Signs and verifies with the cosign and attest keys, wraps and unwraps with the vault key, and checks that changed input is refused.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.with(cmd.Context(), o, func(ctx context.Context, c *config, t hsm.Token) error {
				keys, err := c.tokenKeys(ctx, t)
				if err != nil {
					return doing("token", err)
				}
				if err := hsm.SelfTest(ctx, t, keys...); err != nil {
					return &fault{Code: exitHSM, What: "the token fails its self-test", Err: err, Do: "do not use it; check its keys with `mpcd hsm list`"}
				}
				return o.result(map[string]any{"ok": true, "keys": keys}, func(w io.Writer) {
					for _, k := range keys {
						row(w, "ok", k.ID, k.Type)
					}
				})
			})
		},
	}
	f.register(cmd)
	return cmd
}

func hsmInit(o *output) *cobra.Command {
	var f tokenFlags
	var soft, label string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the node's keys in its token; with --softhsm DIR make a token first",
		Long: "Makes the keys cosign, attest and vault where they are missing; what is there is kept. With --softhsm a new SoftHSM token is made in\n" +
			"DIR, with a random PIN in DIR/pin that the owner alone may read, and its URI printed.",
		Example: "  mpcd hsm init --config /etc/mpcd/mpcd.yaml\n  mpcd hsm init --softhsm ./token",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf := ""
			if soft != "" {
				p, err := softhsm.Provision(soft, label, "", "")
				if err != nil {
					return doing("make the token", err)
				}
				f.uri = p.URI
				if conf, err = filepath.Abs(filepath.Join(soft, "softhsm2.conf")); err != nil {
					return err
				}
			}
			f.conf = conf
			return f.with(cmd.Context(), o, func(ctx context.Context, c *config, t hsm.Token) error {
				if err := c.makeTokenKeys(ctx, t); err != nil {
					return doing("make the keys", err)
				}
				keys, err := c.tokenKeys(ctx, t)
				if err != nil {
					return err
				}
				return o.result(map[string]any{"uri": c.tokenURI(), "softhsm_conf": conf, "keys": keys}, func(w io.Writer) {
					row(w, "uri", c.tokenURI())
					if conf != "" {
						row(w, "softhsm_conf", conf)
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
