package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/internal/sim"
)

func TestMain(m *testing.M) {
	itself := []string{host.DriverCommand, host.ProvisionCommand, host.CrashCommand} // mpcd starts itself so
	if len(os.Args) > 1 && slices.Contains(itself, os.Args[1]) {
		os.Exit(run())
	}
	if filepath.Base(os.Args[0]) != "mpcd" { // let core dumps be allowed where we start mpcd, so that its forbidding them shows
		var l unix.Rlimit
		if unix.Getrlimit(unix.RLIMIT_CORE, &l) == nil {
			l.Cur = l.Max
			_ = unix.Setrlimit(unix.RLIMIT_CORE, &l)
		}
	}
	testscript.Main(tests{m}, map[string]func(){"mpcd": main})
}

// tests removes, after all tests, the program that some of them built.
type tests struct{ *testing.M }

func (t tests) Run() int { return sim.Main(t.M) }

// Goal: the program does what its help says, with the right exit codes, up to whole clusters of real processes with SoftHSM
// tokens. Method: scripts in testdata, one for each subject, run against the program itself.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Deadline:            time.Now().Add(10 * time.Minute), // a node that starts where it must not would run for ever
		Cmds:                scriptCommands,
		Setup: func(e *testscript.Env) error {
			e.Setenv("NO_COLOR", "1")
			docs, err := filepath.Abs("../../docs")
			if err != nil {
				return err
			}
			e.Setenv("DOCS", docs)
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
	})
}
