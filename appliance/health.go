package appliance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/threshold"
)

// skewTold is from which difference on a peer's clock is worth a line in the log, once in skewEvery.
const (
	skewTold  = 30 * time.Second
	skewEvery = time.Minute
)

// SecretsCheck is the name of the check that what is opened of a node's stored secrets is whole.
const SecretsCheck = "secrets"

// Readiness tells whether this node can serve a signature now, with reasons. It asks nobody: everything it needs is known, from how the
// last calls of token, store and audit log ended, and from what peers say of themselves and of hearing this node.
//
// A stored secret that is damaged is told here and not to peers: they go on with the keys that are whole.
//
// It can while one of its keys has signers enough, whatever nodes the roster has beside them; without a key, while a new one would have.
func (n *Node) Readiness() Readiness {
	committees := n.committees()
	live := n.count(committees, n.peers.Usable)
	hear, deaf := n.peers.HeardBy()
	heard := fmt.Sprintf("%d peers hear this node", len(hear))
	if deaf != "" {
		heard += "; " + deaf
	}
	hears := n.count(committees, func(id transport.NodeID) bool { return id == n.cfg.Node || slices.Contains(hear, id) })
	roster := n.members.Roster()
	r := Readiness{Ready: true, Checks: n.ownChecks(), Margin: live.least, Serial: roster.Roster.Serial, Roster: roster.Fingerprint()}
	r.Checks = append(r.Checks, n.quorumCheck(live), Check{Name: "heard", OK: hears.enough(), Detail: heard}, n.epochs.check(),
		n.secretsCheck(), n.freezer.check())
	for _, c := range r.Checks {
		r.Ready = r.Ready && c.OK
	}
	return r
}

// committees are those of this node's keys, or, where it has none, the one that all members would make by default.
func (n *core) committees() []threshold.Committee {
	if all := n.keys.Committees(); len(all) > 0 {
		return all
	}
	var c threshold.Committee
	for _, id := range n.members.All() {
		c.Parties = append(c.Parties, n.members.Party(id))
	}
	if c.Threshold = n.cfg.Threshold; c.Threshold == 0 {
		c.Threshold = c.N()/2 + 1
	}
	c.Threshold = max(2, min(c.Threshold, c.N())) // it is for keys to come, and nodes may have been removed; one alone never signs
	return []threshold.Committee{c}
}

// EnrolAnother is what to do where a roster has one member.
const EnrolAnother = "enrol another (`mpcd node enroll --new DIR` there), and bring the roster that `mpcd node roster sign` writes then"

// signers is how many parties of committees can sign.
type signers struct {
	can, of, need int // of the committee with most to spare
	least         int // to spare of any whose members would be enough, of that one if none's would
	short, all    int // how many committees have too few, of how many
}

func (s signers) enough() bool { return s.can >= s.need }

// count looks which members can sign.
func (n *core) count(committees []threshold.Committee, can func(transport.NodeID) bool) (s signers) {
	member, usable := map[threshold.PartyID]bool{}, map[threshold.PartyID]bool{}
	for _, id := range n.members.All() {
		p := n.members.Party(id)
		member[p], usable[p] = true, can(id)
	}
	spared := false
	for i, c := range committees {
		members, now := 0, 0
		for _, p := range c.Parties {
			if member[p] {
				members++
			}
			if usable[p] {
				now++
			}
		}
		spare, could := now-c.Threshold, members >= c.Threshold
		if spare < 0 {
			s.short++
		}
		if i == 0 || spare > s.can-s.need {
			s.can, s.of, s.need = now, c.N(), c.Threshold
		}
		if could && (!spared || spare < s.least) {
			s.least, spared = spare, true
		}
	}
	if s.all = len(committees); !spared {
		s.least = s.can - s.need
	}
	return s
}

// TokenAway is what to do about a token that cannot be reached.
const TokenAway = "put the token back: its device, or the files or the service that hsm.uri names, and its library; " +
	"the node goes on by itself"

// tokenNext is what to do about a request that the token fails: what the check of the token will say, where that is sure already.
func tokenNext(err error) string {
	if errors.Is(err, hsm.ErrUnavailable) {
		return TokenAway
	}
	return "run mpcd doctor; check the token and its session"
}

// tokenFailed is that the token failed a request, and what to do.
func tokenFailed(message string, err error) error {
	return &problem.Error{Code: problem.HSM, Message: message, Next: tokenNext(err), Err: err}
}

// wellIf is a check that fails with err. What to do is said of a disk, of what is stored there, and of a token that is away: no waiting
// heals them.
func wellIf(name string, err error, detail string) Check {
	if err == nil {
		return Check{Name: name, OK: true, Detail: detail}
	}
	c := Check{Name: name, Detail: problem.Plain(err)}
	if e := problem.As(err); e.Code == problem.Storage || e.Code == problem.Integrity {
		c.Next = e.Next
	}
	if errors.Is(err, hsm.ErrUnavailable) {
		c.Next = TokenAway
	}
	return c
}

