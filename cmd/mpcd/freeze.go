package main

import (
	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/internal/cli"
)

func freezeCommand(o *output) *cobra.Command {
	cmd := &cobra.Command{Use: "freeze", Short: "Stop all that is done with a wallet, a vault or the cluster, until officers thaw it",
		Args: cobra.ArbitraryArgs, RunE: cli.NeedSubcommand}
	var r remote
	list := &cobra.Command{Use: "list", Short: "List what is frozen, or was", Args: cobra.NoArgs}
	list.RunE = func(cmd *cobra.Command, _ []string) error {
		return show(o, &r, "list freezes", "", freezes(cmd), enrol.PrintFreezes)
	}
	r.register(list)
	cmd.AddCommand(freezeScope(o, "wallet", " ID"), freezeScope(o, "vault", " NAME"), freezeScope(o, "cluster", ""), list, freezeSign(o),
		freezeThaw(o))
	return cmd
}

func freezes(cmd *cobra.Command) func(*client.Client) ([]wire.Freeze, error) {
	return func(c *client.Client) ([]wire.Freeze, error) { return c.Freezes(cmd.Context()) }
}

func freezeScope(o *output, scope, arg string) *cobra.Command {
	var r remote
	var reason string
	cmd := &cobra.Command{Use: scope + arg, Short: "Freeze a " + scope + " at all nodes, now", Args: cobra.ExactArgs(min(len(arg), 1))}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q, err := enrol.Freezing(scope, append(args, "")[0], reason)
		if err != nil {
			return err
		}
		return show(o, &r, "freeze", "", func(c *client.Client) (*wire.Freeze, error) { return c.Freeze(cmd.Context(), q) },
			enrol.PrintFreeze)
	}
	r.register(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people: every refusal says it (required)")
	return cmd
}

func freezeSign(o *output) *cobra.Command {
	var by signer
	cmd := &cobra.Command{Use: "sign FILE", Short: "Add an officer's signature to a thaw in a file", Args: cobra.ExactArgs(1)}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return by.use(func(name string, sign attest.SignFunc) error {
			return o.thawing(enrol.EndorseThaw(args[0], name, sign))
		})
	}
	by.register(cmd)
	return cmd
}

func (o *output) thawing(t *enrol.Thawing, err error) error {
	if err != nil {
		return err
	}
	return o.result(t, t.Print)
}

func freezeThaw(o *output) *cobra.Command {
	var r remote
	var out, bring string
	cmd := &cobra.Command{Use: "thaw ID", Short: "Write a thaw for officers to sign, or bring it when they have", Args: cobra.ExactArgs(1)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if out != "" {
			all, err := ask(&r, "list freezes", "", freezes(cmd))
			return o.thawing(enrol.BeginThaw(args[0], out, all, err))
		}
		q, err := enrol.ReadThaw(args[0], bring)
		if err != nil {
			return err
		}
		return show(o, &r, "thaw", "", func(c *client.Client) (*wire.Freeze, error) { return c.Thaw(cmd.Context(), args[0], q) },
			enrol.PrintFreeze)
	}
	r.register(cmd)
	cmd.Flags().StringVar(&out, "out", "", "a file to write, for officers to sign with mpcd freeze sign")
	cmd.Flags().StringVar(&bring, "bring", "", "the file that they have signed")
	return cmd
}
