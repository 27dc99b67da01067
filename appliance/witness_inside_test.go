package appliance

import (
	"context"
	"crypto/ed25519"
	"encoding/asn1"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// witnessing is a node whose peers' tokens and identities a test has.
type witnessing struct {
	*inside
	t          *testing.T
	identities map[threshold.PartyID]ed25519.PrivateKey
	now        time.Time
	ahead      time.Duration // by which the node's clock is off
}

func newWitnessing(t *testing.T) *witnessing {
	x := &witnessing{inside: newInside(t), t: t, identities: map[threshold.PartyID]ed25519.PrivateKey{}, now: time.Now()}
	x.pin(func(n *attest.RosterNode) {
		_, x.identities[n.Party], _ = ed25519.GenerateKey(nil)
		n.Identity = attest.Hex(x.identities[n.Party].Public().(ed25519.PublicKey))
	})
	x.cfg.Self.Sign = func(m []byte) []byte { return ed25519.Sign(x.identities[x.members.SelfParty()], m) }
	began := x.now
	x.cfg.Clock = func() time.Time { return x.now.Add(x.ahead) }
	x.clock.run = func() time.Duration { return x.now.Sub(began) }
	return x
}

// party is the i-th of the committee, from 1.
func (x *witnessing) party(i int) threshold.PartyID { return x.world.Committee.Parties[i-1] }

func (x *witnessing) node(i int) transport.NodeID { return nodeOf(x.party(i)) }

// pin has the node use a roster in which each node is changed so.
func (x *witnessing) pin(change func(*attest.RosterNode)) {
	x.t.Helper()
	r := x.members.Roster().Roster
	r.Nodes = slices.Clone(r.Nodes)
	for i := range r.Nodes {
		change(&r.Nodes[i])
	}
	next, err := ceremony.NewMembers(&attest.SignedRoster{Roster: r}, x.cfg.Node)
	if err != nil {
		x.t.Fatal(err)
	}
	x.members.Renew(next)
}

// log is an audit log of a party's with so many entries, of which those from other on are others.
func (x *witnessing) log(p int, size, other int) *audit.Log {
	x.t.Helper()
	a, err := audit.Open(filepath.Join(x.t.TempDir(), "audit.log"), string(x.node(p)), func() time.Time { return time.UnixMilli(1) })
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { _ = a.Close() })
	x.grow(a, size, other)
	return a
}

func (x *witnessing) grow(a *audit.Log, size, other int) {
	x.t.Helper()
	for i := int(a.Len()); i < size; i++ {
		if err := a.Append(x.t.Context(), audit.Event{Name: "a", Facts: map[string]string{"other": fmt.Sprint(i >= other)}}); err != nil {
			x.t.Fatal(err)
		}
	}
}

// checkpoint has a party's token sign the head of a log; by is the use of the key.
func (x *witnessing) checkpoint(p int, by string, a *audit.Log) []byte {
	x.t.Helper()
	key := x.key(x.t, by, x.party(p))
	v, err := audit.NewVerifier("test", string(x.node(p)), key.Public)
	if err != nil {
		x.t.Fatal(err)
	}
	b, err := audit.SignHead(a.Head(), v, func(m []byte) ([]byte, error) { return x.tokens.Sign(context.Background(), key.ID, m) })
	if err != nil {
		x.t.Fatal(err)
	}
	return b
}

// tell has the node hear a peer, and returns its answers.
func (x *witnessing) tell(from int, b witnessBody) (out []witnessBody) {
	x.t.Helper()
	x.sent = nil
	b.Version = witnessVersion
	x.witness.learn(x.t.Context(), transport.Envelope{From: x.node(from), Kind: ceremony.KindWitness, Body: canon.MustMarshal(b)})
	for _, e := range x.sent {
		var w witnessBody
		if err := canon.UnmarshalVersion(e.Body, witnessVersion, &w); err != nil || !slices.Equal(e.To, []transport.NodeID{x.node(from)}) {
			x.t.Fatalf("%v to %v: %v", e.Kind, e.To, err)
		}
		out = append(out, w)
	}
	return out
}

// shows has a peer show a log, grown from so many entries, and tells what the node answers, in a word.
func (x *witnessing) shows(p int, a *audit.Log, from uint64) string {
	x.t.Helper()
	proof, err := a.Grown(from, a.Len())
	if err != nil {
		x.t.Fatal(err)
	}
	return x.said(x.tell(p, witnessBody{Checkpoint: x.checkpoint(p, "attest", a), From: from, Proof: proof}))
}

// anew has a peer show a log, which it says is another than the one that this node holds.
func (x *witnessing) anew(p int, a *audit.Log) string {
	x.t.Helper()
	return x.denies(p, a, x.witness.held[x.node(p)].Checkpoint)
}

// denies has a peer show a log, which it says is another than that of a checkpoint.
func (x *witnessing) denies(p int, a *audit.Log, has []byte) string {
	x.t.Helper()
	return x.said(x.tell(p, witnessBody{Checkpoint: x.checkpoint(p, "attest", a), Anew: true, Has: has}))
}

