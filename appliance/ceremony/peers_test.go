package ceremony

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/memnet"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// seen is Peers of self among b, c, d, all of which live, and its clock.
type seen struct {
	*Peers
	now       time.Time
	restarted []transport.NodeID
}

func newSeen() *seen {
	x := &seen{now: time.Unix(1000, 0)}
	hall := hallOf("self", "b", "c", "d")
	hall.Clock = func() time.Time { return x.now }
	x.Peers = NewPeers(hall, Boot{9}, "1", func(id transport.NodeID) { x.restarted = append(x.restarted, id) })
	for _, id := range []transport.NodeID{"b", "c", "d"} {
		x.Heard(id)
		x.beat(id, "1", Boot{1})
	}
	return x
}

func (x *seen) beat(id transport.NodeID, version string, boot Boot) {
	x.Heartbeat(transport.Envelope{From: id, Body: canon.MustMarshal(heartbeat{version, true, boot, nil})})
}

// after lets time go by, and then some are heard.
func (x *seen) after(d time.Duration, ids ...transport.NodeID) {
	x.now = x.now.Add(d)
	for _, id := range ids {
		x.Heard(id)
	}
}

// Goal: who is no member any more is chosen for nothing from that moment on. Method: a peer that was heard just now, and a roster without
// it.
func TestRemovedIsNotChosen(t *testing.T) {
	x := newSeen()
	if ok, _ := x.usable("c", false); !ok {
		t.Fatal("a peer that lives is not chosen")
	}
	x.hall.Renew(hallOf("self", "b", "d").Members)
	if ok, _ := x.usable("c", true); ok {
		t.Error("who was removed is chosen")
	}
}

// Goal: a node that may not know what it has taken part in is chosen where no other is. Method: one of three.
func TestForgetfulIsLast(t *testing.T) {
	x := newSeen()
	x.Forgetful = func(id transport.NodeID) bool { return id == "b" }
	three := SortedParties([]threshold.PartyID{x.hall.Party("b"), x.hall.Party("c"), x.hall.Party("d")})
	for most := 2; most <= 3; most++ {
		q, err := x.Quorum(threshold.Committee{Threshold: most, Parties: three}, nil)
		if err != nil || slices.Contains(q, x.hall.Party("b")) != (most == 3) {
			t.Errorf("%d of 3: %v, %v", most, q, err)
		}
	}
}

// Goal: a node to which nobody speaks, while members speak to each other, says that it may have been removed, and not to start them.
// Method: peers fall silent, and envelopes for others come or do not; one is heard again.
func TestLeftOut(t *testing.T) {
	x, others := newSeen(), uint64(3)
	committee := threshold.Committee{Parties: []threshold.PartyID{1, 2, 3, 4}, Threshold: 2}
	x.NotForUs = func() uint64 { return others }
	told := func(want bool) {
		t.Helper()
		x.Peers.beat(State{})
		_, err := x.Quorum(committee, nil)
		if x.LeftOut() != want || err != nil && strings.HasPrefix(problem.As(err).Next, BringRoster) != want {
			t.Errorf("left out: %v, want %v: %v", x.LeftOut(), want, err)
		}
	}
	told(false)
	x.after(liveFor)
	told(false)
	others++
	told(true)
	x.after(liveFor)
	told(false)
	others++
	x.after(0, "c")
	told(false)
}

