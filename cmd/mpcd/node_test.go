package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

// testNode is a node with software tokens, not made yet.
func testNode(t *testing.T, name string) host.Config {
	t.Helper()
	dir := t.TempDir()
	vs := host.Defaults()
	for _, s := range host.Settings {
		switch s.Key {
		case "cluster":
			vs.Set(s, "c", "test")
		case "node_id":
			vs.Set(s, name, "test")
		case "data_dir":
			vs.Set(s, filepath.Join(dir, "data"), "test")
		case "hsm.uri":
			vs.Set(s, "local:"+filepath.Join(dir, "hsm"), "test")
		}
	}
	c, err := host.Parse(vs)
	if err != nil {
		t.Fatal(err)
	}
	c.Dev = true
	return c
}

// Goal: enrolling again changes nothing, and the enrolment holds only as it was made.
func TestEnrolTwice(t *testing.T) {
	ctx := context.Background()
	c := testNode(t, "n1")
	first, err := enrol(ctx, c, host.Options{}, "https://n1", "vault 3", false)
	if err != nil {
		t.Fatal(err)
	}
	again, err := enrol(ctx, c, host.Options{}, "https://n1", "vault 3", false)
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

// Goal: nodes keep their parties, and parties are never given twice. Method: sign a roster, then one with a further node.
func TestRosterGrows(t *testing.T) {
	ctx := context.Background()
	a, err := newAuthority(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	var es []enrolment
	for _, name := range []string{"n1", "n2", "n3"} {
		e, err := enrol(ctx, testNode(t, name), host.Options{}, "", "", false)
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
	c := testNode(t, "n1")
	first, err := enrol(ctx, c, host.Options{}, "", "", false)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := enrol(ctx, testNode(t, "n2"), host.Options{}, "", "", false)
	if err != nil {
		t.Fatal(err)
	}
	other := c // the same token, another vault
	other.DataDir = filepath.Join(t.TempDir(), "data")
	second, err := enrol(ctx, other, host.Options{}, "", "", false)
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
	_, err = host.Open(ctx, c, host.Options{})
	if f := explain(err); err == nil || f.Code != fault.CodeIntegrity || f.What != "boot: identity" {
		t.Errorf("boot: %v", err)
	}
	d := host.Checkup{Config: c}
	all := d.Run(ctx)
	if i := slices.IndexFunc(all, func(f host.Finding) bool { return f.Check == "identity" }); i < 0 || explain(all[i].Err).Code != fault.CodeIntegrity {
		t.Errorf("doctor: %+v", all)
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
