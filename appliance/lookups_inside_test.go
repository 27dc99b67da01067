package appliance

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
)

// Goal: what callers have a node ask the others about is bounded, of each caller and in all; a name that somebody knew costs nothing, one
// that nobody knew counts for a second. Method: callers who begin as many as they may, end them so or so, and come again.
func TestLookups(t *testing.T) {
	var l lookups
	now := time.Unix(1_000_000, 0)
	begin := func(caller string, want int) (ends []func(bool)) {
		t.Helper()
		for range 2 * lookupsAll {
			end, err := l.begin(now, caller)
			if err == nil {
				ends = append(ends, end)
			} else if problem.As(err).Code != problem.Overload {
				t.Fatal(err)
			}
		}
		if len(ends) != want {
			t.Errorf("%q begins %d, want %d", caller, len(ends), want)
		}
		return ends
	}
	eve := begin("eve", lookupsCaller)
	begin("bob", lookupsAll-lookupsCaller)
	begin("carol", 0)
	eve[0](true)
	begin("carol", 1)
	l = lookups{}
	for range 3 {
		for _, end := range begin("eve", lookupsCaller) {
			end(true)
		}
	}
	for _, end := range begin("eve", lookupsCaller) {
		end(false)
	}
	begin("eve", 0)
	for _, end := range begin("bob", lookupsCaller) {
		end(true)
	}
	now = now.Add(time.Second)
	for _, end := range begin("eve", lookupsCaller) {
		end(true)
	}
	now = now.Add(time.Second)
	if begin("bob", lookupsCaller); len(l.m) != 1 {
		t.Errorf("%d callers are remembered of one", len(l.m))
	}
}

// Goal: who only reads cannot have a node ask the others about more names than it may, of wallets or of receipts; what is no name is none
// as before, and those who sign are not refused for it. Method: readers use up their part; each kind of request.
func TestStrangeNamesAreBounded(t *testing.T) {
	x := newInside(t)
	strange := "w_" + strings.Repeat("a", 32)
	for range lookupsCaller {
		if _, err := x.others.lookups.begin(x.cfg.Clock(), ""); err != nil {
			t.Fatal(err)
		}
	}
	for what, row := range map[string]struct {
		want problem.Code
		do   func() error
	}{
		"a wallet's ID": {problem.Overload, func() error { _, err := x.Wallet(t.Context(), strange); return err }},
		"a public key": {problem.Overload,
			func() error { _, err := x.Wallet(t.Context(), strings.Repeat("ab", 33)); return err }},
		"a receipt":       {problem.Overload, func() error { _, err := x.Receipt(t.Context(), "r_strange"); return err }},
		"what is no name": {problem.NotFound, func() error { _, err := x.Wallet(t.Context(), "nobody"); return err }},
		"one who signs":   {problem.Quorum, func() error { _, _, err := x.others.known(t.Context(), "bob", strange, nil); return err }},
	} {
		if err := row.do(); problem.As(err).Code != row.want {
			t.Errorf("%s: %v, want %s", what, err, row.want)
		}
	}
}

// Goal: a member's questions take no slot that its proposals need. Method: more of them than there are slots, none answered yet; then a
// proposal.
func TestQuestionsHaveSlotsOfTheirOwn(t *testing.T) {
	x := newInside(t)
	hold := make(chan struct{})
	for range 2 * x.cfg.Limits.Ceremonies {
		x.begin(t.Context(), transport.Envelope{From: "node2", Kind: ceremony.KindSession},
			func(context.Context, transport.Envelope) { <-hold })
	}
	begun := false
	x.begin(t.Context(), transport.Envelope{From: "node2", Kind: ceremony.KindProposal},
		func(context.Context, transport.Envelope) { begun = true })
	close(hold)
	x.wg.Wait()
	lost := map[string]uint64{}
	for of, v := range x.Counts().Lost {
		lost[fmt.Sprint(of.Room, " ", of.Peer)] += v
	}
	if !begun || lost["proposals node2"] != 0 || lost["questions node2"] == 0 {
		t.Errorf("a proposal has begun: %v; no slot was left for: %v", begun, lost)
	}
}

// Goal: whoever reads receipts has a node ask the one that settled no more than it may ask about strange names, and no node that is away.
// Method: a receipt that another settled, with that one away; up; and up with all questions under way.
func TestSettlerIsAskedWithinBounds(t *testing.T) {
	x := newInside(t)
	x.cfg.Rand = rand.Reader
	p := x.world.Committee.Parties[1]
	r := &attest.Receipt{ID: "rc_x", Settlement: attest.NodeAttestation{Node: string(nodeOf(p))}}
	gone, cancel := context.WithCancel(t.Context()) // nobody answers here
	cancel()
	asked := func() (n int) {
		before := len(x.sent)
		if l := x.others.logged(gone, r); l != nil {
			t.Errorf("a proof of nobody: %+v", l)
		}
		for _, e := range x.sent[before:] {
			if e.Kind == ceremony.KindSession && slices.Equal(e.To, []transport.NodeID{nodeOf(p)}) {
				n++
			}
		}
		return n
	}
	if n := asked(); n != 0 {
		t.Errorf("a node that is away was asked %d times", n)
	}
	sayTwice(x, p, false)
	if n := asked(); n != 1 {
		t.Errorf("a node that is up was asked %d times", n)
	}
	x.others.lookups.open = lookupsAll
	if n := asked(); n != 0 {
		t.Errorf("asked %d times beyond the bound", n)
	}
}

// Goal: a node reads its log for no receipt that another settled, whatever is asked of it, and hands out no proof that it cannot check.
// Method: an entry that says of a receipt that it was made, under a checkpoint; the receipt is another's, then this node's own, of a roster
// that it does not have.
func TestLoggedOfItsOwnAlone(t *testing.T) {
	x := newInside(t)
	x.cfg.Rand = rand.Reader
	event := audit.Event{Name: audit.SignDone, Facts: map[string]string{"receipt": "rc_x"}}
	if err := x.cfg.AuditLog.Append(t.Context(), event); err != nil {
		t.Fatal(err)
	}
	head := x.cfg.AuditLog.Head()
	note := fmt.Appendf(nil, "test\n%d\n%s\n\n", head.Size, base64.StdEncoding.EncodeToString(head.Root[:]))
	if err := x.cfg.AuditLog.KeepCheckpoint(note); err != nil {
		t.Fatal(err)
	}
	r := &attest.Receipt{Version: attest.ReceiptVersion, ID: "rc_x", Roster: "r_none"}
	shown := func(by transport.NodeID) []byte {
		r.Settlement.Node = string(by)
		put := vault.Pair{Key: receiptKey(r.ID), Value: canon.MustMarshal(r)}
		if err := x.cfg.Store.Batch(t.Context(), []vault.Pair{put}, nil); err != nil {
			t.Fatal(err)
		}
		b, err := x.others.showLogged(t.Context(), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if b := shown(nodeOf(x.world.Committee.Parties[1])); b != nil {
		t.Error("it reads its log for what another settled")
	}
	if b := shown(x.cfg.Node); b == nil {
		t.Error("it does not show its own")
	}
	if l := x.others.logged(t.Context(), r); l != nil {
		t.Error("it hands out what it has not checked")
	}
}
