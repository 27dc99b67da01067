// Command mpcd makes a host with a hardware token into one node of a threshold-signing cluster, and is its command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/cli"
)

func main() { os.Exit(run()) }

// run is the whole program; the tests call it too.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if slices.Contains(os.Args, "start") { // before anything is said
		if err := host.GuardCrash(); err != nil {
			return newOutput().fail(fault.Doing("boot", err))
		}
	}
	o := newOutput()
	o.json = cli.WantsJSON(os.Args[1:])
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
		Version:       release(),
		RunE:          cli.NeedSubcommand,
	}
	format := cmd.PersistentFlags().StringP("output", "o", "table", "how results are printed: table or json")
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error {
		if *format != "table" && *format != "json" {
			return fault.Usage("use -o table or -o json", "output format %q is unknown", *format)
		}
		o.json = *format == "json"
		return nil
	}
	cmd.SetVersionTemplate("mpcd {{.Version}}\n")
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
	add("use", keygenCommand(o), signCommand(o), refreshCommand(o), approveCommand(o), operationCommand(o), freezeCommand(o), keyCommand(o),
		tokenCommand(o))
	add("node", devCommand(o), initCommand(o), startCommand(), nodeCommand(o), authorityCommand(o), policyCommand(o), hsmCommand(o),
		configCommand(o))
	add("check", verifyCommand(o), attestCommand(o), intentCommand(o), auditCommand(o), doctorCommand(o), versionCommand(o))
	cmd.AddCommand(pluginCommand(), provisionProcess(o), crashPrinter())
	cli.Strict(cmd)
	return cmd
}
