package appliance_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
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

// Goal: a member that has one request of an initiator has the others sign it a bounded number of times, however it asks, also after they
// were started anew: refusals leave little in their logs, which name it; the request is answered all the same at an honest node, once and
// for all. Method: node3 has node1 and node2 sign one request without end, and keeps the answers.
func TestSignsAgainWithoutEnd(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	one, two, three := c.nodes[0], c.nodes[1], c.nodes[2]
	signers, message := []threshold.PartyID{1, 2}, []byte("pay once")
	var first *attest.Intent
	if _, err := three.node.SignForged(t.Context(), w.ID, "once", signers, message, func(x *attest.Intent) {
		x.RequestID, first = "once", x
	}, false); err != nil {
		t.Fatal(err)
	}
	again := func() error {
		_, err := three.node.SignForged(t.Context(), w.ID, "once", signers, message, func(x *attest.Intent) {
			x.RequestID, x.Initiation = "once", first.Initiation
		}, false)
		return err
	}
	const most = 8
	took, last := withoutEnd(again, 100, 10*most)
	if appliance.RefusedWith(last) != problem.Conflict {
		t.Errorf("it is refused with %v", last)
	}
	before := logSize(t, one)
	more, _ := withoutEnd(again, 200, 10*most) // of two at once, each signer may have refused another
	if all := 1 + took + more; all > most {
		t.Errorf("one request is signed %d times for node3, at most %d", all, most)
	}
	if grown := logSize(t, one) - before; grown > 64<<10 {
		t.Errorf("200 refusals had the log of node1 grow by %d KiB", grown>>10)
	}
	one.names(t, "again and again")
	for _, m := range []*member{one, two} {
		m.halt()
		m.start()
	}
	c.waitReady()
	if took, _ := withoutEnd(again, 20, 10*most); took >= most { // what was done at once may be on disk in any order
		t.Errorf("after a restart it is signed %d times more", took)
	}
	req := appliance.SignRequest{SessionID: "once", WalletID: w.ID, Message: message, Signers: []transport.NodeID{"node1", "node2"}}
	sig, err := one.node.Sign(t.Context(), req)
	if err != nil {
		t.Fatalf("node1 does not answer it: %v", err)
	}
	for range 3 * most {
		if now, err := one.node.Sign(t.Context(), req); err != nil || !bytes.Equal(now.Bytes, sig.Bytes) {
			t.Fatalf("then it answers %+v, %v", now, err)
		}
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
	var number atomic.Int64
	prove := func() error {
		id := fmt.Sprintf("%0128d", number.Add(1))
		_, err := three.node.SignForged(t.Context(), w.ID, "", []threshold.PartyID{1, 2}, nil, func(x *attest.Intent) {
			x.Requester, x.RequestID = strings.Repeat("r", 128), id
		}, true)
		return err
	}
	const most = appliance.QuotaProofs + 16 + appliance.QuotaProofs/8 // those under way, and what is forgotten meanwhile
	took, last := withoutEnd(prove, 1, 2*most)
	if took < appliance.QuotaProofs || took > most || appliance.RefusedWith(last) != problem.Overload {
		t.Errorf("%d proofs that nobody asked for are made, at most %d; then %v", took, most, last)
	}
	before := logSize(t, one)
	took, _ = withoutEnd(prove, 300, most)
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
