package enrol

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

// Goal: nodes keep their parties, and parties are never given twice. Method: sign a roster, then one with a further node.
func TestRosterGrows(t *testing.T) {
	ctx := context.Background()
	a, err := NewAuthority(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	var es []Enrolment
	for _, name := range []string{"n1", "n2", "n3"} {
		e, err := Node(ctx, testNode(t, name), host.Options{}, Place{}, false)
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, e)
	}
	first, err := a.Sign(nil, es[:2])
	if err != nil {
		t.Fatal(err)
	}
	if a, err = OpenAuthority(a.dir); err != nil {
		t.Fatal(err)
	}
	second, err := a.Sign(first, es[2:])
	if err != nil {
		t.Fatal(err)
	}
	if second.Roster.Serial != 2 || len(second.Roster.Nodes) != 3 || second.Roster.Nodes[2].ID != "n3" ||
		second.Roster.Nodes[2].Party != 3 || second.Roster.Nodes[0].Party != 1 {
		t.Errorf("%+v", second.Roster)
	}
	if _, err := a.Sign(first, es[:1]); err == nil {
		t.Error("a node enrolled twice")
	}
	foreign := es[2]
	foreign.Cluster = "other"
	if _, err := a.Sign(first, []Enrolment{foreign}); err == nil {
		t.Error("a node of another cluster")
	}
	stranger, err := NewAuthority(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Sign(first, es[2:]); err == nil {
		t.Error("a roster of another operator is continued")
	}
	if err := os.Chmod(filepath.Join(a.dir, rootFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(a.dir); err == nil || !strings.Contains(err.Error(), "read by others") {
		t.Errorf("a root key that others may read: %v", err)
	}
}

// Goal: a member whose token was replaced keeps its party, and only the identity that is enrolled can say so. Method: enrolments of one
// node with other keys, and of another node under its name.
func TestRosterRekeys(t *testing.T) {
	ctx := t.Context()
	a, err := NewAuthority(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	c := testNode(t, "n2")
	var es []Enrolment
	for _, n := range []host.Config{testNode(t, "n1"), c} {
		e, err := Node(ctx, n, host.Options{}, Place{}, false)
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, e)
	}
	first, err := a.Sign(nil, es)
	if err != nil {
		t.Fatal(err)
	}
	c.HSM.AttestKey = "attest-2"
	again, err := Node(ctx, c, host.Options{}, Place{}, false)
	if err != nil {
		t.Fatal(err)
	}
	second, err := a.Sign(first, []Enrolment{again})
	if err != nil {
		t.Fatal(err)
	}
	was, now := first.Roster.Nodes[1], second.Roster.Nodes[1]
	if len(second.Roster.Nodes) != 2 || now.Party != 2 || !bytes.Equal(now.AttestKey, again.AttestKey) || bytes.Equal(was.AttestKey,
		now.AttestKey) || second.Roster.Serial != 2 {
		t.Errorf("%+v, then %+v", was, now)
	}
	if _, err := a.Sign(second, []Enrolment{again}); err == nil {
		t.Error("nothing new is signed")
	}
	stranger, err := Node(ctx, testNode(t, "n2"), host.Options{}, Place{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sign(second, []Enrolment{stranger}); err == nil || codeOf(err) != fault.CodeUsage {
		t.Errorf("another identity takes the party of n2: %v", err)
	}
}
