package appliance

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// fullStore is a store that knows that its disk is full.
type fullStore struct {
	*vaulttest.Memory
	err error
}

func (s *fullStore) Writable() error { return s.err }

// Goal: a node whose disk is full takes on nothing new, says so with a code of its own, is not ready before anything was asked of it, says
// what to do, tells its peers, and goes on answering; it takes on work again by itself when there is space. Method: a store, below what
// remembers its writes, and then an audit log that cannot write, and can again.
func TestFullDiskTakesOnNothing(t *testing.T) {
	x := newInside(t)
	store, free := &fullStore{Memory: vaulttest.NewMemory()}, int64(1<<40)
	log, err := audit.Open(filepath.Join(t.TempDir(), "audit.log"), "node1", time.Now,
		audit.Free(func(string) (int64, error) { return free, nil }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	x.store.Store, x.cfg.AuditLog = store, log
	x.gate = newGate(gateConfig(Majority{AllowMinority: true}, log), anybody, 1)
	x.gate.writable = x.Writable
	in := &attest.Intent{Operation: attest.OpSign, RequestID: "a", Node: "peer"}
	x.serve(true)
	state := func() (failed []string, refused error) {
		_, err := x.gate.permit(t.Context(), attest.OpSign, []passage{{intent: in, judge: func() error { return nil }}}, "share.sign")
		for _, c := range x.Readiness().Checks {
			if !c.OK && (c.Name == "audit" || c.Name == "store") {
				failed = append(failed, c.Name)
				if !strings.Contains(c.Next, "free space") {
					t.Errorf("%s: to do: %q", c.Name, c.Next)
				}
			}
		}
		if told := x.Node.state().Failing; !slices.Equal(told, failed) {
			t.Errorf("peers are told of %v, and %v fail", told, failed)
		}
		return failed, err
	}
	for what, fill := range map[string]func(full bool){
		"store": func(full bool) {
			if store.err = nil; full {
				store.err = vault.ErrFull
			}
		},
		"audit": func(full bool) {
			if free = 1 << 40; full {
				free = 1 << 20
			}
		},
	} {
		fill(true)
		failed, err := state()
		if e := problem.As(err); e.Code != problem.Storage || !e.Code.Retryable() || e.Code.Relayed() || x.Writable() == nil {
			t.Errorf("%s: %v", what, err)
		}
		if len(failed) != 1 || failed[0] != what {
			t.Errorf("%s: not ready for %v", what, failed)
		}
		if _, _, err := x.Audit(t.Context(), Page{}); err != nil {
			t.Errorf("%s: reading is refused: %v", what, err)
		}
		fill(false)
		if failed, err := state(); err != nil || len(failed) > 0 {
			t.Errorf("%s, space again: %v, %v", what, err, failed)
		}
	}
}