// secretsCheck is of what was opened of what this node has stored.
func (n *core) secretsCheck() Check {
	return wellIf(SecretsCheck, n.damage.Err(), "what it opened of what it has stored is whole")
}

// storeCheck is of the last write, and of the room for the next.
func (n *core) storeCheck() Check {
	if c := n.store.check("store", "its last write was made"); !c.OK {
		return c
	}
	return wellIf("store", n.store.Writable(), "its last write was made, and there is room for more")
}

// Writable returns why this node cannot keep what it must keep before it acts, nil if it can. It asks log and store for what they know, and
// the disk for its room.
func (n *core) Writable() error {
	if err := errors.Join(n.cfg.AuditLog.Writable(), n.store.Writable()); err != nil {
		return problem.Unwritten(err)
	}
	return nil
}

func (n *core) quorumCheck(s signers) Check {
	next, detail := "", fmt.Sprintf("%d of %d nodes can sign, %d needed", s.can, s.of, s.need)
	if s.short > 0 && s.all > 1 {
		detail += fmt.Sprintf("; %d of %d groups of nodes that hold keys are too few", s.short, s.all)
	}
	members := n.members.All()
	if len(members) == 1 {
		next = EnrolAnother
		detail += "; the roster has this node alone, and one node never signs"
	}
	if n.peers.LeftOut() {
		next = ceremony.BringRoster
	}
	for _, id := range members {
		if why, _ := n.peers.Trouble(id); why != "" {
			detail += fmt.Sprintf("; %s %s", id, why)
		}
	}
	if next == "" && s.enough() && s.short > 0 {
		next = "start the missing nodes: the keys of some groups cannot sign"
	}
	return Check{Name: "quorum", OK: s.enough(), Detail: detail, Next: next}
}

// ownChecks are those that depend on this node alone. Peers hear of them, and choose others while one fails.
func (n *Node) ownChecks() []Check {
	log := wellIf("audit", errors.Join(n.cfg.AuditLog.Err(), n.cfg.AuditLog.Writable()), fmt.Sprintf("%d entries", n.cfg.AuditLog.Len()))
	run := Check{Name: "run", OK: true, Detail: "it runs once"}
	if twice := n.twice(); twice != "" {
		run = Check{Name: "run", Detail: "this node " + twice, Next: stopOne, Heals: n.peers.Young()}
	}
	checks := []Check{{Name: "running", OK: n.serves(), Detail: "the node has joined the network"},
		n.token.hsm.check("token", "its last signature was made"), n.storeCheck(), log, n.clockCheck(), run, n.memberCheck(),
		n.authority.check(), n.witness.check()}
	if key := n.cfg.EventInitiator; key != nil {
		_, now := n.authority.current()
		checks = append(checks, EventInitiator(now, key))
	}
	if n.cfg.Checks != nil {
		checks = append(checks, n.cfg.Checks()...)
	}
	return checks
}

// stopOne is what to do about a node that runs twice: of a run that has ended its peers speak for a while.
var stopOne = fmt.Sprintf("stop one of them, or wait %s if nothing else runs as this node", ceremony.TwiceLasts)

// twice says, in words, that this node runs twice; "" if it does not. Where the two runs do not hear each other, their peers say so. These
// are believed when those who do not say it are too few to sign with this node: a liar does no more than one who says that it does not hear
// us.
func (n *core) twice() string {
	if twice := n.peers.Twice(n.cfg.Node); twice != "" {
		return twice
	}
	by, words := n.peers.TwiceBy()
	others := func(id transport.NodeID) bool { return n.peers.Usable(id) && !slices.Contains(by, id) }
	if by == nil || n.count(n.committees(), others).enough() {
		return ""
	}
	return "runs twice: " + words
}

// memberCheck tells whether this node was removed from the cluster, as far as it has seen the roster that does.
func (n *Node) memberCheck() Check {
	if serial := n.removed.Load(); serial > 0 {
		return Check{Name: "member", Detail: fmt.Sprintf("this node is not a member any more: the roster of serial %d removes it", serial),
			Next: "stop this node"}
	}
	return Check{Name: "member", OK: true, Detail: "the roster has it"}
}

