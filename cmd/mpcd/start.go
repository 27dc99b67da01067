package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

func startCommand() *cobra.Command {
	var flags nodeFlags
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Run a node",
		Long: "Boots in this order: self-tests, data directory, roster, token and its keys, vault, audit log, identity, network, API. " +
			"Whatever\n" +
			"fails ends the process with its reason and the exit code of its kind, before the node has spoken to anybody. SIGTERM ends it in\n" +
			"good order.",
		Example: "  mpcd start --config /etc/mpcd/mpcd.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.load()
			if err != nil {
				return err
			}
			signal.Ignore(syscall.SIGHUP) // a closed terminal, or a rotated log, ends no node
			return start(cmd.Context(), c)
		},
	}
	flags.register(cmd)
	return cmd
}

// memoryGoal is what the Go heap may grow to before it is collected more often, in bytes; it is no hard limit. GOMEMLIMIT
// overrides it.
const memoryGoal = 112 << 20

// start runs the node until ctx ends.
func start(ctx context.Context, c host.Config) error {
	debug.SetTraceback("crash") // a crash ends in SIGABRT, for the 2 that is usual says "configuration"
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryGoal)
	}
	log := host.NewLogger(os.Stderr, c.LogLevel, c.LogFormat).With("node", string(c.Node))
	slog.SetDefault(log)
	for _, name := range c.Unknown {
		log.Warn("this variable means nothing to mpcd; is it misspelt?", "variable", name)
	}
	if c.Consul != "" {
		log.Info("Consul is not used by this build: who is a member stands in the roster", "origin", c.Consul)
	}
	api, err := host.Listen(c)
	if err != nil {
		return fault.Doing("boot: API", err)
	}
	h, err := host.Open(ctx, c, host.Options{Release: release(), Log: log})
	if err != nil {
		notify("STOPPING=1")
		return errors.Join(err, api.Close())
	}
	err = h.Run(ctx, api, func() { notify("READY=1") })
	notify("STOPPING=1")
	if err := errors.Join(err, h.Close()); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// release is the version of the program, as built.
var version = "0.1.0-dev"

func release() string { return strings.TrimSpace(version) }
