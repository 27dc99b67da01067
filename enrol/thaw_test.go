package enrol_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host/fault"
)

// Goal: nothing is sent that a node must refuse, and the next step is the one that helps. Method: a freeze without a reason, a thaw that
// nobody has signed, and one of another freeze.
func TestReadThaw(t *testing.T) {
	next := func(err error, want string) {
		t.Helper()
		f, ok := err.(*fault.Error)
		if !ok || f.Code != fault.CodeUsage || !strings.Contains(f.Do, want) {
			t.Errorf("%v, wanted %q", err, want)
		}
	}
	_, err := enrol.Freezing("vault", "v", "")
	next(err, "--reason TEXT")
	if q, err := enrol.Freezing("vault", "v", "r"); err != nil || q != (wire.FreezeRequest{Scope: "vault", Name: "v", Reason: "r"}) {
		t.Error(q, err)
	}
	f := attest.Freeze{Version: attest.FreezeVersion, Cluster: "c", Node: "n", Scope: attest.ScopeCluster, Reason: "r",
		Created: time.Now().UnixMilli(), Nonce: make([]byte, 16)}
	id, path := f.Digest().String(), filepath.Join(t.TempDir(), "thaw.json")
	all := []wire.Freeze{{ID: id, Authority: attest.Hash{1}.String(), Statement: f.JSON()}}
	if _, err := enrol.BeginThaw(id, path, all, nil); err != nil {
		t.Fatal(err)
	}
	_, err = enrol.ReadThaw(id, path)
	next(err, "mpcd freeze sign "+path)
	_, err = enrol.ReadThaw(attest.Hash{2}.String(), path)
	next(err, "that freeze's file")
	if _, err := enrol.EndorseThaw(path, "olga", func([]byte) ([]byte, error) { return make([]byte, 64), nil }); err != nil {
		t.Fatal(err)
	}
	if q, err := enrol.ReadThaw(id, path); err != nil || len(q.Signatures) != 1 {
		t.Error(q, err)
	}
}
