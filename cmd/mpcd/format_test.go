package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// kept unpacks a node's directory that the program wrote when its format was new, and reads its configuration: node1 of a `mpcd dev`
// of three nodes on SoftHSM, stopped in order.
func kept(t *testing.T, archive string) host.Config {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open(filepath.Join("testdata", archive))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else if b, rerr := io.ReadAll(r); rerr != nil {
			err = rerr
		} else {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"mpcd.yaml", "hsm/softhsm2.conf"} { // they have absolute paths
		path := filepath.Join(dir, "node1", name)
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, []byte(strings.ReplaceAll(string(b), "@DIR@", dir)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	vs := host.Defaults()
	if err := vs.File(filepath.Join(dir, "node1", "mpcd.yaml")); err != nil {
		t.Fatal(err)
	}
	c, err := host.Parse(vs)
	if err != nil {
		t.Fatal(err)
	}
	c.Dev = true
	return c
}

// openKept opens token, store and vault of a kept directory until the test ends.
func openKept(t *testing.T, c host.Config) (*host.Tokens, *host.Disk) {
	t.Helper()
	token, err := host.OpenTokens(t.Context(), c, host.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { token.Close() })
	disk, err := token.OpenDisk(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	return token, disk
}

// contents are the files below a directory, with all that is in them.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			all[path] = ""
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// configured are the commands below cmd that take a node's configuration.
func configured(cmd *cobra.Command, above string) (all []string) {
	for _, c := range cmd.Commands() {
		name := strings.TrimSpace(above + " " + c.Name())
		if c.Flags().Lookup("config") != nil {
			all = append(all, name)
		}
		all = append(all, configured(c, name)...)
	}
	return all
}

// signedChallenge is a file with a challenge to the node, of an operator whose root it returns.
func signedChallenge(t *testing.T, c host.Config) (file, root string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ch := enrol.Challenge{Version: 1, Cluster: c.Cluster, Node: string(c.Node), Root: attest.Hex(pub), Tokens: make([]enrol.TokenChallenge, 1)}
	var b []byte
	for range 2 { // what is signed is what will be read
		d := canon.Hash("mpcd/v1/enrolment/challenge", []byte(ch.Cluster), []byte(ch.Node), ch.Enrolment[:], canon.MustMarshal(ch.Tokens))
		ch.Signature = ed25519.Sign(key, d[:])
		if b, err = json.Marshal(ch); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &ch); err != nil {
			t.Fatal(err)
		}
	}
	file = filepath.Join(t.TempDir(), "challenge.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, ch.Root.String()
}

// Goal: a data directory from before formats were marked is refused by every command that takes a node's configuration and needs it, with
// the exit code of its kind; who runs one learns that the directory is of another format, that it is not damaged, and what to do; and
// not a byte in it changes, nor in its token. Method: every command with the flag --config, from the program's own tree, on a node that was
// written then, with two wallets; the whole directory before and after.
func TestFormat1IsRefused(t *testing.T) {
	c := kept(t, "format1.tgz")
	dir := filepath.Dir(c.DataDir)
	officer := newOfficer(t)
	challenge, operator := signedChallenge(t, c)
	of := func(more ...string) []string { return more }
	given := map[string][]string{
		"start": of("--listen", "127.0.0.1:0"), "doctor": nil, "audit verify": nil, "audit export": nil,
		"audit prove": of("--entry", "1"), "node enroll": nil,
		"authority settle": of(operator), "hsm list": nil, "hsm test": nil, "hsm init": nil,
		"node answer": of(challenge), "hsm seal-password": nil, "hsm rewrap": of("--to-key", "vault2"), "hsm reanchor": nil,
		"hsm recover": of("--identity", officer.file, "--to", "local:"+t.TempDir()),
		"config show": nil, // opens nothing, and is not refused
	}
	before := contents(t, dir)
	for _, command := range configured(root(newOutput()), "") {
		args, known := given[command]
		if !known {
			t.Errorf("how is %q called?", command)
			continue
		}
		args = append(append(strings.Fields(command), "--config", filepath.Join(dir, "mpcd.yaml"), "--dev"), args...)
		cmd := exec.Command("mpcd", args...) // which is this test, under another name
		cmd.Env = append(os.Environ(), "MPCD_ROSTER_ROOT="+operator)
		cmd.Stdin = strings.NewReader("a password of a machine, long enough")
		b, err := cmd.CombinedOutput()
		said := string(b)
		if command == "config show" {
			if err != nil {
				t.Errorf("%s: %v", command, err)
			}
		} else if want := "of format 1, this program reads format 2"; cmd.ProcessState.ExitCode() != int(fault.CodeIntegrity) ||
			!strings.Contains(said, want) ||
			!strings.Contains(said, "release that") || strings.Contains(said, "damaged") || strings.Contains(said, "backup") {
			t.Errorf("%s: %v\n%s", command, err, said)
		}
		if now := contents(t, dir); !maps.Equal(now, before) {
			t.Fatalf("%s changed the directory:\n%s", command, said)
		}
	}
}

// Goal: a data directory of format 2 opens for as long as the program says that it reads format 2, with all that is in it: mark, identity,
// wallets, shares, pair state, certificates, proofs, receipt, answers, the roster's serial, audit log. Method: one that was written when
// the format was new, with an Ed25519 and a Taproot wallet, and an ECDSA wallet that signed once for a path and was refreshed. The doctor
// finds nothing at fault in it, each kind of record is there, and each wallet, share and receipt is what it says. (No key waits in it for
// the others: what is stored of one that does has a test in appliance/keys.)
func TestFormat2Opens(t *testing.T) {
	c := kept(t, "format2.tgz")
	ctx := t.Context()
	healthy := map[string]bool{"roster": true, "keys and roster": true, "vault": true, "records": true, "identity": true, "audit log": true}
	for _, f := range (&host.Checkup{Config: c, Options: host.Options{Log: slog.New(slog.DiscardHandler)}}).Run(ctx) {
		if healthy[f.Check] && f.Err != nil {
			t.Errorf("%s: %v", f.Check, f.Err)
		}
		delete(healthy, f.Check)
	}
	if len(healthy) != 0 {
		t.Errorf("the doctor says nothing of %v", healthy)
	}
	token, disk := openKept(t, c)
	n, err := appliance.CheckRecords(ctx, disk.Store)
	if err != nil || n["wallet"] != 3 || n["public"] != 3 || n["certificate"] != 4 || n["proofs"] != 3 || n["receipt"] < 1 ||
		n["session"] < 5 {
		t.Errorf("records: %v, %v", n, err)
	}
	roster, err := attest.LoadRoster(c.Roster)
	if err != nil {
		t.Fatal(err)
	}
	node, err := appliance.New(ctx, appliance.Config{
		Cluster: c.Cluster, Node: c.Node, Roster: roster, HSM: token.Token, CosignKey: c.HSM.CosignKey, AttestKey: c.HSM.AttestKey,
		Vault: disk.Vault, Store: disk.Store, Schemes: schemes.ByID, SchemeFor: schemes.For, Rand: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	wallets, _, err := node.Wallets(ctx, appliance.Page{})
	if err != nil || len(wallets) != 3 {
		t.Errorf("%d wallets, %v", len(wallets), err)
	}
	for _, w := range wallets {
		if w.State != keys.Active || w.Threshold != 2 || len(w.Parties) != 3 || w.Kind.Shown(w.PublicKey) == nil {
			t.Errorf("wallet %+v", w)
		}
	}
	if x, err := host.VerifyAuditLog(c.AuditPath()); err != nil || x.Size < 20 {
		t.Errorf("audit log: %+v, %v", x, err)
	}
	ids, err := disk.Vault.IDs(ctx)
	if err != nil || len(ids) != 3 {
		t.Fatalf("shares: %v, %v", ids, err)
	}
	kinds := map[threshold.KindID]uint64{}
	for _, id := range ids {
		b, meta, err := disk.Vault.Load(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		share, err := sim.ParseShare(threshold.KindID(meta.KeyKind), b.Bytes())
		b.Wipe()
		if err != nil {
			t.Fatal(err)
		}
		if attest.KeyID(share.Kind, share.GroupKey) != id {
			t.Errorf("the share of %s is of another key", id)
		}
		if kinds[share.Kind] = share.Epoch; share.Kind == threshold.ECDSA.ID {
			if pairs, err := sim.OpenPairs(disk.Vault, share.KeyInfo); err != nil || len(pairs) != 2 {
				t.Errorf("pair state: %d peers, %v", len(pairs), err)
			}
		}
		share.Destroy()
	}
	if kinds[threshold.Ed25519.ID] != 1 || kinds[threshold.BIP340.ID] != 1 || kinds[threshold.ECDSA.ID] != 2 {
		t.Errorf("epochs %v", kinds)
	}
	receipts := 0
	err = disk.Store.Iterate(ctx, []byte("node/receipt/"), func(key, value []byte) error {
		var r attest.Receipt
		if err := canon.UnmarshalVersion(value, attest.ReceiptVersion, &r); err != nil {
			return err
		}
		receipts++
		return attest.VerifyReceipt(&r, roster, schemes.ByID, attest.ReceiptOptions{})
	})
	if err != nil || receipts < 1 {
		t.Errorf("%d receipts, %v", receipts, err)
	}
}
