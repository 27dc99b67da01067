package appliance_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/parts/moto"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// signs has node1 and node2 sign a text, led by the member.
func (m *member) signs(w *appliance.Wallet, text string) *appliance.Signature {
	m.c.t.Helper()
	req := appliance.SignRequest{WalletID: w.ID, Message: []byte(text), Signers: []transport.NodeID{"node1", "node2"}}
	sig, err := m.node.Sign(m.c.t.Context(), req)
	if err != nil {
		m.c.t.Fatal(err)
	}
	return sig
}

// onRecord are the receipts that each node hands out of a signature, and what the first shows of the log.
func (c *cluster) onRecord(id string) (all []*attest.Receipt, x appliance.Logged) {
	c.t.Helper()
	for _, m := range c.nodes {
		r, err := m.node.Receipt(c.t.Context(), id)
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, r)
	}
	if all[0].Logged != nil {
		var err error
		if x, err = appliance.CheckLogged(all[0], c.roster); err != nil {
			c.t.Fatal(err)
		}
	}
	return all, x
}

// loggedOf is a proof in the form of receipts.
func loggedOf(p *audit.Proof) attest.Logged {
	l := attest.Logged{Seq: p.Seq, Entry: p.Entry, Checkpoint: p.Checkpoint}
	for _, h := range p.Inclusion {
		l.Inclusion = append(l.Inclusion, attest.Hash(h))
	}
	return l
}

// stranger has attest/testdata/verify.py judge receipts, with the Python that scripts/setup.sh makes.
func (c *cluster) stranger(receipts map[string]*attest.Receipt) map[string]bool {
	t := c.t
	t.Helper()
	root, err := moto.Root()
	dir := t.TempDir()
	args := []string{filepath.Join(root, "attest/testdata/verify.py"), filepath.Join(dir, "roster.json"), c.roster.Fingerprint()}
	err = errors.Join(err, os.WriteFile(args[1], c.roster.JSON(), 0o600))
	for what, r := range receipts {
		args = append(args, filepath.Join(dir, what))
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, what), r.JSON(), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(root, "bin/moto/bin/python"), args...).Output()
	all := map[string]bool{}
	for what := range receipts {
		valid, refused := "valid "+filepath.Join(dir, what)+"\n", "refused "+filepath.Join(dir, what)+" "
		if all[what] = strings.Contains(string(out), valid); all[what] == strings.Contains(string(out), refused) {
			t.Fatalf("%s: %v\n%s", what, err, out)
		}
	}
	return all
}

// inLine is a checkpoint with a letter changed, of the first line of a witness that is at most so long.
func inLine(checkpoint string, most, at int) string {
	lines := strings.SplitAfter(checkpoint, "\n")
	i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "/witness ") && len(l) <= most && len(l) > at+20 })
	b := []byte(lines[i])
	b[at] = map[bool]byte{true: 'B', false: 'A'}[b[at] == 'A']
	lines[i] = string(b)
	return strings.Join(lines, "")
}