func (x *witnessing) said(bs []witnessBody) string {
	switch {
	case len(bs) == 0:
		return ""
	case len(bs[0].Cosigned) > 0:
		return "cosigned"
	case len(bs[0].Has) > 0:
		return "has"
	}
	return "what?"
}

// Goal: a node cosigns a log that has grown from what it has cosigned, and one that has not only when that is on record, with what it had
// before, for good; a node that does not know what was cosigned is told and convicted of nothing. Method: each in turn, by one who has the
// peer's token; then the same again at once, and what is stored.
func TestWitnessJudges(t *testing.T) {
	for name, row := range map[string]struct {
		show func(x *witnessing) string
		said string
		bad  bool
	}{
		"again":                    {func(x *witnessing) string { return x.shows(2, x.log(2, 10, 99), 0) }, "cosigned", false},
		"grown":                    {func(x *witnessing) string { return x.shows(2, x.log(2, 20, 99), 10) }, "cosigned", false},
		"grown, from what is not":  {func(x *witnessing) string { return x.shows(2, x.log(2, 20, 99), 5) }, "has", false},
		"grown, from nothing":      {func(x *witnessing) string { return x.shows(2, x.log(2, 20, 99), 0) }, "has", false},
		"shorter":                  {func(x *witnessing) string { return x.shows(2, x.log(2, 5, 99), 0) }, "has", false},
		"rewritten, from nothing":  {func(x *witnessing) string { return x.shows(2, x.log(2, 20, 3), 0) }, "has", false},
		"rewritten, of that size":  {func(x *witnessing) string { return x.shows(2, x.log(2, 10, 3), 0) }, "cosigned", true},
		"rewritten, its own proof": {func(x *witnessing) string { return x.shows(2, x.log(2, 20, 3), 10) }, "cosigned", true},
		"shorter, and says so":     {func(x *witnessing) string { return x.anew(2, x.log(2, 5, 99)) }, "cosigned", true},
		"the same, and says so":    {func(x *witnessing) string { return x.anew(2, x.log(2, 10, 99)) }, "cosigned", false},
		"by another's token": {func(x *witnessing) string {
			return x.said(x.tell(2, witnessBody{Checkpoint: x.checkpoint(3, "attest", x.log(3, 20, 99))}))
		}, "", false},
		"by another key": {func(x *witnessing) string {
			return x.said(x.tell(2, witnessBody{Checkpoint: x.checkpoint(2, "cosign", x.log(2, 20, 99))}))
		}, "", false},
		"a proof too long": {func(x *witnessing) string {
			a := x.log(2, 20, 99)
			return x.said(x.tell(2, witnessBody{Checkpoint: x.checkpoint(2, "attest", a), From: 10, Proof: make([][32]byte, proofMax+1)}))
		}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			x := newWitnessing(t)
			if said := x.shows(2, x.log(2, 10, 99), 0); said != "cosigned" {
				t.Fatalf("the first: %s", said)
			}
			if said := row.show(x); said != row.said {
				t.Errorf("it says %q, want %q", said, row.said)
			}
			restarted := newWitness(&x.core)
			if err := restarted.load(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, w := range []*witness{x.witness, restarted} {
				if why := w.broke(x.node(2)); (why != "") != row.bad || row.bad && !strings.Contains(why, "from the 10 entries") {
					t.Errorf("broke: %q", why)
				}
			}
			if all, _ := x.witness.Checkpoints(t.Context()); entries(all[len(all)-1].Before) != map[bool]uint64{true: 10}[row.bad] {
				t.Errorf("what it had before is not shown: %+v", all)
			}
			if row.bad && x.anew(2, x.log(2, 7, 1)) != "" {
				t.Error("broken again within a minute")
			}
			if on := x.events(t); row.bad != slices.Contains(on, "witness.rewritten") || !slices.Contains(on, "witness.begin") {
				t.Errorf("on record: %v", on)
			}
			x.pin(x.renew)
			if said := x.said(x.tell(2, witnessBody{Checkpoint: x.checkpoint(2, "cosign", x.log(2, 1, 99))})); said != "cosigned" {
				t.Errorf("enrolled with another key: %s", said)
			}
			if why := x.witness.broke(x.node(2)); why != "" {
				t.Errorf("enrolled with another key: %s", why)
			}
		})
	}
}

// renew gives node2 its cosign key to attest by, as another enrolment would.
func (x *witnessing) renew(n *attest.RosterNode) {
	if n.Party == x.party(2) {
		n.AttestKey = n.CosignKey
	}
}

func entries(checkpoint []byte) uint64 {
	h, _ := audit.HeadIn(checkpoint)
	return h.Size
}

