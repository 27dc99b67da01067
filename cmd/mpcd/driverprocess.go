package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/host"
)

// pluginCommand is the driver process.
func pluginCommand() *cobra.Command {
	return &cobra.Command{
		Use:    host.DriverCommand,
		Short:  "The process that PKCS#11 libraries are loaded in; mpcd starts it itself",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE:   func(*cobra.Command, []string) error { return host.ServeDrivers(release()) },
	}
}

// crashPrinter prints how a node crashed.
func crashPrinter() *cobra.Command {
	return &cobra.Command{
		Use:    host.CrashCommand,
		Short:  "The process that prints how a node crashed; mpcd starts it itself",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE:   func(*cobra.Command, []string) error { return host.ServeCrash() },
	}
}

// provisionProcess makes a SoftHSM token, which loads its library, and prints it.
func provisionProcess(o *output) *cobra.Command {
	return &cobra.Command{
		Use:    host.ProvisionCommand + " DIR LABEL",
		Short:  "The process that makes a SoftHSM token; mpcd starts it itself",
		Args:   cobra.ExactArgs(2),
		Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := host.MakeSoftToken(args[0], args[1])
			if err != nil {
				return err
			}
			return json.NewEncoder(o.out).Encode(t)
		},
	}
}