// Goal: a receipt shows that the node which settled has it on record, and who of the others has witnessed that, whichever node hands it
// out; and it says so of that receipt, node and log alone. Method: a receipt before there is a checkpoint, under one, and with both
// witnesses, of the signers, and of a node that was none; every part of the proof changed; the proof of other entries, and of another
// node's log; then a checkpoint that the node's key has not signed, which no node hands out.
func TestReceiptIsOnRecord(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("ed25519", "", 2, 3)
	one, two := c.nodes[0], c.nodes[1]
	sig := one.signs(w, "first")
	if all, _ := c.onRecord(sig.ReceiptID); all[0].Logged != nil || all[1].Logged != nil || all[2].Logged != nil {
		t.Fatal("on record under no checkpoint")
	}
	other := one.signs(w, "second")
	one.checkpoint(one.node.AuditLog())
	var all []*attest.Receipt
	var x appliance.Logged
	sim.Wait(t, "both others have witnessed it", func() bool {
		all, x = c.onRecord(sig.ReceiptID)
		return len(x.Witnesses) == 2
	})
	if x.Entry.Facts["receipt"] != sig.ReceiptID || x.Entry.Node != "node1" || x.Witnesses[0].Node != "node2" || !x.Witnesses[1].MLDSA {
		t.Errorf("%+v", x)
	}
	if !reflect.DeepEqual(all[0], all[1]) || !reflect.DeepEqual(all[0], all[2]) {
		t.Error("the nodes hand out different receipts")
	}
	r, err := attest.ParseReceipt(all[1].JSON())
	if err == nil {
		err = attest.VerifyReceipt(r, c.roster, schemes.ByID, attest.ReceiptOptions{})
	}
	if err != nil || !reflect.DeepEqual(r.Logged, all[0].Logged) {
		t.Errorf("as JSON: %v", err)
	}

	others, _ := c.onRecord(other.ReceiptID)
	two.signs(w, "third")
	two.checkpoint(two.node.AuditLog())
	foreign, err := two.node.AuditLog().Prove(two.node.AuditLog().Len())
	if err != nil {
		t.Fatal(err)
	}
	event := audit.Event{Name: "sign.begin", Facts: map[string]string{"receipt": sig.ReceiptID}}
	if err := one.node.AuditLog().Append(t.Context(), event); err != nil {
		t.Fatal(err)
	}
	one.checkpoint(one.node.AuditLog())
	begin, err := one.node.AuditLog().Prove(one.node.AuditLog().Len())
	if err != nil {
		t.Fatal(err)
	}
	receipts := map[string]*attest.Receipt{"good": r}
	for what, spoil := range map[string]func(*attest.Logged){
		"number":            func(l *attest.Logged) { l.Seq++ },
		"entry":             func(l *attest.Logged) { l.Entry[len(l.Entry)-1] ^= 1 },
		"path":              func(l *attest.Logged) { l.Inclusion[0][0] ^= 1 },
		"no path":           func(l *attest.Logged) { l.Inclusion = nil },
		"checkpoint":        func(l *attest.Logged) { l.Checkpoint = "mpcd" + l.Checkpoint },
		"another's receipt": func(l *attest.Logged) { *l = *others[0].Logged },
		"another's log":     func(l *attest.Logged) { *l = loggedOf(foreign) },
		"another event":     func(l *attest.Logged) { *l = loggedOf(begin) },
		"cosignature":       func(l *attest.Logged) { l.Checkpoint = inLine(l.Checkpoint, 200, 90) },
		"by ML-DSA-44":      func(l *attest.Logged) { l.Checkpoint = inLine(l.Checkpoint, 4000, 2000) },
	} {
		bad := *r
		bad.Logged = &attest.Logged{Seq: r.Logged.Seq, Entry: slices.Clone(r.Logged.Entry), Inclusion: slices.Clone(r.Logged.Inclusion),
			Checkpoint: r.Logged.Checkpoint}
		spoil(bad.Logged)
		if _, err := appliance.CheckLogged(&bad, c.roster); !errors.Is(err, durable.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
		receipts[what] = &bad
	}
	for what, valid := range c.stranger(receipts) {
		if valid != (what == "good") {
			t.Errorf("to a stranger's verifier %q is valid: %v", what, valid)
		}
	}

	forged, err := audit.SignHead(one.node.AuditLog().Head(), one.logKey(), func(text []byte) ([]byte, error) {
		return two.token.(hsm.Signer).Sign(t.Context(), "attest", text)
	})
	if err == nil {
		err = one.node.AuditLog().KeepCheckpoint(forged)
	}
	if err != nil {
		t.Fatal(err)
	}
	if all, _ := c.onRecord(sig.ReceiptID); all[0].Logged != nil || all[1].Logged != nil {
		t.Error("a proof that does not hold is handed out")
	}
}

// Goal: a receipt with all that it can show stays below 16 KiB: the cosignatures of all witnesses, and those by ML-DSA-44 of two. Method: 3
// of 5 nodes sign a payment that two people have approved; its receipt under a checkpoint with four witnesses, as a node hands it out. How
// long it takes to verify is measured, not judged.
func TestReceiptIsSmall(t *testing.T) {
	c := newClusterLimits(t, 5, appliance.Limits{Presignatures: -1})
	w := c.keygenBy("secp256k1", "dkls23", 3, 5).ID
	people := c.approvingBy(split)
	in, req := c.draft(w, "whole", 5)
	people.approve(t, in, c.nodes[0].node.KeyInfo(t.Context(), w), "ann", "ben")
	req.Approvals = in.Approvals
	sig, err := c.nodes[0].node.Sign(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	c.nodes[0].checkpoint(c.nodes[0].node.AuditLog())
	var all []*attest.Receipt
	var x appliance.Logged
	sim.Wait(t, "four others have witnessed it", func() bool {
		all, x = c.onRecord(sig.ReceiptID)
		return len(x.Witnesses) == 4
	})
	b := all[1].JSON() // with blanks
	began := time.Now()
	r, err := attest.ParseReceipt(b)
	if err == nil {
		err = attest.VerifyReceipt(r, c.roster, schemes.ByID, attest.ReceiptOptions{Authority: c.asker.Chain})
	}
	if err == nil {
		_, err = appliance.CheckLogged(r, c.roster)
	}
	t.Logf("%d bytes, verified in %v", len(b), time.Since(began))
	strong := 0
	for _, w := range x.Witnesses {
		if w.MLDSA {
			strong++
		}
	}
	if strong != 2 {
		t.Errorf("%d have cosigned it by ML-DSA-44: %+v", strong, x.Witnesses)
	}
	if err != nil || len(b) >= 16<<10 || len(r.Intent.Approvals) != 2 {
		t.Errorf("%d bytes with %d approvals: %v", len(b), len(r.Intent.Approvals), err)
	}
}