// Goal: a quorum is of nodes that live, have told which run of themselves they are in, and are not accused; this one first, and who was
// silent lately last. Method: each of these of one peer.
func TestQuorum(t *testing.T) {
	committee := threshold.Committee{Parties: []threshold.PartyID{1, 2, 3, 4}, Threshold: 2}
	for name, row := range map[string]struct {
		note  func(*seen)
		avoid threshold.PartyID
		want  []threshold.PartyID
	}{
		"all live":             {func(*seen) {}, 0, []threshold.PartyID{1, 2}},
		"one to be avoided":    {func(*seen) {}, 2, []threshold.PartyID{1, 3}},
		"accused":              {func(x *seen) { x.Accuse("b", "a check") }, 0, []threshold.PartyID{1, 3}},
		"silent in a ceremony": {func(x *seen) { x.Silent("b") }, 0, []threshold.PartyID{1, 3}},
		"silent a while ago":   {func(x *seen) { x.Silent("b"); x.after(suspectFor, "b", "c", "d") }, 0, []threshold.PartyID{1, 2}},
		"all silent":           {func(x *seen) { x.Silent("b"); x.Silent("c"); x.Silent("d") }, 0, []threshold.PartyID{1, 2}},
		"not heard":            {func(x *seen) { x.after(liveFor, "c") }, 0, []threshold.PartyID{1, 3}},
		"without a run":        {func(x *seen) { x.m["b"].boot = Boot{} }, 0, []threshold.PartyID{1, 3}},
		"nobody lives":         {func(x *seen) { x.after(liveFor) }, 0, nil},
		"who lives is accused": {func(x *seen) { x.after(liveFor, "b"); x.Accuse("b", "x") }, 0, nil},
		"and none but a doubt": {func(x *seen) { x.after(liveFor, "d"); x.Silent("d") }, 0, []threshold.PartyID{1, 4}},
		"a stranger beats too": {func(x *seen) { x.beat("x", "1", Boot{1}); x.Heard("x") }, 0, []threshold.PartyID{1, 2}},
	} {
		x := newSeen()
		row.note(x)
		got, err := x.Quorum(committee, map[threshold.PartyID]bool{row.avoid: true})
		if !slices.Equal(got, row.want) || (err != nil) != (row.want == nil) || err != nil && problem.As(err).Code != problem.Quorum {
			t.Errorf("%s: %v, want %v: %v", name, got, row.want, err)
		}
		left := map[string]bool{"not heard": true, "nobody lives": true, "who lives is accused": true, "and none but a doubt": true}
		if spare := x.Spare(committee, map[threshold.PartyID]bool{row.avoid: true}); spare == left[name] {
			t.Errorf("%s: there is a spare signer: %v", name, spare)
		}
	}
}

// Goal: a peer that tells of another run of itself has been restarted, once, and who waits for it hears at once; what is no heartbeat is
// none. Method: beats of the same run, of another, and too long ones; somebody waits.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newSeen()
		if x.beat("b", "1", Boot{1}); len(x.restarted) != 0 {
			t.Error("the first beats tell of a restart")
		}
		boots := x.Boots([]transport.NodeID{"self", "b"})
		if !slices.Equal(boots, []Boot{{9}, {1}}) {
			t.Errorf("runs %v", boots)
		}
		heard := make(chan bool, 1)
		go func() { heard <- x.AwaitBoot(t.Context(), []transport.NodeID{"self", "b"}, boots) }()
		synctest.Wait()
		x.beat("b", strings.Repeat("2", versionMax+1), Boot{2})
		x.Heartbeat(transport.Envelope{From: "b", Body: []byte("x")})
		if synctest.Wait(); len(x.restarted) != 0 || len(heard) != 0 {
			t.Error("what is no heartbeat is heard")
		}
		began := time.Now()
		x.beat("b", "2", Boot{2})
		if ok := <-heard; !ok || time.Since(began) > 0 || !slices.Equal(x.restarted, []transport.NodeID{"b"}) {
			t.Errorf("heard %v, after %s; restarted: %v", ok, time.Since(began), x.restarted)
		}
		if x.AwaitBoot(t.Context(), []transport.NodeID{"b"}, []Boot{{2}}) || time.Since(began) != LateFor {
			t.Errorf("nothing new is heard after %s", time.Since(began))
		}
	})
}

