package appliance

import (
	"fmt"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// waiterOf is a request of an initiator that waits for an hour, as the desk has it after it has looked at it.
func waiterOf(by string, now time.Time) *waiter {
	in := attest.Intent{Initiation: &attest.Initiation{By: by, Expires: now.Add(time.Hour).UnixMilli()}}
	return &waiter{waiterRecord: waiterRecord{Version: waiterVersion, Intent: in}, turn: true, next: now.Add(time.Hour)}
}

// Goal: what is done takes no place of what waits. Method: as many requests of an initiator as may wait, and one of them done.
func TestDoneGivesRoom(t *testing.T) {
	x, now := newInside(t), time.Now()
	for i := range waitersInitiator {
		x.desk.m[fmt.Sprint(i)] = waiterOf("asker", now)
	}
	asker, another := &waiterOf("asker", now).waiterRecord, &waiterOf("another", now).waiterRecord
	if x.desk.room(asker, now) == nil || x.desk.room(another, now) != nil {
		t.Error("the room of one is not that of one")
	}
	x.desk.m["0"].done = true
	if err := x.desk.room(asker, now); err != nil {
		t.Error(err)
	}
}

// Goal: what an initiator has taken back is bounded too, since it is kept, and so is all that waits, in bytes: neither one initiator nor
// all together fill a node's memory. Method: as many cancelled requests as there may be; one that is half as long as all may be, twice.
func TestDeskKeepsNoMore(t *testing.T) {
	x, now := newInside(t), time.Now()
	asker, another := &waiterOf("asker", now).waiterRecord, &waiterOf("another", now).waiterRecord
	for i := range cancelledInitiator {
		w := waiterOf("asker", now)
		w.Cancelled = attest.Hex{1}
		x.desk.m[fmt.Sprint(i)] = w
	}
	if x.desk.room(asker, now) == nil || x.desk.room(another, now) != nil {
		t.Error("the room of one who takes back is not that of one")
	}
	long := waiterOf("third", now)
	long.Intent.Message = make(attest.Hex, waitersBytes/2)
	x.desk.m["long"] = long
	if x.desk.room(another, now) != nil || x.desk.room(&long.waiterRecord, now) == nil {
		t.Error("half of all does not leave room for one, or leaves room for as much again")
	}
	words := waiterOf("fourth", now)
	words.Rejected = []attest.Approval{{Assertion: &attest.Assertion{ClientData: make(attest.Hex, waitersBytes/2)}}}
	if x.desk.room(&words.waiterRecord, now) == nil {
		t.Error("what approvers have said takes no room")
	}
}

// Goal: where more than half of the desk is in use, nothing that has expired is kept. Method: one that has, on a desk with few, and with
// many.
func TestDeskMakesRoom(t *testing.T) {
	x, now := newInside(t), time.Now()
	old := waiterOf("asker", now.Add(-2*time.Hour))
	x.desk.m["old"] = old
	has := func() bool {
		x.desk.tend(t.Context(), func(func()) {})
		return x.desk.m["old"] == old
	}
	if !has() {
		t.Error("it is not kept")
	}
	for i := range waitersAll / 2 {
		x.desk.m[fmt.Sprint(i)] = waiterOf(fmt.Sprint(i), now)
	}
	if has() {
		t.Error("it is kept, and takes the room of others")
	}
}

// Goal: a member that says of everything that it is done has a node look at it so often a minute, whatever another says. Method: it is
// said more often.
func TestSoonerIsBounded(t *testing.T) {
	x, now := newInside(t), time.Now()
	w := waiterOf("asker", now)
	x.desk.m["waits"] = w
	sooner := func(from transport.NodeID) bool {
		w.next = now.Add(time.Hour)
		x.desk.due(from, []string{"waits"})
		return w.next.IsZero()
	}
	for range dueMinute {
		if !sooner("node2") {
			t.Fatal("it is not looked at")
		}
	}
	if sooner("node2") || !sooner("node3") {
		t.Error("what one says is not bounded, or what another says is")
	}
}

// Goal: what a node says of a request for itself alone, that it gave it up or that it was asked for here, it tells nobody: a release before
// would not read it. Method: a record that says both, told.
func TestDeskTellsNothingOfItsOwn(t *testing.T) {
	x, now := newInside(t), time.Now()
	r := waiterOf("asker", now).waiterRecord
	r.Failed, r.Here = "gave up", true
	x.desk.send(nil, deskBody{Records: []waiterRecord{r}})
	var b deskBody
	err := canon.Unmarshal(x.sent[len(x.sent)-1].Body, &b)
	if err != nil || len(b.Records) != 1 || b.Records[0].Failed != "" || b.Records[0].Here {
		t.Errorf("%+v, %v", b.Records, err)
	}
}

// Goal: a key that waits is held by the nodes that its initiator has named, or else by the first of the roster: no peer chooses. Method:
// these, and others as many.
func TestCommitteeOf(t *testing.T) {
	x := newInside(t)
	all := x.members.All()
	first, last := x.members.Party(all[0]), x.members.Party(all[len(all)-1])
	second := x.members.Party(all[1])
	for name, row := range map[string]struct {
		nodes   []string
		signers []threshold.PartyID
		fits    bool
	}{
		"the first":           {nil, []threshold.PartyID{first, second}, true},
		"others":              {nil, []threshold.PartyID{first, last}, false},
		"those that he named": {[]string{string(all[0]), string(all[len(all)-1])}, []threshold.PartyID{first, last}, true},
		"others than those":   {[]string{string(all[0]), string(all[len(all)-1])}, []threshold.PartyID{first, second}, false},
	} {
		in := &attest.Intent{Signers: ceremony.SortedParties(row.signers), Keygen: &attest.KeygenParams{Threshold: 2, Nodes: row.nodes}}
		if c, err := committeeOf(x.making, in); (err == nil) != row.fits {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
}