// clockCheck holds our clock against those of the peers: it is off if most of them differ from it, by more than is heard, the same way. Of
// two clocks nobody knows which is off; neither of their nodes hears the other, and with no third none of them is ready anyway.
func (n *core) clockCheck() Check {
	var seen, ahead, behind int
	var worst time.Duration
	detail := ""
	for _, id := range n.members.All() {
		d, known := n.peers.Skew(id)
		if id == n.cfg.Node || !known {
			continue
		}
		seen++
		if d > transport.SkewMax {
			ahead++
		}
		if -d > transport.SkewMax {
			behind++
		}
		if d.Abs() > transport.SkewMax {
			detail += fmt.Sprintf("; the clock of %s is %s", id, ceremony.Off(d))
		}
		if d.Abs() > worst.Abs() {
			worst = d
		}
	}
	if seen == 1 && ahead+behind == 1 {
		return Check{Name: "clock", Detail: "one of two clocks is off, this node's or that of the only peer it hears" + detail,
			Next: "compare both with the time, and set the one that is off, as by NTP"}
	}
	if 2*max(ahead, behind) > seen {
		return Check{Name: "clock", Detail: "this node's clock differs from most" + detail, Next: "set this node's clock, as by NTP"}
	}
	return Check{Name: "clock", OK: true, Detail: fmt.Sprintf("%d peers' clocks are seen, the farthest is %s", seen, ceremony.Off(worst)) +
		n.clock.said()}
}

// state is what peers hear of us. It is asked for with every beat, so it is also where changes are told to the log, and where what failed
// is tried again: nobody else would, since callers and peers choose other nodes.
func (n *Node) state() ceremony.State {
	s := ceremony.State{Ready: true}
	if now, digest, _ := n.authority.inForce(); now != nil {
		s.Authority, s.Digest = now.Serial, digest
	}
	for _, c := range n.ownChecks() {
		if !c.OK {
			s.Ready, s.Failing = false, append(s.Failing, c.Name)
		}
	}
	n.watch.look(n)
	return s
}

// Audit lists entries in order; the token is the number of the entry before the page.
func (n *Node) Audit(_ context.Context, p Page) ([]audit.Entry, string, error) {
	var after uint64
	if p.Token != "" {
		var err error
		if after, err = strconv.ParseUint(p.Token, 10, 64); err != nil {
			return nil, "", badPage()
		}
	}
	size := pageSize(p)
	es, err := n.cfg.AuditLog.Entries(after, size)
	if err != nil {
		return nil, "", &problem.Error{Code: problem.Integrity, Message: "the audit log is damaged", Next: "run mpcd audit verify", Err: err}
	}
	next := ""
	if len(es) == size {
		next = fmt.Sprint(es[size-1].Seq)
	}
	return es, next, nil
}

// WaitQuorum returns when as many nodes are live as are needed to sign, or ctx ends.
func (n *Node) WaitQuorum(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-n.started:
	}
	if !n.peers.Await(ctx, func() bool { return n.Readiness().Ready }) {
		return ctx.Err()
	}
	return nil
}

// Nodes lists the roster with what this node knows of each member.
func (n *Node) Nodes() []NodeStatus {
	var out []NodeStatus
	for _, id := range n.members.All() {
		m, ok := n.members.Member(id)
		if !ok {
			continue // removed meanwhile
		}
		s, excess := NodeStatus{ID: id, Party: m.Party, Facility: m.Facility}, ""
		if id == n.cfg.Node {
			s.Self, s.Live, s.LastSeen, s.Version = true, true, n.cfg.Clock(), n.cfg.Release
		} else {
			notes, live := n.peers.Notes(id)
			s.Live, s.LastSeen, s.Version = live, notes.LastSeen, notes.Version
			s.Limited, excess = n.quotas.limited(n.cfg.Clock(), id)
			s.Accused = notes.Accused != "" || n.pairs.Banned(m.Party)
			s.Ahead, _ = n.peers.Skew(id)
		}
		s.Ready, s.Trouble = n.readyNode(id)
		none, late := n.epochs.lag(id)
		s.Behind = len(none) + len(late)
		for _, more := range []string{n.epochs.lagWords(id), n.authority.parted(id), n.witness.broke(id), n.witness.unshown(id),
			excess} {
			if more != "" {
				s.Trouble = strings.TrimPrefix(s.Trouble+"; "+more, "; ")
			}
		}
		out = append(out, s)
	}
	return out
}

// readyNode tells whether a node of the roster can sign, as far as this one knows, and if not, why. Of itself it is what Readiness says; of
// the keys that it lags behind with, Nodes tells.
func (n *Node) readyNode(id transport.NodeID) (bool, string) {
	if id != n.cfg.Node {
		why, _ := n.peers.Trouble(id)
		return why == "", why
	}
	var bad []string
	r := n.Readiness()
	for _, c := range r.Checks {
		if !c.OK && c.Name != epochsName {
			bad = append(bad, c.Name+": "+c.Words())
		}
	}
	return r.Ready, strings.Join(bad, "; ")
}

// Version is the version of the program this node runs.
func (n *Node) Version() string { return n.cfg.Release }
