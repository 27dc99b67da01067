// Command mpcd makes a host with a hardware token into one node of a threshold-signing cluster, and is its command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

func main() { os.Exit(run()) }

// run is the whole program; the tests call it too.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := newOutput()
	return o.fail(root(o).ExecuteContext(ctx))
}

func root(o *output) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mpcd",
		Short: "Threshold signing with hardware at every node",
		Long: "mpcd makes a host with an HSM into one node of a threshold-signing cluster: no node ever holds a whole key.\n\n" +
			"Begin with `mpcd dev`: three nodes on this machine, ready to sign in seconds.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE:          needSubcommand,
	}
	format := cmd.PersistentFlags().StringP("output", "o", "table", "how results are printed: table or json")
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error {
		if *format != "table" && *format != "json" {
			return fault.Usage("use -o table or -o json", "output format %q is unknown", *format)
		}
		o.json = *format == "json"
		return nil
	}
	cmd.SetOut(o.out)
	cmd.SetErr(o.err)
	cmd.AddGroup(&cobra.Group{ID: "use", Title: "Use a cluster:"}, &cobra.Group{ID: "node", Title: "Run a node:"},
		&cobra.Group{ID: "check", Title: "Check and look:"})
	cmd.SetHelpCommandGroupID("check")
	cmd.SetCompletionCommandGroupID("check")
	add := func(group string, cs ...*cobra.Command) {
		for _, c := range cs {
			c.GroupID = group
			cmd.AddCommand(c)
		}
	}
	add("use", keygenCommand(o), signCommand(o), refreshCommand(o), keyCommand(o), tokenCommand(o))
	add("node", devCommand(o), initCommand(o), startCommand(), nodeCommand(o), hsmCommand(o), configCommand(o))
	add("check", verifyCommand(o), attestCommand(o), auditCommand(o), doctorCommand(o), versionCommand(o))
	cmd.AddCommand(pluginCommand(), provisionProcess(o))
	strict(cmd)
	return cmd
}

// strict makes every mistake on the command line a usage fault with the nearest right word.
func strict(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fault.Usage(flagAdvice(c, err), "%w", err)
	})
	if args := cmd.Args; args != nil {
		cmd.Args = func(c *cobra.Command, a []string) error {
			if err := args(c, a); err != nil {
				var f *fault.Error
				if errors.As(err, &f) {
					return err
				}
				return fault.Usage("see `"+c.CommandPath()+" --help`", "%w", err)
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		strict(c)
	}
}

func flagAdvice(c *cobra.Command, err error) string {
	help := "see `" + c.CommandPath() + " --help`"
	_, name, ok := strings.Cut(err.Error(), "unknown flag: --")
	if !ok {
		return help
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if n := host.Nearest(name, names); n != "" {
		return fmt.Sprintf("did you mean --%s? %s", n, help)
	}
	return help
}

// needSubcommand is the RunE of commands that only group others.
func needSubcommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		if c.HasParent() {
			return fault.Usage("see `"+c.CommandPath()+" --help`", "%s needs a subcommand", c.CommandPath())
		}
		return c.Help()
	}
	var names []string
	for _, s := range c.Commands() {
		names = append(names, s.Name())
	}
	do := "see `" + c.CommandPath() + " --help`"
	if n := host.Nearest(args[0], names); n != "" {
		do = fmt.Sprintf("did you mean `%s %s`? %s", c.CommandPath(), n, do)
	}
	return fault.Usage(do, "unknown command %q", c.CommandPath()+" "+args[0])
}
