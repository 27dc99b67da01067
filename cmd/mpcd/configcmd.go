package main

import (
	"io"

	"github.com/spf13/cobra"
)

func configCommand(o *output) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Show the configuration of this node", Args: cobra.ArbitraryArgs, RunE: needSubcommand}
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
		Long: "Print every key of mpcd.yaml with its value. Secrets are never in the configuration, only references to them, so the output may be shared.\n\n" +
			"Flags win over environment variables, these over the file, and the file over defaults.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			vs, unknown, err := flags.values()
			if err != nil {
				return err
			}
			var lines []shown
			for _, s := range settings {
				l := shown{Key: s.key, Value: vs[s.key].text}
				if s.list {
					l.Value = vs[s.key].list
				}
				if origin || o.json {
					l.Origin = vs[s.key].origin
				}
				if help {
					l.Variable, l.Flag, l.Help = s.variable(), s.flag, s.help
				}
				lines = append(lines, l)
			}
			for _, name := range unknown {
				o.note("warning: the variable %s means nothing to mpcd", name)
			}
			return o.result(lines, func(w io.Writer) { showTable(w, vs, origin, help) })
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&origin, "origin", false, "say where each value comes from")
	cmd.Flags().BoolVar(&help, "explain", false, "say what each key means, and its variable")
	return cmd
}

func showTable(w io.Writer, vs values, origin, help bool) {
	for _, s := range settings {
		cells := []any{s.key, vs[s.key].String()}
		if origin {
			cells = append(cells, vs[s.key].origin)
		}
		if help {
			cells = append(cells, s.variable(), s.help)
		}
		row(w, cells...)
	}
}
