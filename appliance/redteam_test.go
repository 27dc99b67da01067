package appliance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkls23"
	"github.com/luxfi/mpcd/vault"
)

// withholding is a token that attests no more when it is told so: a node with it takes part in key ceremonies to the end, and keeps its
// certificate back. Or it attests late: a node with it answers all it is asked, so much later.
type withholding struct {
	hsm.Token
	hsm.PublicKeyer
	on   atomic.Bool
	late atomic.Int64 // time.Duration
}

func (w *withholding) Sign(ctx context.Context, key string, message []byte) ([]byte, error) {
	if key == "attest" && w.on.Load() {
		return nil, errors.New("withheld")
	}
	if late := time.Duration(w.late.Load()); key == "attest" && late > 0 {
		select {
		case <-time.After(late):
		case <-ctx.Done():
		}
	}
	return w.Token.Sign(ctx, key, message)
}

// redteam is a cluster whose node3 is the enemy: with all its keys and its token, at times the node's own program with a token that
// withholds, at times a program that keeps no rule.
type redteam struct {
	*cluster
	t       *testing.T
	signers []threshold.PartyID // a quorum with node1 and node3
	honest  []transport.NodeID  // a quorum without node3
	wallets []*appliance.Wallet
	f       *forger
	people  board // who approves payments of the second wallet
	times   int   // how much longer than in CI
	table   *tabwriter.Writer

	mu   sync.Mutex
	said map[string]int // what node1 answered to the enemy
}

// move is one attack, and what node1 must have said to it at least once; empty where it is dropped.
type move struct {
	name string
	do   func()
	says string
	long bool // it may leave something in memory
}

// others are the honest nodes, all but node3.
func (r *redteam) others() []*member { return slices.Concat(r.nodes[:2], r.nodes[3:]) }

// takeNode3 ends what node3 ran, and speaks in its place.
func (r *redteam) takeNode3() {
	number := 0
	if r.f != nil {
		number = r.f.number
	}
	r.f = newForger(r.cluster, r.wallets[0].ID)
	r.f.number = number // of its requests
	go func() {
		for e := range r.f.answers {
			what := "takes part"
			var refusal ceremony.Refusal
			if e.Kind == ceremony.KindRefusal && canon.Unmarshal(e.Body, &refusal) == nil {
				what = string(refusal.Code)
			}
			r.mu.Lock()
			r.said[what]++
			r.mu.Unlock()
		}
	}()
}

// hear returns when node1 has looked at all that the enemy has sent it before: it refuses a proposal that came after.
func (r *redteam) hear() {
	now := r.heard(string(problem.Denied))
	r.propose("sign", func(*draft) {}, func(p *proposal) { p.Cosign = nil })
	waitFor(r.t, "node1 has heard all", func() bool { return r.heard(string(problem.Denied)) > now })
}

// leaveNode3 ends the enemy's own program.
func (r *redteam) leaveNode3() { _ = r.f.r.net.Close() }

func (r *redteam) heard(what string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said[what]
}

// propose sends a proposal of the line to node1, bent.
func (r *redteam) propose(line string, bend func(d *draft), after func(p *proposal)) {
	r.f.send(func(d *draft) {
		in := d.first()
		d.operation, in.Operation, d.signers, in.Signers = line, attest.Operation(line), r.signers, r.signers
		switch line {
		case "prove":
			in.Operation = attest.OpSign
		case "keygen":
			in.KeyID, in.Epoch = "", 0
			in.Keygen = &attest.KeygenParams{Threshold: len(r.honest), Kind: threshold.Ed25519.ID}
			fallthrough
		case "refresh":
			d.signers = r.wholeCommittee()
			in.Signers, in.Message = d.signers, nil
		}
		d.signers = slices.Clone(d.signers)
		d.after = after
		bend(d)
	})
}

func (r *redteam) wholeCommittee() (all []threshold.PartyID) {
	for _, n := range r.roster.Roster.Nodes {
		all = append(all, n.Party)
	}
	return all
}

// heapMost is by how many bytes a move may have the heap of this process grow, with all honest nodes in it: what waits for ceremonies, and
// proposals, is bounded at 32 MiB each with three nodes, less with more.
const heapMost = 64 << 20

