package enrol

import (
	"encoding/json"
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
	if _, err := NewOperator(dir, "c"); err != nil {
		t.Fatal(err)
	}
	enrolment := func(c host.Config, key string) Enrolment {
		c.HSM.AttestKey = key
		e, err := Node(t.Context(), c, host.Options{}, Place{Endpoint: "https://" + string(c.Node)}, false)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	admit := func(e Enrolment, back ...string) ([]Change, error) {
		a, err := OpenOperator(dir)
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
	signs("first", first, true, []string{"identity", "seal", "cosign", "attest", "witness"})
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
	a, err := OpenOperator(dir)
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

// FuzzTakenOut. Goal: a list of keys that were taken out is read as it was written, or refused as damaged. Method: any bytes in its place;
// what is read is written and read again.
func FuzzTakenOut(f *testing.F) {
	good, err := json.Marshal([]takenOut{{"n1", "attest", thumbprint([]byte("key")), 3}, {"n2", "seal", "", 1<<64 - 1}})
	if err != nil {
		f.Fatal(err)
	}
	list := string(good)
	for _, seed := range []string{list, "", "null", "[]", "[{}]", "[null]", `[{"node":1}]`, list + "[]", list[:9], "{}"} {
		f.Add([]byte(seed))
	}
	a := &Operator{dir: f.TempDir()}
	f.Fuzz(func(t *testing.T, b []byte) {
		read := func(b []byte) ([]takenOut, error) {
			if err := os.WriteFile(filepath.Join(a.dir, takenOutFile), b, 0o600); err != nil {
				t.Fatal(err)
			}
			return a.readTakenOut()
		}
		list, err := read(b)
		if err != nil {
			if codeOf(err) != fault.CodeIntegrity {
				t.Errorf("refused with %v", err)
			}
			return
		}
		again, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(again); err != nil || !slices.Equal(got, list) {
			t.Errorf("%+v, %v; not %+v", got, err, list)
		}
	})
}
