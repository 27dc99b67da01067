package sim

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// program is the mpcd binary of this test run.
var program struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// Main runs the tests of a package that uses processes, and removes the program built for them. It is what TestMain returns to
// os.Exit.
func Main(m *testing.M) int {
	if name := os.Getenv(diskVariable); name != "" {
		fmt.Fprintln(os.Stderr, "sim:", becomeProgram(name)) // it returns only if it cannot
		return 1
	}
	defer func() {
		if program.dir != "" {
			_ = os.RemoveAll(program.dir)
		}
	}()
	return m.Run()
}

// Program builds mpcd, once in a test run, and returns its path.
func Program(tb testing.TB) string {
	tb.Helper()
	p := &program
	p.once.Do(func() {
		if p.dir, p.err = os.MkdirTemp("", "mpcd-sim-"); p.err != nil {
			return
		}
		if p.err = touchSources(); p.err != nil {
			return
		}
		p.path = filepath.Join(p.dir, "mpcd")
		cmd := exec.Command("go", "build", "-o", p.path, "github.com/luxfi/mpcd/cmd/mpcd")
		if out, err := cmd.CombinedOutput(); err != nil {
			p.err = fmt.Errorf("build mpcd: %w\n%s", err, out)
		}
	})
	if p.err != nil {
		tb.Fatal(p.err)
	}
	return p.path
}

// touchSources reads the sources of the program that no test imports: so the go command knows that a cached result depends on
// them.
func touchSources() error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(root)
		if up == root {
			return errors.New("sim: no go.mod above the test")
		}
		root = up
	}
	for _, dir := range []string{"cmd/mpcd", "internal/dev"} {
		sources, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil || len(sources) == 0 {
			return fmt.Errorf("sim: no sources in %s: %w", filepath.Join(root, dir), err)
		}
		for _, path := range sources {
			if _, err := os.ReadFile(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// Result is how a command ended.
type Result struct {
	Code     int
	Out, Err string
}

// Command is mpcd with an environment of its own: that of the test without what configures nodes or tokens, and env. StartChild
// starts it.
func Command(tb testing.TB, env []string, args ...string) *exec.Cmd {
	tb.Helper()
	return commandOf(Program(tb), tb, env, args...)
}

// commandOf is Command of a program.
func commandOf(program string, tb testing.TB, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(tb.Context(), program, args...)
	cmd.Env = environment(env)
	return cmd
}

// Run runs mpcd as Command makes it.
func Run(tb testing.TB, env []string, args ...string) Result {
	tb.Helper()
	return runBy(StartChild, tb, Command(tb, env, args...))
}

// runBy runs a command, with what starts the process.
func runBy(start func(*exec.Cmd) error, tb testing.TB, cmd *exec.Cmd) Result {
	tb.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		tb.Fatal(err)
	}
	return Result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func environment(extra []string) []string {
	var out []string
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); !strings.HasPrefix(name, "MPC") && !strings.HasPrefix(name, "SOFTHSM2") {
			out = append(out, e)
		}
	}
	return append(out, extra...)
}

// Print is a picture of a directory: what every file in it holds. Two prints are compared with Diff.
type Print map[string]string

// PrintDir takes the print of dir, without the files that skip names.
func PrintDir(tb testing.TB, dir string, skip func(path string) bool) Print {
	tb.Helper()
	out := Print{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || skip != nil && skip(path) {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		what := info.Mode().String()
		if e.Type().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += fmt.Sprintf(" %d bytes, %x", len(b), sha256.Sum256(b))
		}
		out[path] = what
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// Diff lists the files that are new, gone or different in after.
func (p Print) Diff(after Print) []string {
	var out []string
	for path, what := range p {
		switch now, there := after[path]; {
		case !there:
			out = append(out, "gone: "+path)
		case now != what:
			out = append(out, "changed: "+path+": "+what+" → "+now)
		}
	}
	for path := range after {
		if _, was := p[path]; !was {
			out = append(out, "new: "+path)
		}
	}
	return out
}

// CopyDir copies a directory, as a thief or a backup would.
func CopyDir(tb testing.TB, from string) string {
	tb.Helper()
	to := tb.TempDir()
	if err := os.Chmod(to, 0o700); err != nil {
		tb.Fatal(err)
	}
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if e.IsDir() {
			return os.MkdirAll(target, info.Mode().Perm())
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, info.Mode().Perm())
	})
	if err != nil {
		tb.Fatal(err)
	}
	return to
}
