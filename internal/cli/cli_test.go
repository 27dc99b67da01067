package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/host/fault"
)

// Goal: a mistake on the command line is a usage fault that names what is missing or too much, with the nearest right word. Method: a tree
// of two commands, called wrongly in every way.
func TestMistakes(t *testing.T) {
	for line, want := range map[string][2]string{
		"show":             {"x key show is given no WALLET", "see `x key show --help`"},
		"show a b":         {`x key show takes WALLET, and is given ["a" "b"]`, "see `x key show --help`"},
		"list a":           {`x key list takes no arguments, and is given ["a"]`, "see `x key list --help`"},
		"show a --walet=1": {"unknown flag: --walet", "did you mean --wallet? see `x key show --help`"},
		"lst":              {`unknown command "x key lst"`, "did you mean `x key list`? see `x key --help`"},
		"":                 {"x key needs a subcommand", "see `x key --help`"},
	} {
		root := &cobra.Command{Use: "x", SilenceErrors: true, SilenceUsage: true, Args: cobra.ArbitraryArgs, RunE: NeedSubcommand}
		key := &cobra.Command{Use: "key", Args: cobra.ArbitraryArgs, RunE: NeedSubcommand}
		done := func(*cobra.Command, []string) error { return nil }
		show := &cobra.Command{Use: "show WALLET", Args: cobra.ExactArgs(1), RunE: done}
		show.Flags().String("wallet", "", "")
		key.AddCommand(show, &cobra.Command{Use: "list", Args: cobra.NoArgs, RunE: done})
		root.AddCommand(key)
		Strict(root)
		root.SetArgs(append([]string{"key"}, strings.Fields(line)...))
		err := root.Execute()
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != fault.CodeUsage || f.Error() != want[0] || f.Do != want[1] {
			t.Errorf("%q: %v, do %+v", line, err, f)
		}
	}
}

// Goal: a program that asked for JSON gets its error as JSON, also where the line has a mistake before that is read.
func TestWantsJSON(t *testing.T) {
	for line, want := range map[string]bool{
		"sign --walet x -o json": true, "sign -ojson": true, "-o=json": true, "--output json": true, "--output=json": true,
		"-o table": false, "-o": false, "": false, "verify -- -o json": false,
	} {
		if WantsJSON(strings.Fields(line)) != want {
			t.Errorf("%q", line)
		}
	}
}
