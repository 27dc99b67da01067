// Command matrix runs the conformance suite of every driver against every token that can be had without hardware, and writes what the
// tokens turned out to be able to do as a table into docs/HARDWARE.md. A row stands there only if its whole suite passed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/luxfi/mpcd/hsm/hsmtest"
)

func main() {
	doc := flag.String("doc", "docs/HARDWARE.md", "the document with the table")
	only := flag.String("only", "", "suites whose package contains this; prints the table and writes nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *doc, *only); err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(1)
	}
}

// suite is one test that runs hsmtest.Run.
type suite struct {
	pkg  string
	test string
	name string // of its row, where the test gives none
}

// suites are all rows. What a test names its token itself stands as it is.
var suites = []suite{
	{"./hsm/local", "TestConformance", "local"},
	{"./hsm/pkcs11", "TestConformance", ""},
	{"./hsm/pkcs11", "TestNSS", ""},
	{"./hsm/pkcs11", "TestTPM2", ""},
	{"./hsm/pkcs11", "TestRemote", ""},
	{"./hsm/plugin", "TestConformance", "SoftHSM2, in a driver process"},
	{"./hsm/plugin", "TestExternal", "third party's driver (local)"},
	{"./hsm/tpm", "TestConformance", ""},
	{"./hsm/awskms", "TestConformance", ""},
	{"./hsm/gcpkms", "TestConformance", "Google Cloud KMS (own server)"},
}

func run(ctx context.Context, doc, only string) error {
	var all []hsmtest.Record
	for _, s := range suites {
		if !strings.Contains(s.pkg, only) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s %s\n", s.pkg, s.test)
		r, err := s.run(ctx)
		if err != nil {
			return err
		}
		all = append(all, r...)
	}
	var table strings.Builder
	if err := hsmtest.Table(&table, all); err != nil {
		return err
	}
	if only != "" {
		fmt.Print(table.String())
		return nil
	}
	before, err := os.ReadFile(doc)
	if err != nil {
		return err
	}
	after, err := replace(string(before), table.String())
	if err != nil {
		return fmt.Errorf("%s: %w", doc, err)
	}
	if after == string(before) {
		fmt.Fprintf(os.Stderr, "%s: the table is as it was\n", doc)
		return nil
	}
	return os.WriteFile(doc, []byte(after), 0o644)
}

// run runs the suite in a process of its own and returns what it recorded.
func (s suite) run(ctx context.Context) ([]hsmtest.Record, error) {
	dir, err := os.MkdirTemp("", "mpcd-matrix-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "rows")
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-run", "^"+s.test+"$", s.pkg)
	cmd.Env = append(os.Environ(), hsmtest.MatrixEnv+"="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if b, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", s.pkg, s.test, err, b)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s %s recorded nothing: %w", s.pkg, s.test, err)
	}
	defer f.Close()
	all, err := hsmtest.ReadMatrix(f)
	if err != nil {
		return nil, err
	}
	if s.name != "" {
		if len(all) != 1 {
			return nil, fmt.Errorf("%s %s recorded %d tokens, want one", s.pkg, s.test, len(all))
		}
		all[0].Name = s.name
	}
	return all, nil
}

// The lines around the table.
const (
	begin = "<!-- make matrix writes this table -->\n"
	end   = "<!-- end of the table -->\n"
)

// cut returns what stands before the table, the table, and what stands after it.
func cut(doc string) (before, table, after string, err error) {
	before, rest, found := strings.Cut(doc, begin)
	table, after, ended := strings.Cut(rest, end)
	if !found || !ended || strings.Contains(after, begin) || strings.Contains(after, end) {
		return "", "", "", errors.New("it must have one line " + strings.TrimSpace(begin) + " and, after it, one line " + strings.TrimSpace(end))
	}
	return before, table, after, nil
}

// replace puts the table in the place of the one that stands in doc.
func replace(doc, table string) (string, error) {
	before, _, after, err := cut(doc)
	return before + begin + table + end + after, err
}

// rows are the lines of a table by the name in their first cell, without the heading.
func rows(table string) map[string]string {
	out := map[string]string{}
	for i, line := range strings.Split(strings.TrimSuffix(table, "\n"), "\n") {
		if cells := strings.Split(line, " | "); i >= 2 {
			out[strings.TrimPrefix(cells[0], "| ")] = line
		}
	}
	return out
}