// Goal: that a log was rewritten stays known when it grows on from there, which it may. Method: a log that did not grow on, and then does.
func TestBrokenStays(t *testing.T) {
	x := newWitnessing(t)
	x.shows(2, x.log(2, 10, 99), 0)
	other := x.log(2, 20, 3)
	x.shows(2, other, 10)
	x.grow(other, 25, 3)
	if said, why := x.shows(2, other, 20), x.witness.broke(x.node(2)); said != "cosigned" || !strings.Contains(why, "from the 10 entries") {
		t.Errorf("%s, %q", said, why)
	}
	x.now = x.now.Add(witnessBreak)
	said, had := x.anew(2, x.log(2, 7, 1)), x.witness.held[x.node(2)].Before
	if said != "cosigned" || entries(had) != 10 {
		t.Errorf("%s, rewritten once more it has rid itself of the first: %d entries are kept", said, entries(had))
	}
}

// Goal: a log that was put back is blamed once, also where the answer to it is lost and the node says once more that its log is another:
// that one is held by now, and has grown. Method: logs of other lengths and of the same, whose cosignature does not arrive; both sides.
func TestLostAnswerBlamesNobody(t *testing.T) {
	for _, size := range []int{20, 10, 5} {
		x := newWitnessing(t)
		x.shows(2, x.log(2, 10, 99), 0)
		first := x.witness.held[x.node(2)].Checkpoint
		other := x.log(2, size, 3)
		if said := x.denies(2, other, first); said != "cosigned" {
			t.Fatalf("put back: %s", said)
		}
		x.now = x.now.Add(witnessBreak + time.Second)
		broke := x.witness.broke(x.node(2))
		x.grow(other, 25, 3)
		for what, has := range map[string][]byte{"again": first, "of nothing": nil, "of junk": []byte("junk")} {
			if said := x.denies(2, other, has); said != "has" {
				t.Errorf("%d entries, %s: %s", size, what, said)
			}
		}
		if said, why := x.shows(2, other, uint64(size)), x.witness.broke(x.node(2)); said != "cosigned" || why != broke {
			t.Errorf("%d entries, grown: %s, %s", size, said, why)
		}
	}

	x := newWitnessing(t)
	x.grow(x.cfg.AuditLog, 5, 99)
	had := x.checkpoint(1, "attest", x.cfg.AuditLog)
	x.grow(x.cfg.AuditLog, 9, 99)
	if err := x.cfg.AuditLog.KeepCheckpoint(x.checkpoint(1, "attest", x.cfg.AuditLog)); err != nil {
		t.Fatal(err)
	}
	x.beat()
	lost := x.checkpoint(1, "attest", x.log(1, 30, 0))
	if out := x.tell(2, witnessBody{Has: x.cosigned(2, 2, lost)}); len(out) != 1 || !out[0].Anew || string(out[0].Has) != string(lost) {
		t.Errorf("of another log: %+v", out)
	}
	if out := x.tell(2, witnessBody{Has: had}); len(out) != 1 || out[0].Anew || out[0].From != 5 || len(out[0].Proof) == 0 {
		t.Errorf("then of this one: %+v", out)
	}
	lost = x.checkpoint(1, "attest", x.log(1, 31, 0))
	if out := x.tell(2, witnessBody{Has: lost}); len(out) != 1 || !out[0].Anew || string(out[0].Has) != string(lost) {
		t.Errorf("of another one more: %+v", out)
	}
}

// Goal: a peer has this node judge so many checkpoints a minute and no more. Method: one more, and a minute later.
func TestWitnessIsAsked(t *testing.T) {
	x := newWitnessing(t)
	a := x.log(2, 10, 99)
	for range witnessMinute {
		if x.shows(2, a, 0) != "cosigned" {
			t.Fatal("it is not judged")
		}
	}
	if x.shows(2, a, 0) != "" || x.shows(3, x.log(3, 1, 99), 0) != "cosigned" {
		t.Error("one more is judged, or another's is not")
	}
	if x.now = x.now.Add(time.Minute); x.shows(2, a, 0) != "cosigned" {
		t.Error("a minute later it is not judged")
	}
}

// Goal: what a node cosigns is stored before it leaves. Method: a store that fails.
func TestWitnessStoresFirst(t *testing.T) {
	x := newWitnessing(t)
	x.cfg.Store = unwritten{x.cfg.Store}
	if said := x.shows(2, x.log(2, 10, 99), 0); said != "" {
		t.Errorf("unstored: %s", said)
	}
}

// Goal: a member has this node write no more of its log than a log that grows once a minute takes: neither the same again and again, each
// time with other lines, nor so many others, nor what it says of ours. Method: one who has its token, and counts what is written.
func TestWitnessWritesLittle(t *testing.T) {
	x := newWitnessing(t)
	store := &counted{Store: x.cfg.Store}
	x.cfg.Store = store
	a := x.log(2, 10, 99)
	for _, more := range []string{"more\n", "\u009b2J\u202e\n", "\n", "more"} {
		if said := x.said(x.tell(2, witnessBody{Checkpoint: x.lines(2, a, more)})); said != "" {
			t.Errorf("with further lines %q: %s", more, said)
		}
	}
	for minute := range 8 {
		for range 20 {
			if x.shows(2, a, 10) != "cosigned" {
				t.Fatal("the same is not cosigned again")
			}
		}
		if want := 1 + minute/4; len(store.puts) != want {
			t.Errorf("after minute %d the same is written %d times, want %d", minute, len(store.puts), want)
		}
		x.now = x.now.Add(time.Minute)
	}
	for i := range 2 * witnessStored {
		size := a.Len()
		x.grow(a, int(size)+1, 99)
		if said := x.shows(2, a, size); (said == "cosigned") != (i < witnessStored) {
			t.Errorf("the one after %d of a minute: %q", i, said)
		}
	}
	for _, put := range store.puts {
		if len(put.Value) > 1<<10 {
			t.Errorf("it is of %d bytes", len(put.Value))
		}
	}
}

