//go:build mixed

// Package mixed has nodes of two releases in one cluster, as while it is upgraded.
package mixed

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/benchmarks"
	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/internal/sim"
)

var (
	from = flag.String("mixed.from", "", "the commit of the earlier release")
	last = flag.String("mixed.last", "", "the file that keeps the table")
)

func TestMain(m *testing.M) { os.Exit(sim.Main(m)) }

// earlier builds mpcd of the earlier commit.
func earlier(t *testing.T) string {
	tree, program := filepath.Join(t.TempDir(), "tree"), filepath.Join(t.TempDir(), "mpcd")
	run := func(dir string, args ...string) {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("", "git", "worktree", "add", "--detach", tree, *from)
	t.Cleanup(func() { run("", "git", "worktree", "remove", "--force", tree) })
	run(tree, "go", "build", "-ldflags", "-X main.version="+*from, "-o", program, "./cmd/mpcd")
	return program
}

// upgrade is a cluster of which one node after the other is started with another release.
type upgrade struct {
	*testing.T
	c       *sim.Processes
	runs    []string // by node, the release that it runs
	wallets []*client.Wallet
	n       int
	table   strings.Builder
}

// try does one thing, and writes down what came of it.
func (u *upgrade) try(what string, err error) {
	u.Helper()
	said := "done"
	if err != nil {
		said = err.Error()
		u.Errorf("%s: %s: %v", strings.Join(u.runs, " "), what, err)
	}
	fmt.Fprintf(&u.table, "%-11s  %-76s  %s\n", strings.Join(u.runs, " "), what, said)
}

// all makes a key of every kind, and has every key signed with by every pair at either node of it, refreshed, and signed with again.
func (u *upgrade) all() {
	u.c.WaitReady()
	for _, kind := range [][2]string{{"ed25519", "frost"}, {"secp256k1", "frost"}, {"secp256k1", "dkls23"}} {
		coordinator := u.c.Nodes[u.n%3]
		w, err := coordinator.Client().Keygen(u.Context(), &client.KeygenRequest{Curve: kind[0], Protocol: kind[1], Threshold: 2, Total: 3})
		if u.try(kind[0]+" "+kind[1]+" key, coordinated by "+coordinator.ID, err); err == nil {
			u.wallets = append(u.wallets, w)
		}
	}
	if u.Failed() {
		u.Fatal("there are no keys to sign with\n" + u.table.String())
	}
	u.sign("signed")
	var errs []error
	for i, w := range u.wallets {
		_, err := u.c.Nodes[i%3].Client().Refresh(u.Context(), &client.RefreshRequest{WalletID: w.WalletID})
		errs = append(errs, err)
	}
	u.try(fmt.Sprintf("%d keys refreshed, coordinated by each", len(u.wallets)), errors.Join(errs...))
	u.sign("signed after the refresh")
}

func (u *upgrade) sign(what string) {
	for i, a := range u.c.Nodes {
		for _, b := range u.c.Nodes[i+1:] {
			for _, coordinator := range []*sim.Process{a, b} {
				var errs []error
				for _, w := range u.wallets {
					u.n++
					digest := sha256.Sum256(fmt.Append(nil, u.n))
					_, err := coordinator.Client().Sign(u.Context(), &client.SignRequest{WalletID: w.WalletID, MessageHash: digest[:],
						SessionID: fmt.Sprintf("mixed-%d", u.n), Signers: []string{a.ID, b.ID}})
					errs = append(errs, err)
				}
				u.try(fmt.Sprintf("%d keys %s by %s and %s, coordinated by %s", len(u.wallets), what, a.ID, b.ID, coordinator.ID),
					errors.Join(errs...))
			}
		}
	}
}

// Goal: a cluster is upgraded node by node while it works, and back. Method: mpcd of an earlier commit makes a cluster of three and keys of
// every kind; one node after the other is started with the mpcd of this tree, then one after the other with the earlier one again. In each
// mixture keys are made, signed with by every pair at either node, refreshed and signed with again, those of before too.
func TestMixed(t *testing.T) {
	if *from == "" {
		t.Fatal("no earlier commit is named: make mixed FROM=COMMIT")
	}
	program := earlier(t)
	u := &upgrade{T: t, c: sim.NewProcessesOf(t, program, 3, 2), runs: []string{"old", "old", "old"}}
	u.c.Start()
	u.all()
	for _, next := range []struct{ name, program string }{{"new", ""}, {"old", program}} {
		for i, node := range u.c.Nodes {
			node.Stop()
			if code := node.Exit(); code != 0 {
				t.Errorf("%s ended with %d\n%s", node.ID, code, node.Tail(5))
			}
			node.Program, u.runs[i] = next.program, next.name
			node.Start()
			u.all()
		}
	}
	t.Log("\n" + u.table.String())
	if *last != "" && !t.Failed() {
		text := fmt.Sprintf("%s\nold is %s, new: %s\n", u.table.String(), *from, benchmarks.Machine())
		if err := os.WriteFile(*last, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
