package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

// Goal: a member whose token was replaced keeps its party, and only the identity that is enrolled can say so. Method: enrolments of one
// node with other keys, and of another node under its name.
func TestRosterRekeys(t *testing.T) {
	ctx := t.Context()
	a, err := newAuthority(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	c := testNode(t, "n2")
	var es []enrolment
	for _, n := range []host.Config{testNode(t, "n1"), c} {
		e, err := enrol(ctx, n, host.Options{}, "", "", false)
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, e)
	}
	first, err := a.sign(nil, es)
	if err != nil {
		t.Fatal(err)
	}
	c.HSM.AttestKey = "attest-2"
	again, err := enrol(ctx, c, host.Options{}, "", "", false)
	if err != nil {
		t.Fatal(err)
	}
	second, err := a.sign(first, []enrolment{again})
	if err != nil {
		t.Fatal(err)
	}
	was, now := first.Roster.Nodes[1], second.Roster.Nodes[1]
	if len(second.Roster.Nodes) != 2 || now.Party != 2 || !bytes.Equal(now.AttestKey, again.AttestKey) || bytes.Equal(was.AttestKey, now.AttestKey) || second.Roster.Serial != 2 {
		t.Errorf("%+v, then %+v", was, now)
	}
	if _, err := a.sign(second, []enrolment{again}); err == nil {
		t.Error("nothing new is signed")
	}
	stranger, err := enrol(ctx, testNode(t, "n2"), host.Options{}, "", "", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.sign(second, []enrolment{stranger}); err == nil || explain(err).Code != fault.CodeUsage {
		t.Errorf("another identity takes the party of n2: %v", err)
	}
}
