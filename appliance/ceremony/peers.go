package ceremony

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// Liveness: a hint for choosing quorums, never a proof of anything.
const (
	beatEvery  = time.Second
	firstBeat  = 25 * time.Millisecond // the first beats follow each other quickly: routes form while a node boots
	liveFor    = 3500 * time.Millisecond
	versionMax = 64 // bytes
	failingMax = 64 // bytes

	// A peer that was silent in a ceremony is chosen last for suspectFor, and twice as long each time it is silent again, up to suspectMax.
	// Every suspectMax without silence halves that.
	suspectFor = 5 * time.Second
	suspectMax = 5 * time.Minute

	// twiceFor is how long a node counts as running twice after both runs were last heard.
	twiceFor = 10 * time.Second
)

// TwiceLasts is for how long at most a node is told that it runs twice after one of the runs has ended: what a peer notices counts for
// twiceFor, and what it says of it for as long.
const TwiceLasts = 2 * twiceFor

// LateFor is how long a party waits for what it may only not have heard yet: a peer's new run, or its own end of a ceremony that
// others have already ended.
const LateFor = 2 * time.Second

// Boot names one run of a node. A proposal names the boots it is for, because a node that was restarted has forgotten which
// ceremonies it was in: were it to join one again, its two OPENs would convict it of equivocation.
type Boot [16]byte

type heartbeat struct {
	Version string `cbor:"1,keyasint"`
	Ready   bool   `cbor:"2,keyasint"`
	Boot    Boot   `cbor:"3,keyasint"`
	Told    []byte `cbor:"4,keyasint,omitempty"` // a told; what a node of another version tells is not read
}

// told is what a node tells of itself beside that it lives.
type told struct {
	Version uint8     `cbor:"1,keyasint"`
	Failing string    `cbor:"2,keyasint,omitempty"` // the checks that fail, where it is not ready
	Hears   []hearing `cbor:"3,keyasint,omitempty"` // the peers it hears
	Serial  uint64    `cbor:"4,keyasint,omitempty"` // of its roster
	// Authority is the serial of its authority, Digest what names that one.
	Authority uint64      `cbor:"5,keyasint,omitempty"`
	Digest    attest.Hash `cbor:"6,keyasint"`
	// Twins are the members that run twice, as it hears: two runs of one node may hear nothing of each other.
	Twins []twins `cbor:"7,keyasint,omitempty"`
}

// twins are two runs of a node that are heard at once.
type twins struct {
	Party threshold.PartyID `cbor:"1,keyasint"`
	Runs  [2]Boot           `cbor:"2,keyasint"`
}

const toldVersion = 2 // 1 has no Digest

// hearing is that a peer is heard, in which of its runs.
type hearing struct {
	Party threshold.PartyID `cbor:"1,keyasint"`
	Boot  Boot              `cbor:"2,keyasint"`
}

// State is what a node tells the others of itself.
type State struct {
	Ready   bool     // it can sign, as far as it depends on itself
	Failing []string // the names of the checks that fail
	// Authority is the serial of the authority in force, 0 for none, and Digest its digest.
	Authority uint64
	Digest    attest.Hash
}

// Peers is what this node noticed of the others since it started. It is safe for concurrent use.
type Peers struct {
	// Sight is what the transport noticed of a node, ourselves among them. It is set before the first envelope.
	Sight func(transport.NodeID) transport.Sight
	// NotForUs counts what came in members' names and was for others. It is set before the first beat; nil counts nothing.
	NotForUs func() uint64
	// Unfit says, in words, why a node is not acted with, for another reason than what is noticed here, and what to do about it; "" if it
	// is. It is set before the first envelope.
	Unfit func(transport.NodeID) (why, next string)
	// Forgetful tells of a node that may not know what it has taken part in: it is chosen last.
	Forgetful func(transport.NodeID) bool

	hall      Hall
	boot      Boot
	version   string
	restarted func(transport.NodeID)
	wake      chan struct{} // a beat is due at once

	mu       sync.Mutex
	begun    time.Time // when the first beat was sent; zero if none was
	others   uint64    // what NotForUs last was
	othersAt time.Time // when it last grew
	m        map[transport.NodeID]*Notes
	changed  chan struct{} // closed and made anew when a peer tells something new of itself
}