// Goal: a peer has this node write a checkpoint of its own no more often than it shows it. Method: cosignatures of one, of several times.
func TestCosignaturesAreKeptOnce(t *testing.T) {
	x := newWitnessing(t)
	x.grow(x.cfg.AuditLog, 5, 99)
	signed := x.checkpoint(1, "attest", x.cfg.AuditLog)
	if err := x.cfg.AuditLog.KeepCheckpoint(signed); err != nil {
		t.Fatal(err)
	}
	x.beat()
	x.tell(2, witnessBody{Cosigned: x.cosigned(2, 2, signed)})
	first := string(x.cfg.AuditLog.Checkpoint())
	x.now = x.now.Add(time.Second)
	x.tell(2, witnessBody{Cosigned: x.cosigned(2, 2, signed)})
	if string(x.cfg.AuditLog.Checkpoint()) != first || !x.witness.last.Equal(x.clock.ran()) {
		t.Errorf("written again, or not taken: last %s", x.witness.last)
	}
	x.now = x.now.Add(witnessKept)
	x.tell(2, witnessBody{Cosigned: x.cosigned(2, 2, signed)})
	if string(x.cfg.AuditLog.Checkpoint()) == first {
		t.Error("not written any more")
	}
}

// lines is a checkpoint of a party's with so much more after its three lines.
func (x *witnessing) lines(p int, a *audit.Log, more string) []byte {
	x.t.Helper()
	plain, key := x.checkpoint(p, "attest", a), x.key(x.t, "attest", x.party(p))
	v, err := audit.NewVerifier("test", string(x.node(p)), key.Public)
	if err != nil {
		x.t.Fatal(err)
	}
	sign := func(m []byte) ([]byte, error) { return x.tokens.Sign(context.Background(), key.ID, m) }
	b, err := note.Sign(&note.Note{Text: textOf(plain) + "\n" + strings.TrimSuffix(more, "\n") + "\n"}, byToken{v, sign})
	if err != nil {
		x.t.Fatal(err)
	}
	return b
}

// byToken signs notes as a node's token does.
type byToken struct {
	audit.Verifier
	sign func([]byte) ([]byte, error)
}

func (s byToken) Sign(m []byte) ([]byte, error) {
	raw, err := s.sign(m)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])})
}

// counted keeps what is written to a store.
type counted struct {
	vault.Store
	puts []vault.Pair
}

func (c *counted) Batch(ctx context.Context, puts []vault.Pair, deletes [][]byte) error {
	c.puts = append(c.puts, puts...)
	return c.Store.Batch(ctx, puts, deletes)
}

// unwritten is a store that cannot be written.
type unwritten struct{ vault.Store }

func (unwritten) Batch(context.Context, []vault.Pair, [][]byte) error {
	return errors.New("the disk is full")
}

// Goal: a node that was witnessed and then shows nothing is acted with no more, until it does; one that never was is. Method: the clock.
func TestWitnessAges(t *testing.T) {
	x := newWitnessing(t)
	a := x.log(2, 10, 99)
	x.shows(2, a, 0)
	unfit := func() bool {
		two, _ := x.witness.unfit(x.node(2))
		three, _ := x.witness.unfit(x.node(3))
		if three != "" {
			t.Errorf("who was never witnessed: %s", three)
		}
		return two != ""
	}
	keys := map[threshold.PartyID]attest.Hex{}
	x.pin(func(n *attest.RosterNode) { keys[n.Party] = n.AttestKey })
	x.now = x.now.Add(witnessAge)
	if unfit() {
		t.Error("too early")
	}
	x.now = x.now.Add(time.Second)
	if !unfit() {
		t.Error("never")
	}
	if x.peers.Usable(x.node(2)) {
		t.Error("it is chosen")
	}
	x.pin(x.renew)
	if unfit() {
		t.Error("enrolled with another key")
	}
	x.pin(func(n *attest.RosterNode) { n.AttestKey = keys[n.Party] })
	if x.shows(2, a, 10); unfit() {
		t.Error("shown again")
	}
}

