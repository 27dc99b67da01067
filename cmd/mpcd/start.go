package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"

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
			"good order, SIGHUP has it take up certificates, roster, api.jwt.revoked and log.level anew.",
		Example: "  mpcd start --config /etc/mpcd/mpcd.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.load()
			if err != nil {
				return err
			}
			return start(cmd.Context(), c, flags.load)
		},
	}
	flags.register(cmd)
	return cmd
}

// start runs the node until ctx ends.
func start(ctx context.Context, c host.Config, again func() (host.Config, error)) error {
	hangups := host.Hangups()
	host.LimitMemory()
	level := new(slog.LevelVar)
	level.Set(host.ParseLevel(c.LogLevel))
	log := host.NewLogger(os.Stderr, level, c.LogFormat).With("node", string(c.Node))
	slog.SetDefault(log)
	c.Remark(log)
	host.RemarkMemory(log)
	api, err := host.Listen(c)
	if err != nil {
		return fault.Doing("boot: API", err)
	}
	h, err := host.Open(ctx, c, host.Options{Release: release(), Log: log, Level: level, Hangups: hangups, Again: again,
		Crash: func(err error) { os.Exit(newOutput().fail(fault.Doing("run", err))) }})
	if err != nil {
		host.Notify("STOPPING=1")
		return errors.Join(err, api.Close())
	}
	err = h.Run(ctx, api, func() {
		host.Notify("READY=1")
		host.Settle()
	})
	host.Notify("STOPPING=1")
	if err := errors.Join(err, h.Close()); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// release is the version of the program, as built.
var version = "0.1.0-dev"

func release() string { return strings.TrimSpace(version) }