// Goal: a message that convicts its sender is one that the sender signed in exactly this ceremony. Method: what arrives over a network, as
// the engine gets it; then each part changed.
func TestAuthentic(t *testing.T) {
	ctx, hub := t.Context(), memnet.New()
	members := hallOf("self", "b").Members
	peers, conns := transport.Peers{}, map[transport.NodeID]transport.Conn{}
	ids := map[transport.NodeID]transport.Identity{}
	for _, id := range []transport.NodeID{"self", "b"} {
		var err error
		if ids[id], peers[id], err = transport.NewIdentity(id, rand.Reader); err != nil {
			t.Fatal(err)
		}
		members.node[id].Identity = ed25519.PublicKey(peers[id].Identity)
	}
	for id := range ids {
		net := transport.Secure(hub.Node(id), ids[id], peers, transport.Options{Cluster: "test"})
		t.Cleanup(func() { _ = net.Close() })
		var err error
		if conns[id], err = net.Join(ctx, "node"); err != nil {
			t.Fatal(err)
		}
	}
	said := threshold.Message{Round: 1, Kind: threshold.Data, Body: []byte("a share")}
	if err := conns["b"].Send(ctx, transport.Envelope{To: []transport.NodeID{"self"}, Kind: KindEngine, Topic: [32]byte{1},
		Body: said.Encode()}); err != nil {
		t.Fatal(err)
	}
	env, err := conns["self"].Recv(ctx)
	if err != nil {
		t.Fatal(err)
	}
	hall := Hall{Members: members, Send: func(transport.Envelope) {}, Clock: time.Now}
	c, err := NewRouter(hall).Enter([32]byte{1}, "self", []transport.NodeID{"b"})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*threshold.Message){
		"as it was":            func(*threshold.Message) {},
		"of another":           func(m *threshold.Message) { m.From = 1 },
		"of a stranger":        func(m *threshold.Message) { m.From = 7 },
		"in another ceremony":  func(m *threshold.Message) { m.Ceremony[0]++ },
		"another body":         func(m *threshold.Message) { m.Body = []byte("another") },
		"of another round":     func(m *threshold.Message) { m.Round++ },
		"without a proof":      func(m *threshold.Message) { m.Proof = nil },
		"with another's proof": func(m *threshold.Message) { m.Proof = canon.MustMarshal(proofOf{Proof: []byte{1}}) },
		"to another than it was": func(m *threshold.Message) {
			m.Proof = canon.MustMarshal(proofOf{[]transport.NodeID{"c"}, env.Proof, false})
		},
	} {
		m, err := c.message(env)
		if err != nil {
			t.Fatal(err)
		}
		change(&m)
		if got := members.Authentic(m); got != (name == "as it was") {
			t.Errorf("%s: authentic %v", name, got)
		}
	}
}

// Goal: a caller hears what ended a ceremony in words of this node's, with who is to blame, and of what a peer says no more than is fit to
// be told. Method: each way in which a ceremony ends.
func TestExplain(t *testing.T) {
	m := hallOf("self", "b").Members
	refused := func(code problem.Code) error {
		return &RefusedError{From: "b", Refusal: Refusal{Code: code, Message: "no"}}
	}
	own := problem.New(problem.Overload, "", "too much")
	for name, row := range map[string]struct {
		err  error
		code problem.Code
	}{
		"ours":                  {fmt.Errorf("it ended: %w", own), problem.Overload},
		"ours before a peer's":  {errors.Join(own, refused(problem.Denied)), problem.Overload},
		"blame":                 {&threshold.Abort{Kind: threshold.Ban, Culprits: []threshold.PartyID{2}}, problem.Blame},
		"our own fault":         {&threshold.Abort{Kind: threshold.Local}, problem.Integrity},
		"silence":               {&SilenceError{Missing: []threshold.PartyID{2}, Absent: []threshold.PartyID{2}}, problem.Quorum},
		"late":                  {&SilenceError{Missing: []threshold.PartyID{2}}, problem.Busy},
		"late for a peer":       {refused(problem.Busy), problem.Busy},
		"a peer's refusal":      {refused(problem.Denied), problem.Denied},
		"a peer's inner affair": {refused(problem.Internal), problem.Quorum},
		"a code of its own":     {refused("x"), problem.Quorum},
		"no refusal at all":     {refusalOf(transport.Envelope{From: "b", Body: []byte("x")}), problem.Quorum},
		"one that is too long": {refusalOf(transport.Envelope{From: "b", Body: canon.MustMarshal(Refusal{Code: problem.Denied,
			Message: strings.Repeat("x", refusalMax+1)})}), problem.Quorum},
		"time":       {context.DeadlineExceeded, problem.Timeout},
		"the caller": {context.Canceled, problem.Starting},
	} {
		e := problem.As(m.Explain(row.err))
		if e.Code != row.code || (row.code == problem.Blame) != (len(e.Culprits) == 1 && e.Culprits[0] == "b") {
			t.Errorf("%s: %q, culprits %v: %v", name, e.Code, e.Culprits, e)
		}
	}
	for holder, field := range map[string]string{"a": "session_id", "": ""} { // whose session_id it is
		e := problem.As(m.Explain(&RefusedError{From: "b", Refusal: Refusal{Code: problem.Conflict, Holder: holder}}))
		if e.Field != field || (e.Next == problem.Taken) != (field != "") {
			t.Errorf("a conflict with what %q holds: field %q, %s", holder, e.Field, e.Next)
		}
	}
}