// Goal: who is not heard is missing, however long ago its log was witnessed, as where all nodes start after a power cut: that is said of
// it, of its log and to who proposes with it, and it is acted with no more than before. Who is heard, and shows nothing, is said to; so it
// is with who witnesses this node's own. Method: three nodes of which two were witnessed long ago, and one is heard.
func TestMissingIsNotSuspected(t *testing.T) {
	x := newWitnessing(t)
	for _, p := range []int{2, 3} {
		x.shows(p, x.log(p, 10, 99), 0)
	}
	x.witness.last, x.now = x.clock.ran(), x.now.Add(witnessAge+time.Second)
	const alone = "no other node has witnessed this node's audit log for 15m1s"
	if why, next := x.witness.own(); why != alone || next != "start the missing nodes: none is heard" {
		t.Errorf("its own, alone: %q, %q", why, next)
	}
	x.peers.Heard(x.node(3))
	const see = "see that others hear it, that its token signs, and that its audit log can be read (`mpcd audit verify`)"
	if why, next := x.witness.own(); why != alone || next != see {
		t.Errorf("its own: %q, %q", why, next)
	}
	shown, after := "has not shown for 15m1s that its audit log has only grown", "wait a minute; then see its log, and that it runs "+
		"the release that this node runs"
	for p, row := range map[int]struct{ why, next string }{2: {"was never heard", "start it"}, 3: {shown, after}} {
		if why, next := x.witness.unfit(x.node(p)); why != row.why || next != row.next {
			t.Errorf("%d, of a proposal with it: %q, %q", p, why, next)
		}
		if why, next := x.peers.Trouble(x.node(p)); why != row.why || next != row.next {
			t.Errorf("%d: %q, %q", p, why, next)
		}
		if x.peers.Usable(x.node(p)) {
			t.Errorf("%d is chosen", p)
		}
	}
	all, _ := x.witness.Checkpoints(t.Context())
	for _, c := range all {
		if want := map[transport.NodeID]string{x.node(2): "was never heard", x.node(3): shown}[c.Node]; c.Trouble != want {
			t.Errorf("of the log of %s: %q", c.Node, c.Trouble)
		}
	}
}

// Goal: a member that is heard and never shows its audit log is told of, and acted with; one that shows it, or is not heard for long, is
// not told of; one whose log is held of a key that it has no more is. Method: beats, by the clock.
func TestNeverShownIsTold(t *testing.T) {
	x := newWitnessing(t)
	logged := &strings.Builder{}
	x.cfg.Logger = slog.New(slog.NewTextHandler(logged, nil))
	told := func(p int) bool {
		for _, s := range x.Nodes() {
			if s.ID == x.node(p) {
				return strings.Contains(s.Trouble, "has never shown its audit log")
			}
		}
		return false
	}
	minutes := func(n int) {
		for range n {
			x.now = x.now.Add(time.Minute)
			x.beat()
		}
	}
	x.beat()
	x.shows(2, x.log(2, 10, 99), 0)
	minutes(14)
	x.now = x.now.Add(24 * time.Hour) // the clock was put
	x.beat()
	x.witness.due(x.node(3), false, "", x.clock.ran())
	x.now = x.now.Add(24 * time.Hour)
	x.beat()
	if told(2) || told(3) {
		t.Errorf("too early, or for days in which it was not heard: %v, %v", told(2), told(3))
	}
	minutes(2)
	if told(2) || !told(3) || strings.Count(logged.String(), "does not have its audit log witnessed") != 1 {
		t.Errorf("shown: told %v; never shown: told %v; %s", told(2), told(3), logged)
	}
	if why, _ := x.witness.unfit(x.node(3)); why != "" {
		t.Errorf("it is left out: %s", why)
	}
	x.pin(x.renew)
	if !told(2) {
		t.Error("what is held of another key counts")
	}
	if x.shows(3, x.log(3, 1, 99), 0); told(3) {
		t.Error("shown at last, it is told of")
	}
}

