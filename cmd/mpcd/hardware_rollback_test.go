package main

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/sim"
)

// Goal: Must show 5. A node whose data directory is an older copy refuses to start and says how to repair it, whether a key was made
// since or it was only started; a declared copy starts, and its keys are renewed. A TPM that was cleared is told apart. Method: a node
// on SoftHSM that counts in a TPM, and one that is wholly on a TPM; copies of their directories put back.
func TestRollback(t *testing.T) {
	t.Parallel()
	c := sim.NewProcesses(t, 3, 2)
	counter, whole := startTPM(t), startTPM(t)
	counting, wholly := c.Nodes[0], c.Nodes[1]
	counting.Set("hsm.counter", strconv.Quote(counter.URI()))
	wholly.Set("hsm.uri", strconv.Quote(whole.URI()))
	c.Enrol(counting, wholly)
	both := []*sim.Process{counting, wholly}
	stop := func() {
		for _, p := range both {
			p.Stop()
		}
	}
	start := func() {
		for _, p := range both {
			p.Start()
		}
		c.WaitReady()
	}
	data := func(p *sim.Process) string { return filepath.Join(p.Dir, "data") }
	c.Start()
	b := &book{t: t, c: c}
	b.keygen(1)
	stop()
	yesterday := map[*sim.Process]string{}
	for _, p := range both {
		healthy(t, p, map[string]string{"vault": "", "rollback": "anchored in counter vault-commits"})
		yesterday[p] = sim.CopyDir(t, data(p))
	}
	start()
	b.sign(counting)
	stop()
	today := map[*sim.Process]string{}
	for _, p := range both {
		today[p] = sim.CopyDir(t, data(p))
		restore(t, yesterday[p], data(p))
		starting(t, p, "with a copy of before the last start", fault.CodeIntegrity, "rolled back", "older copy, put back", "mpcd hsm reanchor")
		restore(t, today[p], data(p))
	}
	start()
	kept := b.wallets
	b.keygen(1)
	stop()
	for _, p := range both {
		restore(t, today[p], data(p))
		starting(t, p, "with a copy of before a key", fault.CodeIntegrity, "older copy, put back", "mpcd hsm reanchor")
		found := checks(t, p)
		if f := found["vault"]; f.OK || !strings.Contains(f.Detail, "older copy, put back") || !strings.Contains(f.Do, "mpcd hsm reanchor") {
			t.Errorf("doctor of %s: %+v", p.ID, f)
		}
		if r := p.Run("hsm rewrap", "--to-key", "elsewhere"); fault.Code(r.Code) != fault.CodeIntegrity {
			t.Errorf("an older copy was moved: %+v", r)
		}
		wants(t, "reanchor", p.Run("hsm reanchor"), 0, "vault-commits")
	}
	start()
	r := sim.Run(t, []string{"MPCD_API=https://" + counting.API, "MPCD_TOKEN=" + c.Token,
		"MPCD_CA=" + filepath.Join(counting.Dir, "tls", "ca.crt"), "MPCD_INITIATOR=initiator@" + sim.ClusterName,
		"MPCD_INITIATOR_KEY=" + c.InitiatorKey()}, "refresh", "--wallet", kept[0].WalletID)
	wants(t, "refresh", r, 0)
	b.wallets = kept
	c.Nodes[2].Kill()
	b.sign(counting)
	stop()

	for _, tpm := range []interface{ Clear() error }{counter, whole} {
		if err := tpm.Clear(); err != nil {
			t.Fatal(err)
		}
	}
	starting(t, counting, "with a cleared counter", fault.CodeIntegrity, "it was cleared, or is another", "mpcd hsm reanchor")
	starting(t, wholly, "with a cleared TPM", fault.CodeHSM, "key not found")
	wants(t, "reanchor after the TPM was cleared", counting.Run("hsm reanchor"), 0)
	c.Nodes[2].Start()
	counting.Start()
	c.WaitReady()
	b.sign(counting)
}