// Goal: a peer's refusal brings nothing to a terminal or a log that cannot be seen. Method: one with an escape.
func TestRefusalIsSeen(t *testing.T) {
	err := refusalOf(transport.Envelope{From: "b", Body: canon.MustMarshal(Refusal{Code: problem.Denied, Message: "no\x1b[2J"})})
	if err.Error() != `node b refuses: "no\x1b[2J"` {
		t.Errorf("%q", err)
	}
}

// Goal: who was silent is doubted twice as long each time, and less after a while without silence, so that a peer that stutters is not
// waited for again and again. Method: silences at growing distances.
func TestDoubt(t *testing.T) {
	x := newSeen()
	suspect := func() bool { _, s := x.usable("b", false); return s }
	for i, want := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second,
		160 * time.Second, suspectMax, suspectMax} {
		x.Silent("b")
		x.Silent("b") // in another ceremony at the same time
		if x.after(want-time.Millisecond, "b"); !suspect() {
			t.Errorf("silence %d counts for less than %s", i+1, want)
		}
		if x.after(time.Millisecond, "b"); suspect() {
			t.Errorf("silence %d counts for more than %s", i+1, want)
		}
	}
	x.after(10*suspectMax, "b")
	if x.Silent("b"); x.m["b"].doubt != suspectFor {
		t.Errorf("after an hour without silence it counts for %s", x.m["b"].doubt)
	}
}

// Goal: a peer that says it is not ready, or that runs twice, is not chosen, and whoever asks is told in words why, and what to do; a clock
// that is off is told from a node that is gone. Method: one trouble at a time.
func TestTrouble(t *testing.T) {
	committee := threshold.Committee{Parties: []threshold.PartyID{1, 2, 3, 4}, Threshold: 4}
	now := time.Unix(1000, 0)
	sight := func(s transport.Sight) func(*seen) {
		return func(x *seen) {
			x.Sight = func(id transport.NodeID) transport.Sight {
				if id == "b" {
					return s
				}
				return transport.Sight{}
			}
		}
	}
	off := func(x *seen) {
		sight(transport.Sight{Ahead: 130 * time.Second, At: now.Add(liveFor)})(x)
		x.after(liveFor, "c", "d")
	}
	unfit := func(x *seen) {
		x.Unfit = func(id transport.NodeID) (why, next string) {
			if id == "b" {
				return "has rewritten its log", "look at its log"
			}
			return "", ""
		}
	}
	for name, row := range map[string]struct {
		note      func(*seen)
		why, next string
	}{
		"not ready": {func(x *seen) { x.told("b", false, "token, audit") }, "b is not ready, as it cannot write to its disk: token, audit",
			"look at its disk, and run mpcd doctor there"},
		"another check":       {func(x *seen) { x.told("b", false, "token, clock") }, "b is not ready: token, clock", "run mpcd doctor there"},
		"in words of its own": {func(x *seen) { x.told("b", false, "\x1b[2J") }, "b is not ready", "see its log"},
		"gone":                {func(x *seen) { x.after(liveFor, "c", "d") }, "b was not heard for 4s", "start the missing nodes"},
		"never":               {func(x *seen) { x.m["b"] = &Notes{} }, "b was never heard", "start the missing nodes"},
		"unfit":               {unfit, "b has rewritten its log", "look at its log"},
		"unfit and gone":      {func(x *seen) { unfit(x); x.after(liveFor, "c", "d") }, "b was not heard for 4s", "start the missing nodes"},
		"unfit, its clock": {func(x *seen) { unfit(x); off(x) }, "b its clock is 2m10s ahead of this node's",
			"set the clocks of the nodes, as by NTP"},
		"accused": {func(x *seen) { x.Accuse("b", "a check") }, "b is accused: a check", "look at its host"},
		"no run":  {func(x *seen) { x.m["b"].boot = Boot{} }, "b is starting", "wait a second"},
		"clock":   {off, "b its clock is 2m10s ahead of this node's", "set the clocks of the nodes, as by NTP"},
		"twice": {sight(transport.Sight{Twice: now, Run: transport.Run{ID: [16]byte{1}}, Other: transport.Run{ID: [16]byte{2}}}),
			"b runs twice: boots 01000000 of 1970-01-01T00:00:00Z and 02000000 of 1970-01-01T00:00:00Z",
			"stop the other run of b, or wait 10s if it has ended"},
	} {
		x := newSeen()
		row.note(x)
		_, err := x.Quorum(committee, nil)
		if e := problem.As(err); err == nil || !strings.HasSuffix(e.Message, ": "+row.why) || !strings.HasPrefix(e.Next, row.next+", then") {
			t.Errorf("%s: %v; %q", name, err, problem.As(err).Next)
		}
	}
	x := newSeen()
	sight(transport.Sight{Twice: now})(x)
	if x.after(twiceFor, "b", "c", "d"); !x.Usable("b") {
		t.Error("a peer whose other run ended is not chosen again")
	}
}