// Goal: a node whose own log nobody witnesses any more releases no share, nor one that others have witnessed as another; a cosignature that
// is of another checkpoint, or of nobody's, counts for nothing. Method: the clock; what peers say of its log.
func TestWitnessedOurselves(t *testing.T) {
	for name, row := range map[string]struct {
		then func(x *witnessing, signed []byte)
		bad  bool
	}{
		"lately": {func(x *witnessing, _ []byte) { x.now = x.now.Add(witnessAge) }, false},
		"not":    {func(x *witnessing, _ []byte) { x.now = x.now.Add(witnessAge + time.Second) }, true},
		"again": {func(x *witnessing, signed []byte) {
			x.now = x.now.Add(witnessAge + time.Second)
			x.tell(3, witnessBody{Cosigned: x.cosigned(3, 3, signed)})
		}, false},
		"by another than who says so": {func(x *witnessing, signed []byte) {
			x.now = x.now.Add(witnessAge + time.Second)
			x.tell(3, witnessBody{Cosigned: x.cosigned(2, 2, signed)})
		}, true},
		"by a key that is not its own": {func(x *witnessing, signed []byte) {
			x.now = x.now.Add(witnessAge + time.Second)
			x.tell(3, witnessBody{Cosigned: x.cosigned(3, 2, signed)})
		}, true},
		"an older one": {func(x *witnessing, signed []byte) {
			x.grow(x.cfg.AuditLog, int(x.cfg.AuditLog.Len())+1, 99)
			_ = x.cfg.AuditLog.KeepCheckpoint(x.checkpoint(1, "attest", x.cfg.AuditLog))
			x.now = x.now.Add(witnessAge + time.Second)
			x.beat()
			x.tell(3, witnessBody{Cosigned: x.cosigned(3, 3, signed)})
		}, true},
		"as it is": {func(x *witnessing, signed []byte) { x.saysAnew(2, x.cosigned(2, 2, signed), false) }, false},
		"as another": {func(x *witnessing, _ []byte) {
			x.saysAnew(2, x.checkpoint(1, "attest", x.log(1, 3, 0)), true)
		}, false},
		"as a longer one": {func(x *witnessing, _ []byte) {
			x.saysAnew(2, x.checkpoint(1, "attest", x.log(1, 300, 99)), true)
		}, false},
		"as another, by another key": {func(x *witnessing, _ []byte) {
			x.saysAnew(2, x.checkpoint(1, "cosign", x.log(1, 3, 0)), false)
		}, false},
		"as another, by another's token": {func(x *witnessing, _ []byte) {
			x.saysAnew(2, x.checkpoint(2, "attest", x.log(2, 3, 0)), false)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			x := newWitnessing(t)
			if err := x.witness.refuses(); err != nil {
				t.Errorf("before anybody has: %v", err)
			}
			x.grow(x.cfg.AuditLog, 5, 99)
			signed := x.checkpoint(1, "attest", x.cfg.AuditLog)
			if err := x.cfg.AuditLog.KeepCheckpoint(signed); err != nil {
				t.Fatal(err)
			}
			x.beat()
			x.tell(2, witnessBody{Cosigned: x.cosigned(2, 2, signed)})
			if kept := string(x.cfg.AuditLog.Checkpoint()); !strings.Contains(kept, "mpcd/test/"+string(x.node(2))+"/witness") {
				t.Errorf("kept is %s", kept)
			}
			row.then(x, signed)
			if err := x.gate.stopped(passage{intent: &attest.Intent{}}); (err != nil) != row.bad || x.witness.check().OK == row.bad {
				t.Errorf("%v", err)
			}
		})
	}
}

// Goal: a node that cannot read its own log does not say that it is another, which the others would have on record for good; it says
// nothing, and when the disk is well shows that it has grown. Method: a flipped byte inside a block that is whole, for a while.
func TestUnreadIsNotLost(t *testing.T) {
	x := newWitnessing(t)
	path := filepath.Join(t.TempDir(), "audit.log")
	a, err := audit.Open(path, string(x.cfg.Node), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	x.cfg.AuditLog = a
	x.grow(a, 100, 999)
	had := x.checkpoint(1, "attest", a)
	x.grow(a, 300, 999)
	if err := a.KeepCheckpoint(x.checkpoint(1, "attest", a)); err != nil {
		t.Fatal(err)
	}
	x.beat()
	flip := func() {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, 5000); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{b[0] ^ 1}, 5000); err != nil {
			t.Fatal(err)
		}
	}
	var log strings.Builder
	x.cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	flip()
	for range 2 {
		if out := x.tell(2, witnessBody{Has: had}); len(out) != 0 {
			t.Errorf("unread, it says that it is another, %v, with a proof of %d hashes", out[0].Anew, len(out[0].Proof))
		}
	}
	if said := "this node's own audit log cannot be read, and so not be shown to another"; !strings.Contains(log.String(), said) {
		t.Errorf("unread, its log does not say so: %s", log.String())
	}
	flip()
	if out := x.tell(2, witnessBody{Has: had}); len(out) != 1 || out[0].Anew || out[0].From != 100 || len(out[0].Proof) == 0 {
		t.Errorf("read again: %+v", out)
	}
}

// Goal: what a node did before its log was put back may be gone, and nothing that it does after; of a node's own log that is known only
// when another has said which it has witnessed. Method: a peer that shows another log; one that has witnessed another of ours, and one that
// has witnessed ours.
func TestLostSince(t *testing.T) {
	x := newWitnessing(t)
	at := x.now.UnixMilli()
	lost := func(when string, p int, at int64, want, sure bool) {
		t.Helper()
		if got, known := x.witness.lostSince(x.node(p), at); got != want || known != sure {
			t.Errorf("%s: lost %v, known %v", when, got, known)
		}
	}
	lost("a peer that has shown nothing", 2, at, false, true)
	x.shows(2, x.log(2, 10, 99), 0)
	lost("a peer whose log has grown", 2, at, false, true)
	if said := x.anew(2, x.log(2, 12, 3)); said != "cosigned" {
		t.Fatal(said)
	}
	lost("before it was put back", 2, at, true, true)
	lost("after", 2, at+1, false, true)
	lost("another peer", 3, at, false, true)
	lost("this node, before anybody has said", 1, at, false, false)
	had := x.checkpoint(1, "attest", x.log(1, 20, 5))
	x.grow(x.cfg.AuditLog, 5, 99)
	signed := x.checkpoint(1, "attest", x.cfg.AuditLog)
	if err := x.cfg.AuditLog.KeepCheckpoint(signed); err != nil {
		t.Fatal(err)
	}
	x.beat()
	lost("shown, and nobody has said", 1, at, false, false)
	x.tell(2, witnessBody{Cosigned: x.cosigned(2, 2, signed)})
	lost("another has witnessed it", 1, at, false, true)
	forgetful := func(when string, want ...bool) {
		t.Helper()
		for i, want := range want {
			if got := x.witness.forgetful(x.node(i + 1)); got != want {
				t.Errorf("%s, %s is forgetful: %v", when, x.node(i+1), got)
			}
		}
	}
	forgetful("a peer was put back", false, true, false)
	x.tell(3, witnessBody{Has: had})
	lost("a third has witnessed another", 1, at, true, true)
	forgetful("this node, too", true, true, false)
	x.tell(2, witnessBody{Cosigned: x.cosigned(2, 2, signed)})
	x.now = x.now.Add(attest.MaxInitiation - time.Millisecond) // dates are stored in whole ones
	forgetful("while what was signed before may last", true, true, false)
	x.witness = newWitness(&x.core)
	if err := x.witness.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	forgetful("after a restart", true, true, false)
	x.now = x.now.Add(2 * time.Millisecond)
	forgetful("once it has expired", false, false, false)
}

