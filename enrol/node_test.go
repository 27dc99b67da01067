package enrol

import (
	"cmp"
	"context"
	"errors"
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
	for k, v := range map[string]string{"cluster": "c", "node_id": name, "data_dir": filepath.Join(dir, "data"),
		"hsm.uri": "local:" + filepath.Join(dir, "hsm")} {
		vs.Set(k, v, "test")
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
	first, err := Node(ctx, c, host.Options{}, Place{"https://n1", "vault 3"}, false)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Node(ctx, c, host.Options{}, Place{"https://n1", "vault 3"}, false)
	if err != nil {
		t.Fatal(err)
	}
	if string(first.digest()) != string(again.digest()) {
		t.Error("enrolled again, the node has other keys")
	}
	for name, change := range map[string]func(*Enrolment){
		"node": func(e *Enrolment) { e.Node = "n2" }, "cluster": func(e *Enrolment) { e.Cluster = "d" },
		"endpoint":   func(e *Enrolment) { e.Endpoint = "https://evil" },
		"cosign key": func(e *Enrolment) { e.CosignKey = e.AttestKey }, "version": func(e *Enrolment) { e.Version = 2 },
		"identity": func(e *Enrolment) { e.Identity = e.Seal },
	} {
		e := first
		change(&e)
		if e.check() == nil {
			t.Errorf("changed %s passes", name)
		}
	}
}

// Goal: a vault whose identity is not the enrolled one does not start, and doctor says so. Method: a roster signed over another
// enrolment of the same token.
func TestIdentityMustBeEnrolled(t *testing.T) {
	ctx := context.Background()
	c := testNode(t, "n1")
	first, err := Node(ctx, c, host.Options{}, Place{}, false)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := Node(ctx, testNode(t, "n2"), host.Options{}, Place{}, false)
	if err != nil {
		t.Fatal(err)
	}
	other := c // the same token, another vault
	other.DataDir = filepath.Join(t.TempDir(), "data")
	second, err := Node(ctx, other, host.Options{}, Place{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if string(first.CosignKey) != string(second.CosignKey) || string(first.Identity) == string(second.Identity) {
		t.Fatal("the test needs one token and two identities")
	}
	a, err := NewOperator(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sign(nil, []Enrolment{second, peer}); err != nil {
		t.Fatal(err)
	}
	c.Roster, c.RosterRoot = filepath.Join(a.dir, RosterFile), a.RootHex()
	_, err = host.Open(ctx, c, host.Options{})
	var f *fault.Error
	if !errors.As(err, &f) || codeOf(err) != fault.CodeIntegrity || f.What != "boot: identity" {
		t.Errorf("boot: %v", err)
	}
	d := host.Checkup{Config: c}
	all := d.Run(ctx)
	if i := slices.IndexFunc(all, func(f host.Finding) bool { return f.Check == "identity" }); i < 0 ||
		codeOf(all[i].Err) != fault.CodeIntegrity {
		t.Errorf("doctor: %+v", all)
	}
}

// Goal: of a node that was made anew under its old name every command says the same next step, which works: to remove it and to enrol under
// another name; and of one whose token alone was replaced, to enrol it again. Method: the boot, the doctor and the signing of both.
func TestMadeAnew(t *testing.T) {
	a, err := NewOperator(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	enrolment := func(c host.Config) Enrolment {
		e, err := Node(t.Context(), c, host.Options{}, Place{}, false)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	was, anew := testNode(t, "n1"), testNode(t, "n1")
	rekeyed := was
	rekeyed.HSM.AttestKey = "attest-2"
	before, err := a.Sign(nil, []Enrolment{enrolment(was), enrolment(testNode(t, "n2"))})
	if err != nil {
		t.Fatal(err)
	}
	does := func(err error) (do string) {
		for f := (*fault.Error)(nil); errors.As(err, &f); err = f.Err {
			do = cmp.Or(f.Do, do)
		}
		return do
	}
	for name, row := range map[string]struct {
		c  host.Config
		do string
	}{
		"made anew": {anew, "`mpcd node roster remove n1`"},
		"rekeyed":   {rekeyed, "`mpcd node enroll` here and `mpcd node roster sign`"},
	} {
		e := enrolment(row.c)
		row.c.Roster, row.c.RosterRoot = filepath.Join(a.dir, RosterFile), a.RootHex()
		for _, f := range (&host.Checkup{Config: row.c}).Run(t.Context()) {
			if (f.Check == "identity" || f.Check == "keys and roster") && f.Err != nil && !strings.Contains(does(f.Err), row.do) {
				t.Errorf("%s: the doctor on %s: %s", name, f.Check, does(f.Err))
			}
		}
		if _, err := host.Open(t.Context(), row.c, host.Options{}); name == "made anew" && !strings.Contains(does(err), row.do) {
			t.Errorf("%s: the boot: %v: %s", name, err, does(err))
		}
		if _, err := a.Sign(before, []Enrolment{e}); (err == nil) != (name == "rekeyed") || err != nil && !strings.Contains(does(err), row.do) {
			t.Errorf("%s: signing: %v: %s", name, err, does(err))
		}
	}
}

// Goal: reading an enrolment a stranger sent never panics, and only a signed one is taken.
func FuzzEnrolment(f *testing.F) {
	f.Add([]byte(`{"version":1,"node":"n1","identity":"0x00","signature":"0x00"}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := ParseEnrolment(b); err == nil && e.check() != nil {
			t.Error("taken without a check")
		}
	})
}

// codeOf is the kind of the innermost fault that has one.
func codeOf(err error) fault.Code {
	code := fault.CodeFailed
	for f := (*fault.Error)(nil); errors.As(err, &f); err = f.Err {
		if f.Code != 0 {
			code = f.Code
		}
	}
	return code
}