// told is a beat that says how the peer is, and whom it hears.
func (x *seen) told(id transport.NodeID, ready bool, failing string, hears ...hearing) {
	x.Heartbeat(transport.Envelope{From: id, Body: canon.MustMarshal(heartbeat{"1", ready, Boot{1},
		canon.MustMarshal(told{Version: toldVersion, Failing: failing, Hears: hears})})})
}

// Goal: a node tells a member of which it hears two runs, and learns from a peer of another run of itself beside this one, until ten
// seconds after the last word of it. Nothing else that a peer says is one: another node's runs, two others of ours, or this one alone.
// Method: what is told, and what we tell, where a peer and we are heard twice.
func TestTwiceBy(t *testing.T) {
	for name, x := range map[string]struct {
		said twins
		says string
	}{
		"beside this":     {twins{1, [2]Boot{{9}, {7}}}, "b hears boot 07000000 beside this one, 09000000"},
		"this is older":   {twins{1, [2]Boot{{7}, {9}}}, "b hears boot 07000000 beside this one, 09000000"},
		"another's":       {twins{2, [2]Boot{{9}, {7}}}, ""},
		"of before":       {twins{1, [2]Boot{{6}, {7}}}, ""},
		"this, and again": {twins{1, [2]Boot{{9}, {9}}}, ""},
	} {
		s := newSeen()
		s.Heartbeat(transport.Envelope{From: "b", Body: canon.MustMarshal(heartbeat{"1", true, Boot{1},
			canon.MustMarshal(told{Version: toldVersion, Twins: []twins{x.said}})})})
		s.told("b", true, "") // silence of it ends nothing
		s.after(twiceFor - 1)
		if by, words := s.TwiceBy(); words != x.says || (x.says == "") != (by == nil) {
			t.Errorf("%s: by %v: %q", name, by, words)
		}
		if s.after(1); x.says != "" {
			if by, words := s.TwiceBy(); by != nil || words != "" {
				t.Errorf("%s, of long ago: %v %q", name, by, words)
			}
		}
	}
	s := newSeen()
	s.Sight = func(id transport.NodeID) (seen transport.Sight) {
		if id == "c" || id == "self" {
			seen = transport.Sight{Run: transport.Run{ID: Boot{3}}, Other: transport.Run{ID: Boot{4}}, Twice: s.now}
		}
		return seen
	}
	var x told
	if err := canon.UnmarshalVersion(s.Peers.beat(State{}).Told, toldVersion, &x); err != nil ||
		!slices.Equal(x.Twins, []twins{{3, [2]Boot{{3}, {4}}}}) {
		t.Errorf("we tell %+v, %v", x.Twins, err)
	}
}