// Notes are what is noticed of one peer.
type Notes struct {
	LastSeen time.Time // zero if never
	Version  string
	Accused  string // the check that an abort blamed it for; empty if none did
	Ready    bool   // as it says
	Failing  string // the checks that it says fail
	Serial   uint64 // of its roster, as it says; 0 if it does not
	// Authority is the serial of its authority, as it says, 0 if it has none, and Digest what it says that one's digest is.
	Authority uint64
	Digest    attest.Hash
	boot      Boot
	hears     *Boot         // in which run the peer hears this node, zero if it does not; nil if it has not told
	twin      Boot          // another run of this node that the peer says it hears beside this one
	twinAt    time.Time     // when it last said so; zero if never
	suspect   time.Time     // silent in a ceremony
	doubt     time.Duration // how long that counts
}

// NewPeers begins to take notes. This run of the node is boot, of a program of the version; restarted is called when a peer tells of
// another run of itself than before.
func NewPeers(h Hall, boot Boot, version string, restarted func(transport.NodeID)) *Peers {
	t := &Peers{hall: h, boot: boot, version: version, restarted: restarted, m: map[transport.NodeID]*Notes{},
		Sight:     func(transport.NodeID) transport.Sight { return transport.Sight{} },
		Unfit:     func(transport.NodeID) (why, next string) { return "", "" },
		Forgetful: func(transport.NodeID) bool { return false }, wake: make(chan struct{}, 1), changed: make(chan struct{})}
	t.Grow(h.All())
	return t
}

// Grow begins to take notes of those of the nodes that are new.
func (t *Peers) Grow(nodes []transport.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range nodes {
		if id != t.hall.Self && t.m[id] == nil {
			t.m[id] = &Notes{}
		}
	}
}

// Beat tells the others that we live and how we are, until ctx ends.
func (t *Peers) Beat(ctx context.Context, state func() State) {
	t.mu.Lock()
	t.begun = t.hall.Clock()
	t.mu.Unlock()
	pause := firstBeat
	tick := time.NewTimer(pause)
	defer tick.Stop()
	for {
		t.hall.Send(transport.Envelope{Kind: KindHeartbeat, Body: canon.MustMarshal(t.beat(state()))})
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case <-tick.C:
			pause = min(2*pause, beatEvery)
			tick.Reset(pause)
		}
	}
}

