package appliance_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// withoutEnd has as many workers do something as a member may have at once, until it was refused so often, and says how often it was done.
func withoutEnd(do func() error, refused int32, most int32) (done int32, last error) {
	var took, turned atomic.Int32
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for turned.Load() < refused && took.Load() < most {
				if err := do(); err == nil {
					took.Add(1)
				} else {
					turned.Add(1)
					mu.Lock()
					last = err
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return took.Load(), last
}

func logSize(t *testing.T, m *member) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(m.dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// names fails unless an honest node shows node3, and no other, as limited, with these words, and has it on record.
func (m *member) names(t *testing.T, words string) {
	t.Helper()
	for _, s := range m.node.Nodes() {
		if s.Limited != (s.ID == "node3") || strings.Contains(s.Trouble, words) != s.Limited {
			t.Errorf("%s shows %s: limited %v, trouble %q", m.id, s.ID, s.Limited, s.Trouble)
		}
	}
	if es := m.entries(t, "quota.exceeded"); len(es) != 1 || es[0].Facts["culprit.node3"] == "" {
		t.Errorf("%s has on record %v", m.id, es)
	}
}

// Goal: a member that nobody has asked for anything has the others prove the threshold of a key a bounded number of times, and no more:
// refusals leave little in their logs, which name it; whoever is asked for a signature, or for a proof at another node, gives it. Method:
// node3, which knows no initiator, has node1 and node2 prove an active key without end.
func TestProvesWithoutEnd(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	c.nodes[2].halt()
	c.nodes[2].unasked = true
	c.nodes[2].start()
	c.waitReady()
	one, three := c.nodes[0], c.nodes[2]
	prove := func() error {
		_, err := three.node.SignForged(t.Context(), w.ID, "", []threshold.PartyID{1, 2}, nil, func(x *attest.Intent) {
			x.Requester, x.RequestID = strings.Repeat("r", 128), strings.Repeat("s", 128)
		}, true)
		return err
	}
	const most = appliance.QuotaProofs + 16 + appliance.QuotaProofs/8 // those under way, and what is forgotten meanwhile
	if took, last := withoutEnd(prove, 1, 2*most); took < appliance.QuotaProofs || took > most || appliance.RefusedWith(last) != problem.Overload {
		t.Errorf("%d proofs that nobody asked for are made, at most %d; then %v", took, most, last)
	}
	before := logSize(t, one)
	took, _ := withoutEnd(prove, 300, most)
	if grown := logSize(t, one) - before; grown > 64<<10 {
		t.Errorf("300 refusals, and %d proofs, had the log of node1 grow by %d KiB", took, grown>>10)
	}
	one.names(t, "too many proofs")
	if _, err := one.node.ProveThreshold(t.Context(), w.ID); err != nil {
		t.Errorf("node1 cannot prove the key: %v", err)
	}
	if _, err := one.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m")}); err != nil {
		t.Errorf("node1 does not sign: %v", err)
	}
}