// saysAnew tells the node that a peer has a checkpoint of its log, and wants it to say that its log is another, or not: to the peer, in its
// check, which the doctor warns of, in its own row and of its own log.
func (x *witnessing) saysAnew(from int, has []byte, want bool) {
	x.t.Helper()
	said := slices.ContainsFunc(x.tell(from, witnessBody{Has: has}), func(b witnessBody) bool { return b.Anew })
	if said != want {
		x.t.Errorf("it says that its log is another: %v", said)
	}
	c, lost := x.witness.check(), fmt.Sprintf("%s has witnessed an audit log of this node, of ", x.node(from))
	told := strings.HasPrefix(c.Detail, lost) && strings.HasSuffix(c.Detail, "that is not the one that is here")
	if !c.OK || told != want || strings.HasPrefix(c.Next, "start it on its newest data directory") != want {
		x.t.Errorf("its check: %+v", c)
	}
	if own := x.Nodes()[0]; !own.Self || strings.Contains(own.Trouble, lost) != want {
		x.t.Errorf("its row: %q", own.Trouble)
	}
	if logs, _ := x.witness.Checkpoints(x.t.Context()); strings.HasPrefix(logs[0].Trouble, lost) != want {
		x.t.Errorf("its log: %q", logs[0].Trouble)
	}
}

// beat has the node show its log to all, who are heard.
func (x *witnessing) beat() {
	for _, p := range []int{2, 3} {
		x.peers.Heard(x.node(p))
	}
	x.witness.tend(func(f func()) { f() })
}

// cosigned is a checkpoint of ours with the cosignature of a party, by a key.
func (x *witnessing) cosigned(p, by int, b []byte) []byte {
	x.t.Helper()
	v, _, _, err := x.witness.of(x.cfg.Node)
	if err != nil {
		x.t.Fatal(err)
	}
	_, _, w, err := x.witness.of(x.node(p))
	if err != nil {
		x.t.Fatal(err)
	}
	out, err := audit.Cosign(b, v, w, x.now, func(m []byte) []byte { return ed25519.Sign(x.identities[x.party(by)], m) }, nil)
	if err != nil {
		x.t.Fatal(err)
	}
	return out
}

// Goal: that a log was witnessed in a run before is remembered, though a node that stops leaves a checkpoint that nobody has cosigned, and
// is written once in four minutes; a clock that was ahead then does not have it count for longer. Method: cosignatures, a stop, a start.
func TestWitnessedBefore(t *testing.T) {
	for _, ahead := range []time.Duration{0, 24 * time.Hour} {
		x := newWitnessing(t)
		store := &counted{Store: x.cfg.Store}
		x.cfg.Store = store
		begun := newWitness(&x.core)
		if err := begun.load(t.Context()); err != nil || begun.refuses() != nil {
			t.Errorf("never witnessed: %v, %v", err, begun.refuses())
		}
		x.grow(x.cfg.AuditLog, 5, 99)
		signed := x.checkpoint(1, "attest", x.cfg.AuditLog)
		if err := x.cfg.AuditLog.KeepCheckpoint(signed); err != nil {
			t.Fatal(err)
		}
		x.ahead = ahead
		x.beat()
		for _, p := range []int{2, 3} {
			x.tell(p, witnessBody{Cosigned: x.cosigned(p, p, signed)})
		}
		x.ahead = 0
		if len(store.puts) != 1 {
			t.Errorf("it is written %d times", len(store.puts))
		}
		x.grow(x.cfg.AuditLog, 6, 99)
		if err := x.cfg.AuditLog.KeepCheckpoint(x.checkpoint(1, "attest", x.cfg.AuditLog)); err != nil {
			t.Fatal(err)
		}

		again := newWitness(&x.core)
		if err := again.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if again.refuses() != nil || len(again.held) != 0 {
			t.Errorf("ahead by %s: at once %v; held is %v", ahead, again.refuses(), again.held)
		}
		if x.now = x.now.Add(witnessAge + time.Second); again.refuses() == nil || again.check().OK {
			t.Errorf("ahead by %s: after a restart it is not missed that nobody witnesses the log", ahead)
		}
	}
}

