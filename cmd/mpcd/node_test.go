package main

import (
	"context"
	"errors"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/vault"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// Goal: the self-test passes here, and fails for arithmetic that accepts or refuses wrongly. Method: known answers with a bit
// changed in key, message and signature.
func TestSelfTest(t *testing.T) {
	if err := selfTest(); err != nil {
		t.Fatal(err)
	}
	flip := func(s string) string {
		b := unhex(s)
		b[0] ^= 1
		return hexOf(b)[2:]
	}
	for _, k := range knownAnswers {
		for _, bad := range []knownAnswer{
			{k.scheme, k.source, flip(k.key), k.message, k.sig}, {k.scheme, k.source, k.key, flip(k.message), k.sig}, {k.scheme, k.source, k.key, k.message, flip(k.sig)},
		} {
			if bad.run() == nil {
				t.Errorf("%s: a changed known answer passes", k.source)
			}
		}
	}
	all := knownAnswers
	defer func() { knownAnswers = all }()
	knownAnswers = all[:1]
	if selfTest() == nil {
		t.Error("a scheme without a known answer passes")
	}
}

func testNode(t *testing.T, name string) *config {
	t.Helper()
	dir := t.TempDir()
	vs := defaults()
	for k, v := range map[string]string{"cluster": "c", "node_id": name, "data_dir": filepath.Join(dir, "data"), "hsm.uri": "local:" + filepath.Join(dir, "hsm")} {
		s, _ := findSetting(k)
		vs.set(s, v, "test")
	}
	c, err := parseConfig(vs)
	if err != nil {
		t.Fatal(err)
	}
	c.Dev = true
	return c
}

// Goal: the store's key opens with its token for its node only. Method: seal it, then open it as another node, with a changed
// file, and with another token.
func TestStoreKeyIsBound(t *testing.T) {
	ctx := context.Background()
	c := testNode(t, "n1")
	if _, err := c.enrol(ctx, "", "", newLogger(os.Stderr, "error", "text")); err != nil {
		t.Fatal(err)
	}
	open := func(c *config) error {
		tok, err := c.openTokens(ctx, nil)
		if err != nil {
			return err
		}
		defer tok.Close()
		k, err := c.storeKey(ctx, tok)
		k.Wipe()
		return err
	}
	if err := open(c); err != nil {
		t.Fatal(err)
	}
	other := *c
	other.Node = "n2"
	if err := open(&other); !errors.Is(err, vault.ErrWrongKEK) || explain(err).Code != fault.CodeHSM {
		t.Errorf("another node: %v", err)
	}
	elsewhere := testNode(t, "n1")
	if _, err := elsewhere.enrol(ctx, "", "", newLogger(os.Stderr, "error", "text")); err != nil {
		t.Fatal(err)
	}
	other = *c
	other.HSM = elsewhere.HSM
	if err := open(&other); !errors.Is(err, vault.ErrWrongKEK) {
		t.Errorf("another token: %v", err)
	}
	b, err := os.ReadFile(c.storeKeyPath())
	if err != nil {
		t.Fatal(err)
	}
	b[40] ^= 1 // in what the token wrapped
	if err := os.WriteFile(c.storeKeyPath(), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(c); !errors.Is(err, vault.ErrWrongKEK) {
		t.Errorf("changed file: %v", err)
	}
}

// Goal: enrolling again changes nothing, and the enrolment holds only as it was made.
func TestEnrolTwice(t *testing.T) {
	ctx := context.Background()
	c := testNode(t, "n1")
	log := newLogger(os.Stderr, "error", "text")
	first, err := c.enrol(ctx, "https://n1", "vault 3", log)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.enrol(ctx, "https://n1", "vault 3", log)
	if err != nil {
		t.Fatal(err)
	}
	if string(first.digest()) != string(again.digest()) {
		t.Error("enrolled again, the node has other keys")
	}
	for name, change := range map[string]func(*enrolment){
		"node": func(e *enrolment) { e.Node = "n2" }, "cluster": func(e *enrolment) { e.Cluster = "d" }, "endpoint": func(e *enrolment) { e.Endpoint = "https://evil" },
		"cosign key": func(e *enrolment) { e.CosignKey = e.AttestKey }, "version": func(e *enrolment) { e.Version = 2 }, "identity": func(e *enrolment) { e.Identity = e.Seal },
	} {
		e := first
		change(&e)
		if e.check() == nil {
			t.Errorf("changed %s passes", name)
		}
	}
}

// Goal: a node never goes back to an older roster.
func TestRosterSerial(t *testing.T) {
	ctx := context.Background()
	s := vaulttest.NewMemory()
	at := func(serial uint64) error {
		return keepSerial(ctx, s, &attest.SignedRoster{Roster: attest.Roster{Serial: serial}})
	}
	for _, serial := range []uint64{1, 1, 3} {
		if err := at(serial); err != nil {
			t.Fatal(serial, err)
		}
	}
	if err := at(2); err == nil || explain(err).Code != fault.CodeIntegrity {
		t.Errorf("an older roster: %v", err)
	}
}

// Goal: nodes keep their parties, and parties are never given twice. Method: sign a roster, then one with a further node.
func TestRosterGrows(t *testing.T) {
	ctx := context.Background()
	a, err := newAuthority(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	var es []enrolment
	for _, name := range []string{"n1", "n2", "n3"} {
		e, err := testNode(t, name).enrol(ctx, "", "", newLogger(os.Stderr, "error", "text"))
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, e)
	}
	first, err := a.sign(nil, es[:2])
	if err != nil {
		t.Fatal(err)
	}
	if a, err = openAuthority(a.dir); err != nil {
		t.Fatal(err)
	}
	second, err := a.sign(first, es[2:])
	if err != nil {
		t.Fatal(err)
	}
	if second.Roster.Serial != 2 || len(second.Roster.Nodes) != 3 || second.Roster.Nodes[2].ID != "n3" || second.Roster.Nodes[2].Party != 3 || second.Roster.Nodes[0].Party != 1 {
		t.Errorf("%+v", second.Roster)
	}
	if _, err := a.sign(first, es[:1]); err == nil {
		t.Error("a node enrolled twice")
	}
	foreign := es[2]
	foreign.Cluster = "other"
	if _, err := a.sign(first, []enrolment{foreign}); err == nil {
		t.Error("a node of another cluster")
	}
	stranger, err := newAuthority(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.sign(first, es[2:]); err == nil {
		t.Error("a roster of another operator is continued")
	}
	if err := os.Chmod(filepath.Join(a.dir, rootFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openAuthority(a.dir); err == nil || !strings.Contains(err.Error(), "read by others") {
		t.Errorf("a root key that others may read: %v", err)
	}
}

// Goal: a vault whose identity is not the enrolled one does not start, and doctor says so. Method: a roster signed over another
// enrolment of the same token.
func TestIdentityMustBeEnrolled(t *testing.T) {
	ctx := context.Background()
	c, log := testNode(t, "n1"), newLogger(io.Discard, "error", "text")
	first, err := c.enrol(ctx, "", "", log)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := testNode(t, "n2").enrol(ctx, "", "", log)
	if err != nil {
		t.Fatal(err)
	}
	other := *c // the same token, another vault
	other.DataDir = filepath.Join(t.TempDir(), "data")
	second, err := other.enrol(ctx, "", "", log)
	if err != nil {
		t.Fatal(err)
	}
	if string(first.CosignKey) != string(second.CosignKey) || string(first.Identity) == string(second.Identity) {
		t.Fatal("the test needs one token and two identities")
	}
	a, err := newAuthority(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.sign(nil, []enrolment{second, peer}); err != nil {
		t.Fatal(err)
	}
	c.Roster, c.RosterRoot = filepath.Join(a.dir, rosterFile), a.rootHex()
	b := &booted{}
	err = c.boot(ctx, b, log)
	if cerr := b.Close(); cerr != nil {
		t.Error(cerr)
	}
	if f := explain(err); err == nil || f.Code != fault.CodeIntegrity || f.What != "boot: identity" {
		t.Errorf("boot: %v", err)
	}
	d := &checkup{c: c}
	roster, err := c.loadRoster()
	if err != nil {
		t.Fatal(err)
	}
	d.atRest(ctx, roster)
	if last := d.findings[len(d.findings)-1]; last.OK || last.Check != "identity" {
		t.Errorf("doctor: %+v", d.findings)
	}
}

// Goal: systemd hears that the node is ready. Method: a socket in its place.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	notify("READY=1")
	b := make([]byte, 64)
	n, err := l.Read(b)
	if err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("%q, %v", b[:n], err)
	}
	t.Setenv("NOTIFY_SOCKET", path+"-gone")
	notify("READY=1") // nobody there: no panic, no error
}

// Goal: reading an enrolment a stranger sent never panics, and only a signed one is taken.
func FuzzEnrolment(f *testing.F) {
	f.Add([]byte(`{"version":1,"node":"n1","identity":"0x00","signature":"0x00"}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := parseEnrolment(b); err == nil && e.check() != nil {
			t.Error("taken without a check")
		}
	})
}