// beat is what we tell now.
func (t *Peers) beat(s State) heartbeat {
	x := told{Version: toldVersion, Failing: strings.Join(s.Failing, ", ")}
	x.Failing = x.Failing[:min(len(x.Failing), failingMax)]
	x.Serial, x.Authority, x.Digest = t.hall.Roster().Roster.Serial, s.Authority, s.Digest
	for _, id := range t.hall.All() {
		if s, now := t.both(id); now && id != t.hall.Self {
			x.Twins = append(x.Twins, twins{t.hall.Party(id), [2]Boot{s.Run.ID, s.Other.ID}})
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.NotForUs != nil {
		if v := t.NotForUs(); v > t.others {
			t.others, t.othersAt = v, t.hall.Clock()
		}
	}
	for _, id := range t.hall.All() {
		if p := t.m[id]; p != nil && t.live(p) && p.boot != (Boot{}) {
			x.Hears = append(x.Hears, hearing{t.hall.Party(id), p.boot})
		}
	}
	return heartbeat{t.version, s.Ready, t.boot, canon.MustMarshal(x)}
}

// Tell has a beat sent at once, for what others should know now.
func (t *Peers) Tell() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Heard notes that a peer lives.
func (t *Peers) Heard(id transport.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.m[id]; p != nil {
		now := t.hall.Clock()
		if now.Sub(p.LastSeen) >= liveFor {
			t.tell()
		}
		p.LastSeen = now
	}
}

// Heartbeat notes what a peer tells of itself.
func (t *Peers) Heartbeat(env transport.Envelope) {
	var h heartbeat
	if canon.Unmarshal(env.Body, &h) != nil || len(h.Version) > versionMax {
		return
	}
	var x told
	if len(h.Told) > 0 && canon.UnmarshalVersion(h.Told, toldVersion, &x) != nil {
		h.Told = nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.m[env.From]
	if p == nil {
		return
	}
	was := *p
	if p.boot != h.Boot && p.boot != (Boot{}) {
		t.restarted(env.From)
	}
	p.Version, p.boot, p.Ready, p.Failing, p.hears = h.Version, h.Boot, h.Ready, plain(x.Failing), nil
	p.Serial, p.Authority, p.Digest = x.Serial, x.Authority, x.Digest
	if len(h.Told) > 0 {
		p.hears = &Boot{}
		for _, one := range x.Hears {
			if one.Party == t.hall.SelfParty() {
				p.hears = &one.Boot
			}
		}
	}
	t.twinsOf(p, x.Twins)
	if was.boot != p.boot {
		t.Tell() // it should know that we hear it
	}
	if was.boot != p.boot || was.Ready != p.Ready || t.hearsUs(&was) != t.hearsUs(p) {
		t.tell()
	}
}

// twinsOf notes whether a peer hears another run of this node beside this one. The caller holds mu.
func (t *Peers) twinsOf(p *Notes, all []twins) {
	for _, one := range all {
		i := slices.Index(one.Runs[:], t.boot)
		if one.Party == t.hall.SelfParty() && i >= 0 && one.Runs[1-i] != t.boot {
			p.twin, p.twinAt = one.Runs[1-i], t.hall.Clock()
		}
	}
}

// TwiceBy are the peers that lately said that they hear another run of this node beside this one, and the same in words.
func (t *Peers) TwiceBy() (by []transport.NodeID, words string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var said []string
	for _, id := range t.hall.All() {
		if p := t.m[id]; p != nil && !p.twinAt.IsZero() && t.hall.Clock().Sub(p.twinAt) < twiceFor {
			by, said = append(by, id), append(said, fmt.Sprintf("%s hears boot %x beside this one, %x", id, p.twin[:4], t.boot[:4]))
		}
	}
	return by, strings.Join(said, "; ")
}

// Young tells whether what peers say of another run of this node may be of one that had ended before this one began.
func (t *Peers) Young() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.begun.IsZero() && t.hall.Clock().Sub(t.begun) < TwiceLasts
}

// plain is a peer's text as we print it: the names of checks.
func plain(text string) string {
	if len(text) > failingMax || strings.Trim(text, "abcdefghijklmnopqrstuvwxyz_-, ") != "" {
		return ""
	}
	return text
}

// hearsUs tells whether a peer says that it hears this run of this node. Who says nothing of it, of another version, is taken to.
func (t *Peers) hearsUs(p *Notes) bool { return p.hears == nil || *p.hears == t.boot }

func (t *Peers) live(p *Notes) bool { return t.hall.Clock().Sub(p.LastSeen) < liveFor }

// tell wakes those who wait. The caller holds mu.
func (t *Peers) tell() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// LeftOut tells that members speak to each other and none to this node: so it is where they have a roster without it. Anybody on the
// network may pretend that, so it is told to people, and nothing is done by it.
func (t *Peers) LeftOut() bool {
	if !t.Alone() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.othersAt.IsZero() && t.hall.Clock().Sub(t.othersAt) < liveFor
}

// Alone tells that no other node is heard.
func (t *Peers) Alone() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.m {
		if t.live(p) {
			return false
		}
	}
	return true
}

// BringRoster is what to do about that.
const BringRoster = "bring this node the newest roster: the members speak to each other and not to it, as if it was removed. " +
	"`mpcd node roster show` tells the serial and who is in it"

// Silent notes that a peer did not answer in time, or only just; it is chosen last for a while, and longer each time.
func (t *Peers) Silent(id transport.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.m[id]
	if p == nil {
		return
	}
	now := t.hall.Clock()
	good := now.Sub(p.suspect) // since it was silent last
	if p.doubt > 0 && good < min(p.doubt, suspectFor) {
		return // several ceremonies at once waited for it
	}
	p.doubt >>= min(max(good/suspectMax, 0), 63)
	p.doubt, p.suspect = max(min(2*p.doubt, suspectMax), suspectFor), now
}

// Accuse notes that an abort named a peer; it is no longer chosen by this process, unless it is forgiven, which an empty check says.
func (t *Peers) Accuse(id transport.NodeID, check string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.m[id]; p != nil {
		p.Accused = check
	}
}

// usable tells whether a peer may be chosen for a quorum, and whether it was silent lately; forgiven, also if it is accused.
func (t *Peers) usable(id transport.NodeID, forgiven bool) (ok, suspect bool) {
	if id == t.hall.Self {
		return true, false
	}
	if _, is := t.hall.Member(id); !is {
		return false, false
	}
	twice, forgetful := t.Twice(id) != "", t.Forgetful(id)
	if why, _ := t.Unfit(id); why != "" {
		return false, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.m[id]
	if p == nil || p.Accused != "" && !forgiven || p.boot == (Boot{}) || !p.Ready || twice {
		return false, false
	}
	return t.live(p), forgetful || t.hall.Clock().Sub(p.suspect) < p.doubt
}

// Twice says, in words, that a node runs twice, as its envelopes tell; "" if it does not.
func (t *Peers) Twice(id transport.NodeID) string {
	s, now := t.both(id)
	if !now {
		return ""
	}
	return fmt.Sprintf("runs twice: boots %x of %s and %x of %s", s.Run.ID[:4], began(s.Run), s.Other.ID[:4], began(s.Other))
}

// both tells whether two runs of a node were heard lately.
func (t *Peers) both(id transport.NodeID) (s transport.Sight, now bool) {
	s = t.Sight(id)
	return s, !s.Twice.IsZero() && t.hall.Clock().Sub(s.Twice) < twiceFor
}

func began(r transport.Run) string {
	return time.UnixMilli(int64(min(r.Number, 1<<53))).UTC().Format(time.RFC3339)
}

// Skew is by how much a node's clock was ahead of ours lately, if that is known.
func (t *Peers) Skew(id transport.NodeID) (ahead time.Duration, known bool) {
	s := t.Sight(id)
	if s.At.IsZero() || t.hall.Clock().Sub(s.At) >= twiceFor {
		return 0, false
	}
	return s.Ahead, true
}

// Said is what a node's clock said last, in Unix milliseconds, 0 if it was never heard; and whether that was lately.
func (t *Peers) Said(id transport.NodeID) (ms int64, lately bool) {
	s := t.Sight(id)
	if s.At.IsZero() {
		return 0, false
	}
	_, lately = t.Skew(id)
	return s.At.Add(s.Ahead).UnixMilli(), lately
}

// Off says, in words, how far a clock is off that is ahead by d.
func Off(d time.Duration) string {
	if d < 0 {
		return fmt.Sprintf("%s behind", -d.Round(time.Second))
	}
	return fmt.Sprintf("%s ahead", d.Round(time.Second))
}

// Trouble says, in words, why a node cannot be chosen; "" if it can. next is what to do about it.
func (t *Peers) Trouble(id transport.NodeID) (why, next string) {
	if ok, _ := t.usable(id, false); ok {
		return "", ""
	}
	if _, is := t.hall.Member(id); !is {
		return "is no member of the cluster any more", "" // nothing brings it back
	}
	if twice := t.Twice(id); twice != "" {
		return twice, fmt.Sprintf("stop the other run of %s, or wait %s if it has ended", id, twiceFor)
	}
	if d, _ := t.Skew(id); d.Abs() > transport.SkewMax {
		return fmt.Sprintf("its clock is %s of this node's", Off(d)), "set the clocks of the nodes, as by NTP"
	}
	if why, next := t.Missing(id); why != "" {
		return why, next
	}
	if why, next := t.Unfit(id); why != "" {
		return why, next
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.m[id]
	switch {
	case p.Accused != "":
		return "is accused: " + p.Accused, "look at its host"
	case p.boot == (Boot{}):
		return "is starting", "wait a second"
	case strings.Contains(p.Failing, "store"), strings.Contains(p.Failing, "audit"):
		return "is not ready, as it cannot write to its disk: " + p.Failing, "look at its disk, and run mpcd doctor there"
	case p.Failing != "":
		return "is not ready: " + p.Failing, "run mpcd doctor there"
	}
	return "is not ready", "see its log"
}

// Missing says, in words, that a node is not heard now; "" if it is. next is what to do about it. Nothing else can be held against it then.
func (t *Peers) Missing(id transport.NodeID) (why, next string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.m[id]
	switch {
	case p == nil || p.LastSeen.IsZero():
		return "was never heard", "start it"
	case !t.live(p):
		return fmt.Sprintf("was not heard for %s", t.hall.Clock().Sub(p.LastSeen).Round(time.Second)), "start it"
	}
	return "", ""
}

// troubles are those of the nodes, in words, and what to do first about them.
func (t *Peers) troubles(ids []transport.NodeID) (why, next string) {
	next = "start the missing nodes"
	var all []string
	for _, id := range ids {
		w, do := t.Trouble(id)
		if w == "" {
			continue
		}
		all = append(all, string(id)+" "+w)
		if next == "start the missing nodes" && do != "start it" && do != "" {
			next = do
		}
	}
	if all == nil {
		return "the others failed already", next
	}
	if t.LeftOut() {
		next = BringRoster
	}
	return strings.Join(all, "; "), next
}

// HeardBy lists the usable nodes that say they hear this run of this node, and says of the others, in words, what they say.
func (t *Peers) HeardBy() (by []transport.NodeID, others string) {
	var deaf []string
	for _, id := range t.hall.All() {
		if id == t.hall.Self || !t.Usable(id) {
			continue
		}
		t.mu.Lock()
		p := *t.m[id]
		t.mu.Unlock()
		switch {
		case t.hearsUs(&p):
			by = append(by, id)
		case *p.hears == (Boot{}):
			deaf = append(deaf, fmt.Sprintf("%s does not hear it", id))
		default:
			deaf = append(deaf, fmt.Sprintf("%s hears another run of it, boot %x", id, p.hears[:4]))
		}
	}
	return by, strings.Join(deaf, "; ")
}

// Usable tells whether a node may be chosen for a quorum.
func (t *Peers) Usable(id transport.NodeID) bool {
	ok, _ := t.usable(id, false)
	return ok
}

// Notes are what is noticed of a peer, and whether it was heard lately.
func (t *Peers) Notes(id transport.NodeID) (n Notes, live bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.m[id]; p != nil {
		n = *p
	}
	return n, t.live(&n)
}

// Boots are the current runs of the nodes, as far as they have told.
func (t *Peers) Boots(ids []transport.NodeID) []Boot {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]Boot, len(ids))
	for i, id := range ids {
		if id == t.hall.Self {
			out[i] = t.boot
		} else if p := t.m[id]; p != nil {
			out[i] = p.boot
		}
	}
	return out
}

// Await returns true as soon as ok holds, which may depend on what peers tell of themselves, and false when ctx ends before.
func (t *Peers) Await(ctx context.Context, ok func() bool) bool {
	for {
		t.mu.Lock()
		changed := t.changed
		t.mu.Unlock()
		if ok() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

// AwaitBoot waits up to LateFor for one of the nodes to tell of another run than in boots.
func (t *Peers) AwaitBoot(ctx context.Context, ids []transport.NodeID, boots []Boot) bool {
	ctx, cancel := context.WithTimeout(ctx, LateFor)
	defer cancel()
	return t.Await(ctx, func() bool { return !slices.Equal(t.Boots(ids), boots) })
}

// AwaitAll waits up to LateFor for every party of the committee to be usable; it fails with those who are not. Of those who are about to be
// forgiven it does not matter that they are accused.
func (t *Peers) AwaitAll(ctx context.Context, c threshold.Committee, forgiven ...transport.NodeID) error {
	if gone := t.gone(c); len(gone) > 0 {
		return problem.New(problem.Conflict, replaceKey, "%s, and every party of a key takes part in making and refreshing it", noMembers(gone))
	}
	ctx, cancel := context.WithTimeout(ctx, LateFor)
	defer cancel()
	down := func() []transport.NodeID {
		return slices.DeleteFunc(t.hall.Nodes(c.Parties), func(id transport.NodeID) bool {
			ok, _ := t.usable(id, slices.Contains(forgiven, id))
			return ok
		})
	}
	if !t.Await(ctx, func() bool { return len(down()) == 0 }) {
		if ids := down(); len(ids) > 0 {
			why, next := t.troubles(ids)
			return problem.New(problem.Quorum, next+", then repeat the request: every party of a key takes part in making and refreshing it",
				"cannot reach %v: %s", ids, why)
		}
	}
	return nil
}

// replaceKey is what to do with a key that signs and cannot be refreshed, since a party was removed.
const replaceKey = "make another key with the members that are left, and move what this one holds"

// gone are the parties of a committee that are members of the cluster no more.
func (t *Peers) gone(c threshold.Committee) []transport.NodeID {
	return slices.DeleteFunc(t.hall.Nodes(c.Parties), func(id transport.NodeID) bool {
		_, member := t.hall.Member(id)
		return member
	})
}

func noMembers(ids []transport.NodeID) string {
	var all []string
	for _, id := range ids {
		all = append(all, string(id)+" is no member of the cluster any more")
	}
	return strings.Join(all, ", ")
}

// Quorum chooses the signers of a committee: this node first if it is a party, then the others by place after it, those that were
// silent lately last, none to be avoided. Always the same peers are chosen, so that concurrent requests share ceremonies.
func (t *Peers) Quorum(c threshold.Committee, avoid map[threshold.PartyID]bool) ([]threshold.PartyID, error) {
	all := t.choice(c, avoid)
	if len(all) >= c.Threshold {
		return SortedParties(all[:c.Threshold]), nil
	}
	if gone := t.gone(c); c.N()-len(gone) < c.Threshold {
		return nil, problem.New(problem.Conflict, "make another key with the members that are left; this one signs no more",
			"%s, and %d of %d parties must sign", noMembers(gone), c.Threshold, c.N())
	}
	why, next := t.troubles(t.hall.Nodes(c.Parties))
	return nil, problem.New(problem.Quorum, next+", then repeat the request", "%d of %d parties can be reached, %d must sign: %s",
		len(all), c.N(), c.Threshold, why)
}

// Spare tells whether more parties of a committee can sign than must.
func (t *Peers) Spare(c threshold.Committee, avoid map[threshold.PartyID]bool) bool {
	return len(t.choice(c, avoid)) > c.Threshold
}

// choice are the parties that can sign, the best first.
func (t *Peers) choice(c threshold.Committee, avoid map[threshold.PartyID]bool) []threshold.PartyID {
	self := t.hall.SelfParty()
	start := max(0, slices.IndexFunc(c.Parties, func(p threshold.PartyID) bool { return p >= self }))
	var good, doubtful []threshold.PartyID
	for i := range c.N() {
		p := c.Parties[(start+i)%c.N()]
		ok, suspect := t.usable(t.hall.Node(p), false)
		switch {
		case !ok || avoid[p]:
		case suspect:
			doubtful = append(doubtful, p)
		default:
			good = append(good, p)
		}
	}
	return append(good, doubtful...)
}
