package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/presign"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/local"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkls23"
	"github.com/luxfi/mpcd/threshold/schemes"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// inside is a node of a cluster of three, furnished and not run: its lines are called by themselves. It has one token with the keys of
// all three, so that a test can attest as any of them.
type inside struct {
	*Node
	world  *thresholdtest.World // the committee; this node is its first party
	tokens hsm.Token
	seen   uint64 // entries of the audit log
	mu     sync.Mutex
	sent   []transport.Envelope
}

func nodeOf(p threshold.PartyID) transport.NodeID { return transport.NodeID(fmt.Sprint("node", p)) }

func newInside(t *testing.T) *inside {
	t.Helper()
	return newInsideAt(t, time.Now)
}

// newInsideAt is newInside by a clock.
func newInsideAt(t *testing.T, clock func() time.Time) *inside {
	t.Helper()
	ctx, x := t.Context(), &inside{world: thresholdtest.NewWorld(1, 3, 2)}
	u, err := hsm.ParseURI("local:" + filepath.Join(t.TempDir(), "token"))
	if err != nil {
		t.Fatal(err)
	}
	if x.tokens, err = local.Open(ctx, u, hsm.Options{Dev: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.tokens.Close() })
	r := attest.Roster{Version: attest.RosterVersion, Cluster: "test", Serial: 1}
	for i, p := range x.world.Committee.Parties {
		r.Nodes = append(r.Nodes, attest.RosterNode{ID: string(nodeOf(p)), Party: p, Identity: x.world.Committee.Identities[i],
			CosignKey: x.newKey(t, "cosign", p), AttestKey: x.newKey(t, "attest", p)})
	}
	self := r.Nodes[0]
	members, err := ceremony.NewMembers(&attest.SignedRoster{Roster: r}, transport.NodeID(self.ID))
	if err != nil {
		t.Fatal(err)
	}
	store := vaulttest.NewMemory()
	v, err := vault.Open(ctx, vault.Config{Store: store, Wrapper: vaulttest.NewWrapper("kek"), KEK: "kek", Node: self.ID})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	log, err := audit.Open(filepath.Join(t.TempDir(), "audit.log"), self.ID, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	heeded := &heededStore{store, outcomes{clock: time.Now}}
	c := Config{Cluster: "test", Node: transport.NodeID(self.ID), Vault: v, Store: heeded, AuditLog: log, Schemes: schemes.ByID,
		SchemeFor: schemes.For, Policy: Majority{}, Limits: Limits{}.withDefaults(), Clock: clock,
		Logger: slog.New(slog.DiscardHandler)}
	x.Node = &Node{core: core{cfg: c, members: members, base: ctx, store: heeded, token: &notary{
		hsm:    &heededSigner{Signer: x.tokens, outcomes: outcomes{clock: time.Now, at: time.Now()}},
		attest: x.key(t, "attest", self.Party), cluster: "test",
		node:  self.ID,
		clock: time.Now}, conn: x}}
	x.boot, x.slots = ceremony.Boot{1}, ceremony.NewSlots(c.Limits.Ceremonies, len(r.Nodes)-1)
	x.asked = ceremony.NewSlots(c.Limits.Ceremonies, len(r.Nodes)-1)
	x.furnish()
	x.gate.initiated = anybody
	x.clock.sure.Store(math.MaxInt64) // the others confirm what its clock says
	return x
}

// newKey makes a key of a party's in the token, and names it as a roster does.
func (x *inside) newKey(t *testing.T, use string, p threshold.PartyID) attest.Hex {
	t.Helper()
	if err := x.tokens.(hsm.KeyGenerator).GenerateKey(t.Context(), fmt.Sprint(use, p), hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
	der, err := attest.MarshalPublicKey(x.key(t, use, p).Public)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// remove has the node use a roster in which a party was removed.
func (x *inside) remove(t *testing.T, p threshold.PartyID) {
	t.Helper()
	r := x.members.Roster().Roster
	r.Nodes = slices.Clone(r.Nodes)
	r.Nodes[slices.IndexFunc(r.Nodes, func(n attest.RosterNode) bool { return n.Party == p })].Removed = true
	next, err := ceremony.NewMembers(&attest.SignedRoster{Roster: r}, x.cfg.Node)
	if err != nil {
		t.Fatal(err)
	}
	x.members.Renew(next)
}

func (x *inside) key(t *testing.T, use string, p threshold.PartyID) attest.Key {
	t.Helper()
	id := fmt.Sprint(use, p)
	pub, err := x.tokens.(hsm.PublicKeyer).PublicKey(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return attest.Key{ID: id, Public: pub}
}

// A node's network: what it sends is kept.

func (x *inside) Send(_ context.Context, e transport.Envelope) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sent = append(x.sent, e)
	return nil
}

func (x *inside) Recv(ctx context.Context) (transport.Envelope, error) {
	<-ctx.Done()
	return transport.Envelope{}, ctx.Err()
}

func (x *inside) Close() error { return nil }

// events are what is on record since they were asked for last.
func (x *inside) events(t *testing.T) (names []string) {
	t.Helper()
	es, err := x.cfg.AuditLog.Entries(x.seen, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		names, x.seen = append(names, e.Event), e.Seq
	}
	return names
}

// newKeyOf makes a key of the committee and puts this node's record of it into its ring.
func (x *inside) newKeyOf(t *testing.T, scheme threshold.Scheme, state keys.State) (id string, shares thresholdtest.Shares) {
	t.Helper()
	shares, err := x.world.Keygen(scheme)
	if err != nil {
		t.Fatal(err)
	}
	info := shares[x.world.Committee.Parties[0]].KeyInfo
	id = attest.KeyID(info.Kind, info.GroupKey)
	if err := x.keys.Put(t.Context(), id, keys.Record{Info: info, Scheme: scheme.ID(), State: state}); err != nil {
		t.Fatal(err)
	}
	return id, shares
}

// adoptPairs makes pair state of the committee and has this node adopt its part.
func (x *inside) adoptPairs(t *testing.T, epoch uint64) error {
	t.Helper()
	run := &thresholdtest.Run[threshold.PairState]{World: x.world, Sessions: map[threshold.PartyID]*threshold.Session[threshold.PairState]{}}
	for _, p := range x.world.Committee.Parties {
		var err error
		if run.Sessions[p], err = (dkls23.Scheme{}).NewPairState(x.world.Setup(p, nil, "pairs"), epoch, x.world.Rand(p)); err != nil {
			return err
		}
	}
	out, err := run.Go()
	if err != nil {
		return err
	}
	own := out[x.world.Committee.Parties[0]].Result
	if err := x.pairs.StoreNext(t.Context(), dkls23.Scheme{}, x.world.Committee, own); err != nil {
		return err
	}
	return x.pairs.Adopt(t.Context(), dkls23.Scheme{}, x.world.Committee, own.Digest())
}

// current is this node's pair state.
func (x *inside) current(t *testing.T) threshold.PairState {
	t.Helper()
	p, err := x.pairs.Current(t.Context(), dkls23.Scheme{}, x.world.Committee)
	if err != nil || p == nil {
		t.Fatalf("pair state %v: %v", p, err)
	}
	return p
}

// Goal: what ends a ceremony on its coordinator is on record and is told to its parties, who would wait for it in vain; what a party told,
// all know. Method: a ceremony that ends in each way.
func TestCoordinatorTellsRefusal(t *testing.T) {
	for name, row := range map[string]struct {
		err error
		say problem.Code // "" for nothing
	}{
		"well":              {nil, ""},
		"it refuses":        {problem.New(problem.Overload, "", "too much"), problem.Overload},
		"a party is silent": {&ceremony.SilenceError{}, problem.Quorum},
		"a party refuses":   {&ceremony.RefusedError{Refusal: ceremony.Refusal{Code: problem.Denied}}, ""},
		"it told us alone":  {&ceremony.RefusedError{Refusal: ceremony.Refusal{Code: problem.Denied}, Declined: true}, problem.Denied},
	} {
		x := newInside(t)
		d := &draft{proposal: &proposal{Operation: attest.OpSign, Signers: x.world.Committee.Parties}, body: []byte(name)}
		if err := x.lead(t.Context(), d, onRecord(), func(*ceremony.Ceremony) error { return row.err }); !errors.Is(err, row.err) {
			t.Errorf("%s: %v", name, err)
		}
		_, peers := x.members.Others(x.world.Committee.Parties)
		want := []uint8{ceremony.KindProposal}
		if row.say != "" {
			want = append(want, ceremony.KindRefusal)
		}
		var got []uint8
		for _, e := range x.sent {
			got = append(got, e.Kind)
			if !slices.Equal(e.To, peers) || e.Topic != proposalTopic(d.body) {
				t.Errorf("%s: kind %d goes to %v", name, e.Kind, e.To)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s: it sends %v, want %v", name, got, want)
		}
		var r ceremony.Refusal
		if row.say != "" && (canon.Unmarshal(x.sent[1].Body, &r) != nil || r.Code != row.say) {
			t.Errorf("%s: it tells %q, want %q", name, r.Code, row.say)
		}
		if on := x.events(t); (row.err != nil) != slices.Equal(on, []string{"sign.abort"}) {
			t.Errorf("%s: on record: %v", name, on)
		}
	}
}

// Goal: who was removed does not keep the others from what is sent to both, and what is for it alone goes to nobody; a ceremony waits for
// it still. Method: envelopes to two peers, to one and to all, after one of them was removed.
func TestSendToMembers(t *testing.T) {
	x := newInside(t)
	parties := x.world.Committee.Parties
	two, three := nodeOf(parties[1]), nodeOf(parties[2])
	send := func(to ...transport.NodeID) {
		was := slices.Clone(to)
		x.send(transport.Envelope{To: to})
		if !slices.Equal(to, was) {
			t.Errorf("the sender's list is %v now, was %v", to, was)
		}
	}
	x.remove(t, parties[2])
	send(three, two)
	send(three)
	send()
	if len(x.sent) != 2 || !slices.Equal(x.sent[0].To, []transport.NodeID{two}) || len(x.sent[1].To) != 0 {
		t.Errorf("sent: %v", x.sent)
	}
	if wait, tell := x.members.Others(parties); !slices.Equal(wait, parties[1:]) || !slices.Equal(tell, []transport.NodeID{two}) {
		t.Errorf("it waits for %v and tells %v", wait, tell)
	}
}

// Goal: the shares of who was removed while it signed end the try and accuse nobody. Method: shares of a party that is no member.
func TestSharesOfRemoved(t *testing.T) {
	x := newInside(t)
	gone := x.world.Committee.Parties[2]
	x.remove(t, gone)
	_, err := x.signing.openShares(t.Context(), &ceremony.Ceremony{}, gone, transport.Envelope{From: nodeOf(gone),
		Body: canon.MustMarshal(sharesBody{})}, nil, time.Now())
	var refused *ceremony.RefusedError
	if !errors.As(err, &refused) || refused.From != nodeOf(gone) || refused.Refusal.Code != problem.Conflict {
		t.Errorf("its shares: %v", err)
	}
}

// Goal: a key that waits is asked about at those parties alone that are members, and at nobody where none is. Method: a staged key whose
// parties are removed one after the other.
func TestAsksMembers(t *testing.T) {
	x, _, _, _ := newStaged(t)
	parties := x.world.Committee.Parties
	for _, row := range []struct {
		gone threshold.PartyID
		want [][]transport.NodeID
	}{{parties[2], [][]transport.NodeID{{nodeOf(parties[1])}}}, {parties[1], nil}} {
		x.remove(t, row.gone)
		x.sent = nil
		x.making.askAbout(t.Context(), &turns{})
		var to [][]transport.NodeID
		for _, e := range x.sent {
			to = append(to, e.To)
		}
		if !slices.EqualFunc(to, row.want, slices.Equal) {
			t.Errorf("without party %d: it asks %v, want %v", row.gone, to, row.want)
		}
	}
}

// Goal: who has us refuse without end does not have us tell the others each time: what they keep for us is for our words in ceremonies.
// Method: proposals of one member that nobody can take, of each operation that is counted by itself, more than there are in a minute.
func TestRefusesToTheAsker(t *testing.T) {
	x := newInside(t)
	asker := nodeOf(x.world.Committee.Parties[1])
	for _, op := range []attest.Operation{attest.OpSign, attest.OpPresign} {
		toAll, toOne := 0, 0
		for i := range 2 * refusalsMinute {
			body := canon.MustMarshal(proposal{Version: proposalVersion, Operation: op, Signers: x.world.Committee.Parties,
				Nonce: [16]byte{byte(i)}})
			x.answerProposal(t.Context(), transport.Envelope{From: asker, Topic: proposalTopic(body), Body: body})
			switch e := x.sent[len(x.sent)-1]; {
			case e.Kind != ceremony.KindRefusal || !slices.Contains(e.To, asker):
				t.Fatalf("kind %d goes to %v", e.Kind, e.To)
			case len(e.To) == 1:
				toOne++
			default:
				toAll++
			}
		}
		if toAll != refusalsMinute || toOne != refusalsMinute {
			t.Errorf("%s: %d refusals are told to all and %d to their coordinator alone, %d a minute are", op, toAll, toOne, refusalsMinute)
		}
	}
}

// Goal: what ends a key's epoch or pair state, a peer's good name or a coordinator's run ends the presignatures made with it.
// Method: one in the pool of a furnished node, and each of these.
func TestPoolHears(t *testing.T) {
	x := newInside(t)
	id, _ := x.newKeyOf(t, dkls23.Scheme{}, keys.Active)
	if err := x.adoptPairs(t, 1); err != nil {
		t.Fatal(err)
	}
	parties := x.world.Committee.Parties
	g := presign.Group{Coordinator: nodeOf(parties[1]), Key: id, Epoch: 1, Scheme: dkls23.ID, Signers: parties[:2]}
	boots := func() error {
		for boot := range 2 {
			x.peers.Heartbeat(transport.Envelope{From: g.Coordinator, Body: canon.MustMarshal(struct {
				Version string        `cbor:"1,keyasint"`
				Ready   bool          `cbor:"2,keyasint"`
				Boot    ceremony.Boot `cbor:"3,keyasint"`
			}{Boot: ceremony.Boot{byte(boot + 1)}})})
		}
		return nil
	}
	for _, row := range []struct {
		name string
		end  func() error
	}{
		{"nothing", func() error { return nil }},
		{"the coordinator", boots},
		{"a peer", func() error {
			return x.pairs.KeepBans(t.Context(), dkls23.Scheme{}, x.world.Committee, x.current(t),
				&threshold.Abort{Kind: threshold.Ban, Culprits: g.Signers[1:]})
		}},
		{"the pair state", func() error { return x.adoptPairs(t, 2) }},
		{"the epoch", func() error {
			rec, err := x.keys.Record(t.Context(), id)
			rec.Info.Epoch++
			return errors.Join(err, x.keys.Put(t.Context(), id, rec))
		}},
	} {
		x.pool.Add(g, x.current(t).Digest(), nil, []*threshold.Presignature{{ID: [32]byte{1}}})
		if err := row.end(); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		if held := x.pool.Counts().Held; (held == 0) != (row.name != "nothing") {
			t.Errorf("%s ends: %d presignatures are held", row.name, held)
		}
		x.pool.DropKey(id, 9)
	}
}