// Goal: a clock that was ahead exempts nobody, in that run or the next: neither a member from showing its log nor others from witnessing
// this node's; nor does it keep what is shown, written and said from going on. Method: a node whose clock is 401 days ahead while both are
// witnessed, and one is rewritten, and then right; the same node started again.
func TestClockAheadExemptsNobody(t *testing.T) {
	x := newWitnessing(t)
	x.grow(x.cfg.AuditLog, 5, 99)
	signed := x.checkpoint(1, "attest", x.cfg.AuditLog)
	if err := x.cfg.AuditLog.KeepCheckpoint(signed); err != nil {
		t.Fatal(err)
	}
	x.ahead = 401 * day
	x.beat()
	x.tell(2, witnessBody{Cosigned: x.cosigned(2, 2, signed)})
	for p, logs := range map[int][]*audit.Log{2: {x.log(2, 10, 99)}, 3: {x.log(3, 10, 99), x.log(3, 10, 3)}} {
		for _, a := range logs {
			if said := x.shows(p, a, 0); said != "cosigned" {
				t.Fatalf("%d: %s", p, said)
			}
		}
	}
	x.ahead = 0
	again := newWitness(&x.core)
	if err := again.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := x.witness
	for _, w := range []*witness{first, again} {
		all, _ := w.Checkpoints(t.Context())
		for _, c := range all {
			if c.Witnessed.Sub(x.now).Abs() > time.Second {
				t.Errorf("%s is said to be witnessed at %s", c.Node, c.Witnessed)
			}
		}
		if x.witness = w; x.anew(3, x.log(3, 7, 1)) != "" {
			t.Error("broken again within a minute")
		}
	}
	x.now = x.now.Add(witnessAge + time.Second)
	for run, w := range map[string]*witness{"the same run": first, "the next": again} {
		if why, _ := w.unfit(x.node(2)); why == "" {
			t.Errorf("%s: who shows nothing is acted with", run)
		}
		if w.refuses() == nil {
			t.Errorf("%s: it is not missed that nobody witnesses this node", run)
		}
		x.witness, x.sent = w, nil
		if x.beat(); len(x.sent) != 2 {
			t.Errorf("%s: its log is shown to %d of 2", run, len(x.sent))
		}
		if said := x.anew(3, x.log(3, 7, 1)); said != "cosigned" {
			t.Errorf("%s: rewritten once more, which is not put on record: %q", run, said)
		}
	}
}

// Goal: no party acts with a node whose log it has not witnessed lately, whoever asks it to: neither as coordinator nor as a signer.
// Method: proposals by it and with it, when it was witnessed and too late.
func TestUnfitIsRefused(t *testing.T) {
	x := newWitnessing(t)
	x.shows(2, x.log(2, 10, 99), 0)
	for late, want := range map[bool]problem.Code{false: problem.Invalid, true: problem.Starting} {
		if late {
			x.now = x.now.Add(witnessAge + time.Second)
		} else {
			x.now = time.UnixMilli(x.witness.held[x.node(2)].At)
		}
		for from, signers := range map[int][]threshold.PartyID{2: {x.party(1), x.party(3)}, 3: {x.party(1), x.party(2)}} {
			p := &proposal{Version: proposalVersion, Operation: attest.OpSign, Intents: [][]byte{{1}}, Signers: signers,
				Boots: x.peers.Boots(x.members.Nodes(signers))}
			if _, err := x.judgeProposal(p, x.node(from)); err == nil || problem.As(err).Code != want {
				t.Errorf("by node %d, late %v: %v", from, late, err)
			}
		}
	}
}

// Goal: what a node says of itself is not lost, nor is what was asked of keys, which all know that have made them. Method: what nodes say
// that they have agreed to, under one that was put back.
func TestLostIsOfSignatures(t *testing.T) {
	x := newWitnessing(t)
	x.shows(2, x.log(2, 10, 99), 0)
	x.anew(2, x.log(2, 12, 3))
	use := &operation.Use{Coordinator: string(x.node(2)), At: x.now.UnixMilli()}
	for _, row := range []struct {
		op   attest.Operation
		from int
		lost bool
	}{{attest.OpSign, 3, true}, {attest.OpSign, 2, false}, {attest.OpRefresh, 3, false}, {attest.OpKeygen, 3, false}} {
		err, known := (&others{core: &x.core, witness: x.witness}).lost(asks{op: row.op, session: "s"},
			[]heard{{x.node(3), said{}}, {x.node(row.from), said{Use: use}}})
		if (err != nil) != row.lost || !known || row.lost && !reused(err) {
			t.Errorf("%s, says %s: %v", row.op, x.node(row.from), err)
		}
	}
}
