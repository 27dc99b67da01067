package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

type verdict string

const (
	killed     verdict = "killed"
	survived   verdict = "SURVIVED"
	timedOut   verdict = "TIMED OUT" // noticed perhaps, but by nothing that says so
	wrong      verdict = "ERROR"     // the list is: not found, does not compile, no such test
	equivalent verdict = "equivalent"
)

type result struct {
	*mutant
	verdict verdict
	note    string // what went wrong, or why it is equivalent
	took    time.Duration
}

type runner struct {
	options
	dir string // for binaries and changed files
}

func newRunner(o options) *runner { return &runner{options: o} }

// all judges the mutants, first that their tests pass without them.
func (r *runner) all(ctx context.Context, ms []*mutant) ([]result, error) {
	var err error
	if r.root, err = filepath.Abs(r.root); err != nil {
		return nil, err
	}
	if r.dir, err = os.MkdirTemp("", "mutate-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(r.dir)
	if err := r.unchanged(ctx, ms); err != nil {
		return nil, err
	}
	out := make([]result, len(ms))
	var mu sync.Mutex
	done := 0
	each(r.parallel, len(ms), func(i int) {
		begun := time.Now()
		out[i] = r.judge(ctx, i, ms[i])
		out[i].took = time.Since(begun)
		mu.Lock()
		defer mu.Unlock()
		done++
		fmt.Fprintf(r.progress, "%3d/%d %s\n", done, len(ms), out[i])
	})
	return out, ctx.Err()
}

// each calls f for 0 to n-1, parallel of them at a time.
func each(parallel, n int, f func(int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(max(parallel, 1), n) {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// unchanged runs all named tests on the tree as it is: a test that fails anyway kills nothing.
func (r *runner) unchanged(ctx context.Context, ms []*mutant) error {
	tests := map[string][]string{}
	for _, m := range ms {
		for _, k := range m.by {
			if !slices.Contains(tests[k.pkg], k.test) {
				tests[k.pkg] = append(tests[k.pkg], k.test)
			}
		}
	}
	var pkgs []string
	for pkg := range tests {
		pkgs = append(pkgs, pkg)
	}
	slices.Sort(pkgs)
	errs := make([]error, len(pkgs))
	each(r.parallel, len(pkgs), func(i int) {
		if err := r.passes(ctx, fmt.Sprintf("unchanged%d", i), pkgs[i], tests[pkgs[i]]); err != nil {
			errs[i] = fmt.Errorf("%s, nothing changed: %w", pkgs[i], err)
			return
		}
		fmt.Fprintf(r.progress, "%s: %d tests pass with nothing changed\n", pkgs[i], len(tests[pkgs[i]]))
	})
	return errors.Join(errs...)
}

func (r *runner) passes(ctx context.Context, name, pkg string, tests []string) error {
	bin := filepath.Join(r.dir, name)
	if err := r.build(ctx, bin, pkg, ""); err != nil {
		return err
	}
	defer os.Remove(bin)
	out, err := r.test(ctx, bin, pkg, "", tests...)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, tail(out))
	}
	for _, t := range tests {
		if !strings.Contains(out, "--- PASS: "+t+" (") {
			return fmt.Errorf("%s did not run and pass; is there such a test?", t)
		}
	}
	return nil
}

// judge builds the tests with the mutant in place and runs them. Only a test that began and then failed kills.
func (r *runner) judge(ctx context.Context, n int, m *mutant) result {
	fail := func(v verdict, format string, a ...any) result {
		return result{mutant: m, verdict: v, note: fmt.Sprintf(format, a...)}
	}
	changed, err := m.apply(os.DirFS(r.root))
	if err != nil {
		return fail(wrong, "%v", err)
	}
	if m.equivalent != "" {
		return fail(equivalent, "%s", m.equivalent)
	}
	dir := filepath.Join(r.dir, fmt.Sprint(n))
	overlay, err := r.overlay(dir, changed)
	if err != nil {
		return fail(wrong, "%v", err)
	}
	defer os.RemoveAll(dir)
	for i, k := range m.by {
		bin := filepath.Join(dir, fmt.Sprintf("test%d", i))
		if err := r.build(ctx, bin, k.pkg, overlay); err != nil {
			return fail(wrong, "%v", err)
		}
		out, err := r.test(ctx, bin, k.pkg, overlay, k.test)
		var exit *exec.ExitError
		switch {
		case err == nil:
			return fail(survived, "%s %s passes", k.pkg, k.test)
		case errors.Is(err, context.DeadlineExceeded):
			return fail(timedOut, "%s %s ran for %v", k.pkg, k.test, r.limit)
		case !errors.As(err, &exit) || ctx.Err() != nil:
			return fail(wrong, "%s %s: %v", k.pkg, k.test, err)
		case !strings.Contains(out, "=== RUN   "+k.test+"\n"):
			return fail(wrong, "%s ended before %s began\n%s", k.pkg, k.test, tail(out))
		}
	}
	return result{mutant: m, verdict: killed}
}

// overlay writes the changed files into dir, and beside them what tells the go command to take them.
func (r *runner) overlay(dir string, changed change) (string, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	replace := map[string]string{}
	for name, text := range changed {
		to := filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(r.root, name)] = to
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, b, 0o600)
}

// unoptimised are the packages that are compiled again for most mutants, which takes half the time so; arithmetic is not among them.
var unoptimised = []string{"appliance/...", "host/...", "enrol/...", "policy/...", "attest/...", "vault/...", "cmd/..."}

// build compiles the tests of a package. That it is a step of its own tells a mutant that does not compile from one that is killed.
func (r *runner) build(ctx context.Context, bin, pkg, overlay string) error {
	args := []string{"test", "-c", "-ldflags=-s -w", "-overlay=" + overlay, "-o", bin}
	for _, p := range unoptimised {
		args = append(args, "-gcflags=github.com/luxfi/mpcd/"+p+"=-N -l")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./"+pkg)...)
	cmd.Dir = r.root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("does not compile: %w\n%s", err, tail(string(out)))
	}
	if _, err := os.Stat(bin); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has no tests", pkg)
	}
	return nil
}

// test runs the named tests of a binary where go test would, with all that they start in one process group that ends with them. Programs
// that they build have the mutant too.
func (r *runner) test(ctx context.Context, bin, pkg, overlay string, tests ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.limit*time.Duration(len(tests)))
	defer cancel()
	var run []string
	for _, t := range tests {
		run = append(run, "^"+strings.ReplaceAll(regexp.QuoteMeta(t), "/", "$/^")+"$")
	}
	cmd := exec.CommandContext(ctx, bin, "-test.v", "-test.timeout=0", "-test.run="+strings.Join(run, "|"))
	cmd.Dir = filepath.Join(r.root, pkg)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+overlay))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return out.String(), err
}

// tail is the end of what a command printed, enough to see why.
func tail(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