// Goal: a node knows who hears it, and in which run; and says itself whom it hears. Method: peers that hear this run, another, none, and
// one of another version that does not say; then our own beat.
func TestHeardBy(t *testing.T) {
	x := newSeen()
	if by, others := x.HeardBy(); len(by) != 3 || others != "" {
		t.Errorf("of peers that do not say: %v, %q", by, others)
	}
	x.told("b", true, "", hearing{1, Boot{9}})
	x.told("c", true, "", hearing{1, Boot{8}}, hearing{2, Boot{9}})
	x.told("d", true, "")
	if by, others := x.HeardBy(); len(by) != 1 || others != "c hears another run of it, boot 08000000; d does not hear it" {
		t.Errorf("heard by %v, others: %q", by, others)
	}
	x.Heartbeat(transport.Envelope{From: "c", Body: canon.MustMarshal(heartbeat{"2", true, Boot{1}, []byte{0xa1, 1, 2}})})
	if by, _ := x.HeardBy(); len(by) != 2 {
		t.Errorf("a peer of another version is taken not to hear: %v", by)
	}
	x.after(liveFor, "b", "c")
	var told told
	if b := x.Peers.beat(State{Failing: []string{"token"}}); canon.UnmarshalVersion(b.Told, toldVersion, &told) != nil || b.Ready ||
		told.Failing != "token" || !slices.Equal(told.Hears, []hearing{{2, Boot{1}}, {3, Boot{1}}}) {
		t.Errorf("%+v: %+v", b, told)
	}
}

// Goal: a refresh that forgives a node awaits it although it is accused, and nobody else who is. Method: two who are accused.
func TestAwaitAllForgives(t *testing.T) {
	x := newSeen()
	x.Accuse("b", "a check")
	done, cancel := context.WithCancel(t.Context())
	cancel() // what it waits for is there, or never will be
	await := func(forgiven ...transport.NodeID) error {
		return x.AwaitAll(done, threshold.Committee{Parties: []threshold.PartyID{1, 2, 3}}, forgiven...)
	}
	if await() == nil || await("c") == nil {
		t.Error("one who is accused is awaited")
	}
	if err := await("b"); err != nil {
		t.Errorf("one who is forgiven: %v", err)
	}
	if x.Accuse("c", "a check"); await("b") == nil {
		t.Error("another who is accused is awaited")
	}
	x.Accuse("c", "")
	if x.after(liveFor, "c", "d"); await("b") == nil {
		t.Error("one who is forgiven and gone is not awaited")
	}
}

// Goal: what is said of another run may be of one that has ended for as long as a peer remembers and is remembered, and no longer. Method:
// the time since the first beat.
func TestYoung(t *testing.T) {
	x := newSeen()
	if x.Young() {
		t.Error("before it has spoken")
	}
	over, end := context.WithCancel(t.Context())
	end()
	x.Beat(over, func() State { return State{} })
	for after, young := range map[time.Duration]bool{0: true, 2*twiceFor - 1: true, 2 * twiceFor: false} {
		x.now = time.Unix(1000, 0).Add(after)
		if x.Young() != young {
			t.Errorf("after %s: %v", after, !young)
		}
	}
}

// Goal: a member of whom no notes are taken yet, as while a newer roster is taken up, was never heard. Method: a roster with one
// more node, before and after the notes.
func TestTroubleOfNew(t *testing.T) {
	x := newSeen()
	x.hall.Renew(hallOf("self", "b", "c", "d", "e").Members)
	for _, grown := range []bool{false, true} {
		if why, next := x.Trouble("e"); why != "was never heard" || next != "start it" {
			t.Errorf("with notes %v: %q, %q", grown, why, next)
		}
		x.Grow(x.hall.All())
	}
	x.Heard("e")
	if why, _ := x.Trouble("e"); why != "is starting" {
		t.Errorf("after it was heard: %q", why)
	}
}
