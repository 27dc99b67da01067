package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/internal/cli"
)

func configCommand(o *output) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Show the configuration of this node", Args: cobra.ArbitraryArgs, RunE: cli.NeedSubcommand}
	cmd.AddCommand(configShow(o))
	return cmd
}

// shown is a line of `config show`.
type shown struct {
	Key      string `json:"key"`
	Value    any    `json:"value"`
	Origin   string `json:"origin,omitempty"`
	Variable string `json:"variable,omitempty"`
	Flag     string `json:"flag,omitempty"`
	Help     string `json:"help,omitempty"`
}

func configShow(o *output) *cobra.Command {
	var origin, help bool
	var flags nodeFlags
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print every key, its value and where the value comes from",
		Long: "Print every key of mpcd.yaml with its value. " +
			"Secrets are never in the configuration, only references to them, so the output may be shared.\n" +
			"A value that is wrong is an error, after all are printed.\n\n" +
			"Flags win over environment variables, these over the file, and the file over defaults.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			vs, unknown, err := flags.values()
			if err != nil {
				return err
			}
			var lines []shown
			for _, s := range host.Settings {
				v := vs[s.Key].Redacted()
				l := shown{Key: s.Key, Value: v.Text}
				if s.List {
					l.Value = v.List
				}
				if origin || o.json {
					l.Origin = v.Origin
				}
				if help {
					l.Variable, l.Flag, l.Help = s.Variable(), s.Flag, s.Help
				}
				lines = append(lines, l)
			}
			for _, name := range unknown {
				o.note("warning: the variable %s means nothing to mpcd", name)
			}
			err = o.result(lines, func(w io.Writer) {
				for _, l := range lines {
					cells := []any{l.Key, vs[l.Key].Redacted().String()}
					if origin {
						cells = append(cells, l.Origin)
					}
					if help {
						cells = append(cells, l.Variable, l.Help)
					}
					row(w, cells...)
				}
			})
			return errors.Join(err, host.CheckGiven(vs))
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&origin, "origin", false, "say where each value comes from")
	cmd.Flags().BoolVar(&help, "explain", false, "say what each key means, and its variable")
	return cmd
}
