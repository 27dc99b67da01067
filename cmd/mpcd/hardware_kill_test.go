package main

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/luxfi/mpcd/internal/sim"
)

// moments is at how many moments of a move the test kills.
const moments = 20

// hang starts a command on a node and kills it, with all that it started, after a time; it tells whether the command had ended before.
func hang(t *testing.T, p *sim.Process, after time.Duration, command string, more ...string) (ended bool) {
	t.Helper()
	args := append(strings.Fields(command), p.Args("", more...)[1:]...)
	cmd := sim.Command(t, p.Env, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := sim.StartChild(cmd); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // the moment, not the waiting for something
	defer timer.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled()) {
		t.Fatalf("%s: %v\n%s", command, err, said.String())
	}
	return err == nil
}

// Goal: Must show 3. `mpcd hsm rewrap` killed at any moment loses nothing: exactly one of the two configurations opens the vault, all
// of it, and the same command finishes the work; all wallets sign afterwards. Method: SIGKILL at moments that are spread over
// the time that a move takes, each time from the same vault with shares of two epochs, SoftHSM to a TPM that counts and with a
// recovery recipient added; the doctor opens every record under either configuration.
func TestRewrapKilled(t *testing.T) {
	t.Parallel()
	c := sim.NewProcesses(t, 3, 2)
	c.Start()
	b := &book{t: t, c: c}
	b.keygen(3)
	if _, err := c.Nodes[0].Client().Refresh(t.Context(), refreshOf(b.wallets[0])); err != nil {
		t.Fatal(err)
	}
	node := c.Nodes[0]
	for _, p := range c.Nodes {
		p.Stop()
	}
	tpm, officer := startTPM(t), newOfficer(t)
	before := []string{}
	after := []string{"MPCD_HSM_VAULT_URI=" + tpm.URI(), "MPCD_HSM_VAULT_KEY=node1/vault", "MPCD_HSM_RECOVERY=" + officer.recipient}
	args := []string{"--to", tpm.URI(), "--to-key", "node1/vault", "--recovery", officer.recipient}
	opens := func(env []string) bool {
		node.Env = env
		defer func() { node.Env = nil }()
		found := checks(t, node)
		if f := found["vault"]; !f.OK && !strings.Contains(f.Detail, "wrong KEK") {
			t.Errorf("neither open nor elsewhere: %+v", f)
		}
		return found["vault"].OK && found["identity"].OK && found["recovery"].OK
	}
	origin, tokens := sim.CopyDir(t, filepath.Join(node.Dir, "data")), sim.CopyDir(t, filepath.Join(node.Dir, "hsm"))
	began := time.Now()
	wants(t, "a move", node.Run("hsm rewrap", args...), 0)
	took := time.Since(began)
	stood := map[string]int{}
	for n := range moments {
		restore(t, origin, filepath.Join(node.Dir, "data"))
		left := moments - 1 - n
		moment := took - took*time.Duration(left*left)/(moments*moments) // denser towards the end, where the switch is
		ended := hang(t, node, moment, "hsm rewrap", args...)
		restore(t, tokens, filepath.Join(node.Dir, "hsm")) // SoftHSM cuts token.object at each login, and then writes it: OPERATIONS
		old, now := opens(before), opens(after)
		if old == now || ended && old {
			t.Fatalf("killed after %v of %v: the old configuration opens it: %v, the new one: %v", moment, took, old, now)
		}
		if old {
			stood["before"]++
		} else {
			stood["after"]++
		}
		wants(t, "the same command", node.Run("hsm rewrap", args...), 0)
		if !opens(after) {
			t.Fatalf("killed after %v of %v: the same command did not finish it", moment, took)
		}
	}
	t.Logf("a move takes %v; killed, the vault was with the old token %d times, with the new one %d", took.Round(time.Millisecond),
		stood["before"], stood["after"])
	if opens(before) {
		t.Error("after all, the old configuration opens it")
	}
	node.Env = after
	c.Start()
	c.Nodes[2].Kill()
	b.sign(node)
}