// run makes a move, and tells it in the table with what it cost the honest node that it cost most.
func (r *redteam) run(m move) {
	r.t.Helper()
	r.mu.Lock()
	clear(r.said)
	r.mu.Unlock()
	disk, heap := map[*member]int64{}, int64(0)
	for _, one := range r.others() {
		disk[one] = size(r.t, one)
	}
	if m.long {
		heap = heapNow()
	}
	m.do()
	if m.says != "" {
		waitFor(r.t, fmt.Sprintf("%s: node1 says %q", m.name, m.says), func() bool { return r.heard(m.says) > 0 })
	}
	most := int64(0)
	for _, one := range r.others() {
		r.judge(m.name, one)
		most = max(most, size(r.t, one)-disk[one])
	}
	if most > 6<<20 {
		r.t.Errorf("%s: what a node has on its disk grew by %d KiB", m.name, most>>10)
	}
	if m.long {
		grown := heapNow() - heap // of which some is in hand still, on a busy machine
		for end := time.Now().Add(10 * time.Second); grown > heapMost && time.Now().Before(end); grown = heapNow() - heap {
		}
		if grown > heapMost {
			r.t.Errorf("%s: the heap grew by %d MiB", m.name, grown>>20)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var said []string
	for _, what := range slices.Sorted(maps.Keys(r.said)) {
		said = append(said, fmt.Sprintf("%s ×%d", what, r.said[what]))
	}
	fmt.Fprintf(r.table, "%d-of-%d\t%s\t%s\tsign\t%d\t%s\n", len(r.honest), len(r.nodes), m.name,
		strings.Join(said, ", "), most>>10, r.named())
}

// judge asks an honest node what it can do after a move: it signs with the others, is ready, and holds all of them for ready.
func (r *redteam) judge(after string, m *member) {
	r.t.Helper()
	sig, err := m.node.Sign(r.t.Context(), appliance.SignRequest{WalletID: r.wallets[0].ID, Message: []byte(after), Signers: r.honest})
	if err != nil || len(sig.Bytes) == 0 {
		r.t.Errorf("%s: the others do not sign, asked at %s: %v", after, m.id, err)
	}
	waitFor(r.t, fmt.Sprintf("%s: %s is ready, and holds the others for ready", after, m.id), func() bool {
		return m.node.Readiness().Ready && !slices.ContainsFunc(m.node.Nodes(), func(s appliance.NodeStatus) bool {
			return s.ID != "node3" && !s.Ready
		})
	})
}

// named are the members that honest nodes accuse or limit, none of which is honest, and how many do.
func (r *redteam) named() string {
	by := map[string]int{}
	for _, m := range r.others() {
		for _, s := range m.node.Nodes() {
			if (s.Accused || s.Limited) && s.ID != "node3" {
				r.t.Errorf("%s names %s, which is honest", m.id, s.ID)
			}
			if s.Accused {
				by[string(s.ID)+" accused"]++
			}
			if s.Limited {
				by[string(s.ID)+" limited"]++
			}
		}
	}
	var out []string
	for _, what := range slices.Sorted(maps.Keys(by)) {
		out = append(out, fmt.Sprintf("%s ×%d", what, by[what]))
	}
	return strings.Join(out, ", ")
}

// size is what a node has on its disk, in bytes: audit log, store and vault.
func size(t *testing.T, m *member) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(m.dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	all := info.Size()
	for _, s := range []vault.Store{m.state, m.vault} {
		if err := s.Iterate(t.Context(), nil, func(key, value []byte) error {
			all += int64(len(key) + len(value))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// bent is a proposal with one thing wrong, and what node1 must say to it; "" where it is dropped.
type bent struct {
	name, line string
	says       problem.Code
	bend       func(d *draft)
	after      func(p *proposal)
}

// rules are moves against the rules that a proposal must keep, those of the table in THREATS.
func (r *redteam) rules() (moves []move) {
	for _, b := range slices.Concat(r.frames(), r.intents(), r.keyRules(), r.pairRules()) {
		moves = append(moves, move{b.line + ": " + b.name, func() {
			bend := b.bend
			if bend == nil {
				bend = func(*draft) {}
			}
			r.propose(b.line, bend, b.after)
		}, string(b.says), false})
	}
	return append(moves, move{"certificates and proofs of nothing", func() {
		id, to1 := r.wallets[0].ID, []transport.NodeID{"node1"}
		for _, k := range []uint8{ceremony.KindAnswer, ceremony.KindProved, ceremony.KindSaid, ceremony.KindRoster} {
			r.f.r.send(transport.Envelope{To: to1, Kind: k, Body: appliance.FalseAnswer(id, 2)})
		}
		r.hear()
		if w, err := r.nodes[0].node.Wallet(r.t.Context(), id); err != nil || w.State != keys.Active || w.Epoch != 1 {
			r.t.Errorf("node1 has the key at %+v, %v", w, err)
		}
	}, "", false}, move{"a session_id of a caller, for another payment", r.squat, "takes part", false})
}

// squat takes a session_id that a caller of an honest node is about to use, as one does who has guessed it: while the ceremony runs, and no
// longer, every node refuses the caller; then each gives the caller one answer.
func (r *redteam) squat() {
	session := fmt.Sprint("squatted-", r.f.number)
	ask := func(m *member) (*appliance.Signature, error) {
		return m.node.Sign(r.t.Context(), appliance.SignRequest{SessionID: session, WalletID: r.wallets[0].ID,
			Message: []byte("the payment of the caller"), Signers: r.honest})
	}
	aborts := r.nodes[0].node.Counts().Aborts
	r.propose("sign", func(d *draft) { d.first().RequestID, d.first().Message = session, []byte("a payment of the member") }, nil)
	waitFor(r.t, "node1 takes part", func() bool { return r.heard("takes part") > 0 })
	for _, m := range r.others() {
		if got, err := ask(m); r.nodes[0].node.Counts().Aborts == aborts && problem.As(err).Code != problem.Conflict {
			r.t.Errorf("while the member's ceremony runs, %s answers %+v, %v", m.id, got, err)
		}
	}
	waitFor(r.t, "node1 gives it up", func() bool { return r.nodes[0].node.Counts().Aborts > aborts })
	var first []byte
	for _, m := range r.others() {
		var got *appliance.Signature
		waitFor(r.t, "the caller is answered by "+string(m.id), func() (ok bool) {
			var err error
			got, err = ask(m)
			return err == nil
		})
		if first == nil {
			first = got.Bytes
		}
		if !bytes.Equal(first, got.Bytes) {
			r.t.Errorf("%s answers the caller with another signature", m.id)
		}
	}
}

// stutters is a move of node3's own program: it answers all it is asked, each time a little before it would count as silent, and is chosen
// last for it, as who is silent is.
func (r *redteam) stutters(token *withholding) move {
	const asked = 6
	return move{"answers just before each deadline", func() {
		late := r.nodes[2].limits.Silence * 4 / 5
		token.late.Store(int64(late))
		defer token.late.Store(0)
		slow, began := make([]atomic.Int64, len(r.others())), time.Now()
		var all sync.WaitGroup
		for i, m := range r.others() {
			all.Go(func() {
				for range asked * r.times {
					s, err := m.node.Sign(r.t.Context(), appliance.SignRequest{WalletID: r.wallets[0].ID, Message: []byte("m")})
					if err != nil {
						r.t.Errorf("%s: %v", m.id, err)
					} else if slices.Contains(s.Signers, "node3") {
						slow[i].Add(1)
					}
				}
			})
		}
		all.Wait()
		most := 2 + int64(time.Since(began)/(5*time.Second)) // before it is doubted, and each time that is over
		for i, m := range r.others() {
			if n := slow[i].Load(); n > most {
				r.t.Errorf("%d of %d signatures at %s waited for it", n, asked*r.times, m.id)
			}
		}
	}, "", true}
}

// frames break what a proposal is.
func (r *redteam) frames() []bent {
	two := func(d *draft) {
		in := *d.first()
		in.RequestID += "/2"
		d.intents = append(d.intents, &in)
	}
	return []bent{
		{"under another topic", "sign", "", func(d *draft) { d.topic = true }, nil},
		{"of another version", "sign", "", nil, func(p *proposal) { p.Version = 2 }},
		{"of no line", "sign", problem.Invalid, nil, func(p *proposal) { p.Operation = "export" }},
		{"for an earlier run", "sign", problem.Starting, nil, func(p *proposal) { p.Boots[slices.Index(p.Signers, 1)][3] ^= 1 }},
		{"for others", "sign", problem.Invalid, nil, func(p *proposal) { p.Signers = slices.DeleteFunc(p.Signers, isFirst) }},
		{"more than a batch", "sign", problem.Invalid, func(d *draft) {
			for range 64 {
				two(d)
			}
		}, nil},
		{"two intents", "refresh", problem.Invalid, two, nil},
		{"presignatures", "prove", problem.Invalid, nil, func(p *proposal) { p.Pres = make([][32]byte, 1) }},
		{"more presignatures than intents", "sign", problem.Invalid, nil, func(p *proposal) { p.Pres = make([][32]byte, 2) }},
		{"without a cosignature", "sign", problem.Denied, nil, func(p *proposal) { p.Cosign = nil }},
		{"co-signed by another key of its token", "sign", problem.Denied, func(d *draft) { d.cosign = r.f.key("attest") }, nil},
		{"co-signed long ago", "sign", problem.Denied, func(d *draft) { d.at = d.at.Add(-10 * time.Minute) }, nil},
	}
}

func isFirst(p threshold.PartyID) bool { return p == 1 }

// intents break what an intent is.
func (r *redteam) intents() []bent {
	return []bent{
		{"another cluster's", "sign", problem.Invalid, func(d *draft) { d.first().Cluster = "another" }, nil},
		{"another node's", "sign", problem.Invalid, func(d *draft) { d.first().Node = "node2" }, nil},
		{"other signers", "sign", problem.Invalid, func(d *draft) { d.first().Signers = d.signers[:1] }, nil},
		{"old", "sign", problem.Invalid, func(d *draft) { d.first().Created -= 10 * 60 * 1000 }, nil},
		{"of the future", "sign", problem.Invalid, func(d *draft) { d.first().Created += 10 * 60 * 1000 }, nil},
		{"a session_id with an escape", "sign", problem.Invalid, func(d *draft) { d.first().RequestID = "x\x1b[2J" }, nil},
		{"a session_id of 1 KiB", "sign", problem.Invalid, func(d *draft) { d.first().RequestID = strings.Repeat("x", 1<<10) }, nil},
		{"a session_id that was another payment", "sign", problem.Conflict, func(d *draft) {
			d.first().RequestID, d.first().Message = "used", []byte("another payment")
		}, nil},
		{"a session_id that is another node's", "sign", problem.Held, func(d *draft) { d.first().RequestID = "used" }, nil},
		{"a label of 100 KiB", "keygen", problem.Invalid, func(d *draft) { d.first().Keygen.Label = strings.Repeat("x", 100<<10) }, nil},
		{"a label with a forged row", "keygen", problem.Invalid, func(d *draft) { d.first().Keygen.Label = "x\nw_FAKE" }, nil},
		{"a group of 1 KiB", "keygen", problem.Invalid, func(d *draft) { d.first().Keygen.Group = strings.Repeat("x", 1<<10) }, nil},
	}
}

// keyRules break what a key is, and what may be done with it.
func (r *redteam) keyRules() []bent {
	without := func(p threshold.PartyID) func(d *draft) {
		return func(d *draft) {
			d.signers = slices.DeleteFunc(d.signers, func(x threshold.PartyID) bool { return x == p })
			d.first().Signers = d.signers
		}
	}
	rules := []bent{
		{"a key that is not", "sign", problem.NotFound, func(d *draft) { d.first().KeyID = "w_nobody" }, nil},
		{"a scheme of another kind", "sign", problem.Invalid, func(d *draft) { d.first().Scheme = threshold.FrostTaproot }, nil},
		{"an epoch that is not yet", "sign", problem.Conflict, func(d *draft) { d.first().Epoch = 7 }, nil},
		{"more signers than the threshold", "sign", problem.Invalid, func(d *draft) {
			d.signers = r.wholeCommittee()
			d.first().Signers = d.signers
		}, nil},
		{"no message", "sign", problem.Invalid, func(d *draft) { d.first().Message = nil }, nil},
		{"a tweak of its choice", "sign", problem.Denied, func(d *draft) { d.first().Tweaks = []threshold.Tweak{{}} }, nil},
		{"a payment", "prove", problem.Denied, nil, nil},
		{"a presignature that is not", "sign", problem.Presig, nil, func(p *proposal) { p.Pres = make([][32]byte, 1) }},
		{"by no party", "keygen", problem.Invalid, without(3), nil},
		{"without a party", "refresh", problem.Invalid, without(2), func(p *proposal) { p.Next = 2 }},
		{"by no party", "refresh", problem.Invalid, without(3), func(p *proposal) { p.Next = 2 }},
		{"to an epoch that is", "refresh", problem.Attempt, nil, func(p *proposal) { p.Next = 1 }},
		{"far ahead", "refresh", problem.Attempt, nil, func(p *proposal) { p.Next = 1 << 62 }},
	}
	if len(r.nodes) == 3 {
		return rules // of three every threshold from two on is a majority
	}
	return append(rules, bent{"a threshold that the policy does not allow", "keygen", problem.Denied,
		func(d *draft) { d.first().Keygen.Threshold = 2 }, nil})
}

// pairRules break what pair state is held to.
func (r *redteam) pairRules() []bent {
	ec := r.wallets[1]
	ecdsa := func(d *draft) { d.first().KeyID, d.first().Scheme = ec.ID, dkls23.ID }
	pairs, err := r.nodes[0].node.PairsOf(r.t.Context(), ec.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return []bent{
		{"under the old pair state", "refresh", problem.Invalid, ecdsa, func(p *proposal) { p.Next, p.Pairs = 2, pairs }},
		{"to pair-epoch 2^64-1", "refresh", problem.Invalid, ecdsa, func(p *proposal) {
			p.Next, p.Pairs = 2, &keys.ProposedPairs{Epoch: 1<<64 - 1}
		}},
		{"to pair-epoch 2^63", "keygen", problem.Invalid, func(d *draft) {
			d.first().Scheme, d.first().Keygen.Kind = dkls23.ID, threshold.ECDSA.ID
		}, func(p *proposal) { p.Pairs = &keys.ProposedPairs{Epoch: 1 << 63} }},
	}
}

// floods are moves against memory, disk and the others' time.
func (r *redteam) floods() []move {
	to1 := []transport.NodeID{"node1"}
	return []move{
		{"200 envelopes of 1 MiB for ceremonies not proposed", func() {
			const bound = 48 << 20 // 32 MiB wait for ceremonies with three nodes, less with more
			body, before := make([]byte, threshold.MaxBody), heapNow()
			for i := range 200 * r.times / slowdown {
				r.f.r.send(transport.Envelope{To: to1, Kind: ceremony.KindEngine, Topic: [32]byte{1, byte(i), byte(i >> 8)}, Body: body})
				if i%20 == 19 { // what it has not looked at lies in its inbox, whose bound TestFlood of the inbox looks at
					r.hear()
					if grown := heapNow() - before; grown > bound {
						r.t.Fatalf("the heap grew by %d MiB", grown>>20)
					}
				}
			}
		}, string(problem.Denied), true},
		{"300 bad proposals that name all", func() {
			for i := range 300 * r.times {
				body := canon.MustMarshal(proposal{Version: 1, Operation: "sign", Signers: r.wholeCommittee(),
					Nonce: [16]byte{byte(i), byte(i >> 8)}})
				r.f.r.send(transport.Envelope{To: to1, Kind: ceremony.KindProposal, Topic: canon.Hash("mpcd/v1/proposal", body), Body: body})
			}
		}, string(problem.Invalid), true},
		{"one proposal, 500 times", func() {
			topic := r.f.send(func(d *draft) { d.signers, d.first().Signers = r.signers, r.signers })
			for range 500 * r.times {
				r.f.r.send(transport.Envelope{To: to1, Kind: ceremony.KindEngine, Topic: topic, Body: []byte("again")})
			}
		}, "", true},
		{"proposals of 64 payments, then silence", func() {
			for i := 0; i < 600*r.times && r.heard(string(problem.Overload)) == 0; i++ {
				n := r.nodes[0].node
				before := n.Counts()
				r.propose("sign", func(d *draft) {
					in := *d.first()
					d.intents = nil
					for j := range 64 {
						one := in
						one.RequestID, one.Requester = fmt.Sprintf("%s-%0100d", in.RequestID, j), strings.Repeat("r", 128)
						d.intents = append(d.intents, &one)
					}
				}, nil)
				waitFor(r.t, "node1 has it", func() bool {
					now := n.Counts()
					return now.Ceremonies > before.Ceremonies || now.Refused > before.Refused
				})
				if n.Counts().Ceremonies == before.Ceremonies { // it had no place left for node3, or refused the one before: a while, then again
					for end := time.Now().Add(5 * time.Second); n.Counts().Aborts == before.Aborts &&
						r.heard(string(problem.Overload)) == 0 && time.Now().Before(end); {
						time.Sleep(10 * time.Millisecond)
					}
				}
			}
			if !strings.Contains(r.named(), "node3 limited") || len(r.nodes[0].entries(r.t, "quota.exceeded")) == 0 {
				r.t.Errorf("nobody is named for it: %q", r.named())
			}
		}, string(problem.Overload), true},
	}
}

// unasked are moves of node3's own program that succeed, and that nobody has asked for.
func (r *redteam) unasked() []move {
	m3, w := r.nodes[2], r.wallets[0].ID
	var signers []threshold.PartyID
	for _, id := range r.honest {
		i := slices.IndexFunc(r.roster.Roster.Nodes, func(n attest.RosterNode) bool { return n.ID == string(id) })
		signers = append(signers, r.roster.Roster.Nodes[i].Party)
	}
	forge := func(session string, prove bool, bend func(in *attest.Intent)) func() error {
		return func() error {
			_, err := m3.node.SignForged(r.t.Context(), w, session, signers, []byte("once"), bend, prove)
			return err
		}
	}
	without := func(end func() error, most int32) {
		took, last := withoutEnd(end, 20, most+1)
		r.mu.Lock()
		r.said["takes part"] += int(took)
		r.said[string(appliance.RefusedWith(last))]++
		r.mu.Unlock()
		if named := r.named(); took > most || !strings.Contains(named, "node3 limited") {
			r.t.Errorf("%d ceremonies that nobody asked for, at most %d; %q is named", took, most, named)
		}
	}
	var number atomic.Int64
	return []move{
		{"proofs of an active key without end", func() {
			without(forge("", true, func(in *attest.Intent) { in.RequestID = fmt.Sprintf("%0128d", number.Add(1)) }), 2*appliance.QuotaProofs)
		}, string(problem.Overload), true},
		{"one request signed without end", func() {
			if err := forge("unasked", false, func(in *attest.Intent) { in.RequestID = "unasked" })(); err != nil {
				r.t.Error(err)
			}
			without(forge("unasked", false, func(in *attest.Intent) { in.RequestID = "unasked" }), 7)
		}, string(problem.Conflict), true},
	}
}

// withheld are key ceremonies of node3's own program whose certificate it keeps back, as its token does until the program ends: what it
// issued again would bring the others to another epoch under later moves.
func (r *redteam) withheld(token *withholding) []move {
	m3 := r.nodes[2]
	staged := func() (n int) {
		ws, _, err := r.nodes[0].node.Wallets(r.t.Context(), appliance.Page{Size: 1000})
		if err != nil {
			r.t.Fatal(err)
		}
		for _, w := range ws {
			if w.State == keys.Staged {
				n++
			}
		}
		return n
	}
	note := func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		what := "takes part"
		if code := problem.As(err).Code; strings.Contains(fmt.Sprint(err), "refuses") {
			what = string(code)
		}
		r.said[what]++
	}
	return []move{
		{"refreshes with the certificate withheld", func() {
			for range 5 * r.times {
				_, err := m3.node.Refresh(r.t.Context(), appliance.RefreshRequest{WalletID: r.wallets[0].ID})
				note(err)
			}
		}, "takes part", true},
		{"keygens with the certificate withheld", func() {
			began := time.Now()
			for range 40 * r.times {
				_, err := m3.node.Keygen(r.t.Context(), appliance.KeygenRequest{Curve: "ed25519", Threshold: len(r.honest), Total: len(r.nodes)})
				note(err)
			}
			took := time.Since(began)
			if n, most := staged(), 21+int(20*took.Minutes()); n > most { // 20 at once, and 20 for each minute that this lasts
				r.t.Errorf("%d junk keys are staged in %s, want at most %d", n, took, most)
			}
		}, string(problem.Overload), true},
	}
}

// after is when the enemy has gone and its node runs the program again: every key signs and is refreshed.
func (r *redteam) after() {
	r.t.Helper()
	r.nodes[2].start()
	r.waitReady()
	for _, w := range r.wallets {
		var err error
		for deadline := time.Now().Add(20 * time.Second); ; {
			_, err = r.nodes[0].node.Refresh(r.t.Context(), appliance.RefreshRequest{WalletID: w.ID, Release: []transport.NodeID{"node3"}})
			if err == nil || time.Now().After(deadline) {
				break
			}
		}
		if err != nil {
			r.t.Errorf("no refresh of %s after the attacks: %v", w.ID, err)
			continue
		}
		if _, err := r.nodes[1].node.Sign(r.t.Context(), appliance.SignRequest{WalletID: w.ID, Message: make([]byte, 32)}); err != nil {
			r.t.Error(err)
		}
	}
	for _, m := range r.others() {
		r.judge("afterwards", m)
	}
	fmt.Fprintf(r.table, "%d-of-%d\tafterwards: the enemy is gone\t\tsign, refresh\t\t%s\n", len(r.honest), len(r.nodes), r.named())
}

// redteamTimes is how many times longer than in CI the enemy is at work: MPCD_REDTEAM.
func redteamTimes() int {
	times := 1
	if _, err := fmt.Sscan(os.Getenv("MPCD_REDTEAM"), &times); err != nil {
		return 1
	}
	return times
}

// Goal: whatever one member does, the others sign meanwhile, each of them; afterwards every key signs and is refreshed, what they hold and
// store of it is bounded, it is named where it left something, and no honest node is. Method: an enemy with all that a node has makes one
// move after the other, on 2-of-3 and 3-of-5; after each, every honest node is looked at. MPCD_REDTEAM is how many times longer than in CI,
// MPCD_REDTEAM_TABLE a file for the table.
func TestRedTeam(t *testing.T) {
	times := redteamTimes()
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "keys\tattack\twhat node1 said\tthe others\tKiB on disk\tthe others name")
	for _, row := range []struct {
		n       int
		signers []threshold.PartyID
		honest  []transport.NodeID
	}{
		{3, []threshold.PartyID{1, 3}, []transport.NodeID{"node1", "node2"}},
		{5, []threshold.PartyID{1, 3, 4}, []transport.NodeID{"node1", "node2", "node4"}},
	} {
		t.Run(fmt.Sprintf("%d-of-%d", len(row.honest), row.n), func(t *testing.T) {
			c := newClusterLimits(t, row.n, appliance.Limits{Silence: 1500 * time.Millisecond, Presignatures: -1})
			r := &redteam{cluster: c, t: t, signers: row.signers, honest: row.honest, times: times, table: table, said: map[string]int{}}
			for _, key := range [][2]string{{"ed25519", "frost"}, {"secp256k1", "dkls23"}} {
				r.wallets = append(r.wallets, c.keygenBy(key[0], key[1], len(row.honest), row.n))
			}
			r.people = c.approvingBy(split)
			c.use(r.wallets[0].ID)
			r.takeNode3()
			moves := r.rules()
			if row.n == 3 || times > 1 {
				moves = append(moves, r.authority()...)
			}
			for _, m := range moves {
				r.run(m)
			}
			r.leaveNode3()
			token := &withholding{Token: c.nodes[2].token, PublicKeyer: c.nodes[2].token.(hsm.PublicKeyer)}
			c.nodes[2].signer = token
			c.nodes[2].start()
			c.waitReady()
			r.run(r.stutters(token))
			for _, m := range r.unasked() {
				r.run(m)
			}
			token.on.Store(true)
			for _, m := range r.withheld(token) {
				r.run(m)
			}
			r.takeNode3()
			token.on.Store(false)
			for _, m := range r.floods() {
				r.run(m)
			}
			r.leaveNode3()
			r.after()
		})
	}
	table.Flush()
	t.Log("\n" + text.String())
	if name := os.Getenv("MPCD_REDTEAM_TABLE"); name != "" && !t.Failed() {
		if err := os.WriteFile(name, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
