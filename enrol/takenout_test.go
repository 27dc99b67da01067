package enrol

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

// Goal: signing says whose keys change, and an enrolment of before, signed again, puts no key back that was taken out, for any node, after
// any time, also where the roster is gone; unless the operator says so. Method: one node with three attest keys after one another and the
// enrolments of before between; its first key as that of another node; the list damaged.
func TestKeysTakenOut(t *testing.T) {
	dir := t.TempDir()
	if _, err := NewAuthority(dir, "c"); err != nil {
		t.Fatal(err)
	}
	enrolment := func(c host.Config, key string) Enrolment {
		c.HSM.AttestKey = key
		e, err := Node(t.Context(), c, host.Options{}, Place{}, false)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	admit := func(e Enrolment, back ...string) ([]Change, error) {
		a, err := OpenAuthority(dir)
		if err != nil {
			t.Fatal(err)
		}
		_, changes, err := a.Admit([]Judgement{{Enrolment: e}}, nil, back)
		return changes, err
	}
	c := testNode(t, "n1")
	first, second, third := enrolment(c, "attest"), enrolment(c, "attest-2"), enrolment(c, "attest-3")
	signs := func(what string, e Enrolment, isNew bool, keys []string, back ...string) {
		t.Helper()
		got, err := admit(e, back...)
		if err != nil || len(got) != 1 || got[0].Node != e.Node || got[0].New != isNew || !slices.Equal(got[0].Keys, keys) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	refused := func(what string, e Enrolment) {
		t.Helper()
		_, err := admit(e)
		if codeOf(err) != fault.CodeDenied || !strings.Contains(err.Error(), `it was the attest key of "n1"`) {
			t.Errorf("%s: %v", what, err)
		}
	}
	signs("first", first, true, []string{"identity", "seal", "cosign", "attest"})
	signs("second", second, false, []string{"attest"})
	refused("the first again", first)
	signs("third", third, false, []string{"attest"})
	refused("the first again, after two", first)
	refused("the second again", second)
	if _, err := admit(second, "n2"); codeOf(err) != fault.CodeUsage {
		t.Errorf("put back of a node that is not there: %v", err)
	}
	signs("the second, put back", second, false, []string{"attest"}, "n1")
	refused("the third, after that", third)

	other := enrolment(testNode(t, "n2"), "attest")
	a, err := OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Admit([]Judgement{{Enrolment: first}, {Enrolment: other}}, nil, []string{"n2"}); codeOf(err) != fault.CodeDenied {
		t.Errorf("put back of the other: %v", err)
	}
	other.CosignKey = first.AttestKey
	refused("as the key of another", other)
	if err := os.Remove(filepath.Join(dir, RosterFile)); err != nil {
		t.Fatal(err)
	}
	refused("where the roster is gone", first)

	if err := os.WriteFile(filepath.Join(dir, takenOutFile), []byte("["), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := admit(second); codeOf(err) != fault.CodeIntegrity {
		t.Errorf("with a list that cannot be read: %v", err)
	}
}
