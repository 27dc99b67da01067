// Command mutate asks whether the tests would notice: it takes one check, binding or wipe out of the program at a time and runs the
// test that must fail then. What it takes out stands in list/, a file per subject; nothing in the tree is changed (go test -overlay).
//
// The form of the list, and what a line of it owes, is told in list.go. The run fails if a mutant survives or if the list is wrong.
// last.txt keeps what was found of each mutant last (-keep), before.txt what a whole run printed before the appliance was cut into
// packages.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	o := options{progress: os.Stderr}
	flag.StringVar(&o.root, "root", ".", "the module's directory")
	flag.StringVar(&o.list, "list", "scripts/mutate/list", "the directory of the list, below the module's")
	flag.StringVar(&o.only, "run", "", "regular `expression` for subject/name: only these mutants")
	flag.IntVar(&o.sample, "sample", 0, "run no more than `n` mutants, chosen by -seed")
	flag.StringVar(&o.seed, "seed", "", "what the sample is chosen by (default the commit)")
	flag.StringVar(&o.keep, "keep", "", "keep what was found of each mutant in this `file`, with what it has of others")
	flag.IntVar(&o.next, "next", 0, "with -keep: run the `n` mutants that were tried longest ago, or never")
	flag.IntVar(&o.parallel, "p", runtime.NumCPU(), "mutants at a time")
	flag.DurationVar(&o.limit, "timeout", 2*time.Minute, "how long one test may take")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

type options struct {
	root, list, only string
	sample, next     int
	keep             string
	seed             string
	parallel         int
	limit            time.Duration
	progress         io.Writer
}

// run does what the flags say and writes the report to w. A mutant that survives is an error, and so is one that could not be run.
func run(ctx context.Context, o options, w io.Writer) error {
	only, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	all, err := readList(os.DirFS(filepath.Join(o.root, o.list)))
	if err != nil {
		return err
	}
	commit := commitOf(ctx, o.root)
	if o.seed == "" {
		o.seed = commit
	}
	chosen := choose(all, only, o.sample, o.seed)
	before, err := readKept(o.keep)
	if err != nil {
		return err
	}
	if o.next > 0 {
		chosen = before.next(chosen, o.next)
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no mutant of %d is named by %q", len(all), o.only)
	}
	begun := time.Now()
	results, err := newRunner(o).all(ctx, chosen)
	if err != nil {
		return err
	}
	r := report{results: results, listed: len(all), commit: commit, machine: machine(), begun: begun, took: time.Since(begun)}
	if o.sample > 0 {
		r.seed = o.seed
	}
	if err := r.write(w); err != nil {
		return err
	}
	if o.keep != "" {
		if err := before.write(o.keep, all, r); err != nil {
			return err
		}
	}
	return r.failure()
}

// commitOf names the tree that was tested, as well as git knows it.
func commitOf(ctx context.Context, root string) string {
	b, err := exec.CommandContext(ctx, "git", "-C", root, "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=, changed").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

// machine tells what the seconds of the report were measured on.
func machine() string {
	name := runtime.GOARCH
	b, _ := os.ReadFile("/proc/cpuinfo") // another system has none
	for line := range bytes.Lines(b) {
		if key, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(key) == "model name" {
			name = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%d × %s, %s/%s, %s", runtime.NumCPU(), name, runtime.GOOS, runtime.GOARCH, runtime.Version())
}
