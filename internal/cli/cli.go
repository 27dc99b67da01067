// Package cli says what is wrong with a command line, with the nearest right word: flags, arguments, names of commands; and with which code
// a command ends that a node refuses.
package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

// Strict makes every mistake on the command line of cmd, and of the commands below it, a usage fault.
func Strict(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return fault.Usage(flagAdvice(c, err), "%w", err) })
	if args := cmd.Args; args != nil {
		cmd.Args = func(c *cobra.Command, a []string) error {
			err := args(c, a)
			if err == nil || errors.As(err, new(*fault.Error)) {
				return err
			}
			return wrongArguments(c, a)
		}
	}
	for _, c := range cmd.Commands() {
		Strict(c)
	}
}

// help is where to read on.
func help(c *cobra.Command) string { return "see `" + c.CommandPath() + " --help`" }

// wrongArguments names what a command is called with.
func wrongArguments(c *cobra.Command, given []string) error {
	_, takes, _ := strings.Cut(c.Use, " ")
	if takes == "" {
		return fault.Usage(help(c), "%s takes no arguments, and is given %q", c.CommandPath(), given)
	}
	if len(given) == 0 {
		return fault.Usage(help(c), "%s is given no %s", c.CommandPath(), takes)
	}
	return fault.Usage(help(c), "%s takes %s, and is given %q", c.CommandPath(), takes, given)
}

func flagAdvice(c *cobra.Command, err error) string {
	_, name, ok := strings.Cut(err.Error(), "unknown flag: --")
	if !ok {
		return help(c)
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if n := host.Nearest(name, names); n != "" {
		return fmt.Sprintf("did you mean --%s? %s", n, help(c))
	}
	return help(c)
}

// NeedSubcommand is the RunE of commands that only group others.
func NeedSubcommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		if c.HasParent() {
			return fault.Usage(help(c), "%s needs a subcommand", c.CommandPath())
		}
		return c.Help()
	}
	var names []string
	for _, s := range c.Commands() {
		names = append(names, s.Name())
	}
	do := help(c)
	if n := host.Nearest(args[0], names); n != "" {
		do = fmt.Sprintf("did you mean `%s %s`? %s", c.CommandPath(), n, do)
	}
	return fault.Usage(do, "unknown command %q", c.CommandPath()+" "+args[0])
}

// WantsJSON tells whether a command line asks for -o json, also one that cannot be read to its end.
func WantsJSON(args []string) bool {
	for i, a := range args {
		if a == "--" {
			break
		}
		if (a == "-o" || a == "--output") && i+1 < len(args) && args[i+1] == "json" {
			return true
		}
		if slices.Contains([]string{"-ojson", "-o=json", "--output=json"}, a) {
			return true
		}
	}
	return false
}

// CodeOf is the exit code for a code of the API.
func CodeOf(code string) fault.Code {
	switch problem.Code(code) {
	case problem.NotFound:
		return fault.CodeNotFound
	case problem.Invalid, problem.Conflict, problem.Unsupported:
		return fault.CodeUsage
	case problem.Denied, "unauthenticated":
		return fault.CodeDenied
	case problem.Quorum, problem.Busy, problem.Overload, problem.Starting, problem.Blame:
		return fault.CodeQuorum
	case problem.HSM:
		return fault.CodeHSM
	case problem.Integrity:
		return fault.CodeIntegrity
	case problem.Storage:
		return fault.CodeStorage
	case problem.Timeout:
		return fault.CodeTimeout
	}
	return fault.CodeFailed
}
