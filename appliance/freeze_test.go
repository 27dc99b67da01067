package appliance_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// twoOfThree gives the cluster three officers, of whom two decide.
func (c *cluster) twoOfThree() map[string]ed25519.PrivateKey {
	c.t.Helper()
	keys := map[string]ed25519.PrivateKey{}
	c.asker.Chain = c.change(func(a *attest.Authority) {
		a.Quorum, a.Officers = 2, nil
		for _, name := range []string{"olga", "otto", "ove"} {
			keys[name] = ed25519.NewKeyFromSeed(randomSeed())
			der, err := attest.MarshalPublicKey(keys[name].Public())
			if err != nil {
				c.t.Fatal(err)
			}
			a.Officers = append(a.Officers, attest.Officer{Name: name, Key: der})
		}
	})
	for _, m := range c.nodes {
		if err := m.node.TakeAuthority(c.t.Context(), c.asker.Chain); err != nil {
			c.t.Fatal(err)
		}
	}
	return keys
}

// thawBy are the words of officers on a freeze.
func (c *cluster) thawBy(f *appliance.FreezeState, keys map[string]ed25519.PrivateKey, names ...string) *attest.SignedThaw {
	c.t.Helper()
	t := &attest.SignedThaw{Thaw: attest.Thaw{Cluster: "test", Freeze: f.Freeze.Digest(), Authority: f.Authority}}
	for _, name := range names {
		s, err := t.Thaw.Sign(name, sim.Sign(keys[name]))
		if err != nil {
			c.t.Fatal(err)
		}
		t.Signatures = append(t.Signatures, s)
	}
	return t
}

// freezes has a node freeze something, and waits until all that run know.
func (m *member) freezes(scope attest.Scope, name string) *appliance.FreezeState {
	m.c.t.Helper()
	before := map[*member]int{}
	for _, x := range m.c.nodes {
		before[x], _ = x.node.Frozen()
	}
	f, err := m.front().Freeze(m.c.t.Context(), appliance.FreezeRequest{Scope: scope, Name: name, Reason: "a theft", Requester: "op"})
	if err != nil {
		m.c.t.Fatal(err)
	}
	for _, x := range m.c.nodes {
		sim.Wait(m.c.t, string(x.id)+" knows of the freeze", func() bool {
			now, _ := x.node.Frozen()
			return x.stop == nil || now > before[x]
		})
	}
	return f
}

// allowed waits until nothing is frozen at any node.
func (c *cluster) allowed() {
	c.t.Helper()
	for _, m := range c.nodes {
		sim.Wait(c.t, string(m.id)+" knows of the thaw", func() bool { force, _ := m.node.Frozen(); return force == 0 })
	}
}

func (m *member) pays(wallet, session string) error {
	_, err := m.node.Sign(m.c.t.Context(), appliance.SignRequest{SessionID: session, WalletID: wallet, Message: []byte("m")})
	return err
}

func isFrozen(err error) bool {
	return problem.As(err) != nil && problem.As(err).Code == problem.Frozen
}

// Goal: one node freezes, and at every node nobody signs, refreshes or makes a key of what it covers, and all else goes on; a restart of
// all keeps it. Method: wallets of two vaults, each scope in turn, thawed by two officers; requests at the other nodes.
func TestFreeze(t *testing.T) {
	c := newCluster(t, 3)
	officers, ctx := c.twoOfThree(), t.Context()
	made := func(m *member, session, vault string) (*appliance.Wallet, error) {
		return m.node.Keygen(ctx, appliance.KeygenRequest{SessionID: session, Curve: "ed25519", Protocol: "frost", Threshold: 2, Total: 3,
			Group: vault})
	}
	var w [2]*appliance.Wallet
	for i, vault := range []string{"cold", "hot"} {
		var err error
		if w[i], err = made(c.nodes[0], "", vault); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		scope  attest.Scope
		name   string
		other  bool // the wallet of the other vault is frozen too
		keygen bool // keys of the vault too
	}{{attest.ScopeWallet, w[0].ID, false, false}, {attest.ScopeVault, "cold", false, true}, {attest.ScopeCluster, "", true, true}} {
		f := c.nodes[1].freezes(row.scope, row.name)
		if row.scope == attest.ScopeCluster {
			for _, m := range c.nodes {
				m.halt()
			}
			for _, m := range c.nodes {
				m.start()
			}
			c.waitReady()
		}
		for _, m := range c.nodes {
			at := fmt.Sprintf("%s-%s", row.scope, m.id)
			err := m.pays(w[0].ID, at)
			if p := problem.As(err); !isFrozen(err) || !strings.Contains(p.Message, "frozen by node2 since ") ||
				!strings.HasSuffix(p.Message, ": a theft") || !strings.Contains(p.Next, "mpcd freeze thaw") {
				t.Errorf("%s: %v", at, err)
			}
			if err := m.pays(w[1].ID, at+"-other"); isFrozen(err) != row.other || err != nil && !row.other {
				t.Errorf("%s, the other: %v", at, err)
			}
			if _, err := m.node.Refresh(ctx, appliance.RefreshRequest{WalletID: w[0].ID}); !isFrozen(err) {
				t.Errorf("%s, refresh: %v", at, err)
			}
			if r := m.node.Readiness(); !r.Ready || m.node.Counts().Freezes != 1 {
				t.Errorf("%s: %+v", at, r)
			}
		}
		if _, err := made(c.nodes[2], "key-"+string(row.scope), "cold"); isFrozen(err) != row.keygen || err != nil && !row.keygen {
			t.Errorf("%s, keygen: %v", row.scope, err)
		}
		thaw := c.thawBy(f, officers, "olga", "ove")
		if s, err := c.nodes[2].front().Thaw(ctx, f.Freeze.Digest(), thaw.Signatures); err != nil || s.Thaw == nil {
			t.Fatal(err)
		}
		c.allowed()
		for _, m := range c.nodes {
			if err := m.pays(w[0].ID, fmt.Sprintf("%s-%s", row.scope, m.id)); err != nil { // the same request
				t.Errorf("thawed, %s: %v", m.id, err)
			}
		}
	}
	for _, m := range c.nodes {
		if n := count(t, m, "freeze.set"); n != 3 {
			t.Errorf("%s: %d freezes on record", m.id, n)
		}
		if n := count(t, m, "freeze.thawed"); n != 3 {
			t.Errorf("%s: %d thaws on record", m.id, n)
		}
	}
}

// count tells how many entries of a name a node's audit log has.
func count(t *testing.T, m *member, event string) (n int) {
	t.Helper()
	all, err := m.node.AuditLog().Entries(0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Event == event {
			n++
		}
	}
	return n
}

// Goal: signers refuse what is frozen whatever their coordinator does, and what they had permitted when the freeze came. Method: a
// coordinator that judges nothing and asks nobody; signers whose gates see the freeze only when they look for the second time.
func TestFreezeRogueCoordinator(t *testing.T) {
	c := newCluster(t, 3)
	blind := c.blindable()
	w := c.keygen("ed25519", 2, 3)
	ctx, rogue := t.Context(), c.nodes[0].node
	rogue.AskNobody()
	forged := func(session string) error {
		_, err := rogue.SignForged(ctx, w.ID, session, []threshold.PartyID{2, 3}, []byte("m"), func(*attest.Intent) {}, false)
		return err
	}
	if err := forged("before"); err != nil {
		t.Fatal(err)
	}
	c.nodes[2].freezes(attest.ScopeWallet, w.ID)
	began := len(c.nodes[1].entries(t, "share.sign"))
	if err := forged("after"); appliance.RefusedWith(err) != problem.Frozen {
		t.Errorf("a coordinator that judges nothing: %v", err)
	}
	if n := len(c.nodes[1].entries(t, "share.sign")); n != began {
		t.Error("a signer began with what is frozen")
	}
	for _, b := range blind {
		b.Store(1)
	}
	if err := forged("late"); appliance.RefusedWith(err) != problem.Frozen {
		t.Errorf("a freeze that came after the gate: %v", err)
	}
}

// Goal: the officers of the authority in force thaw, as many as its quorum, each by a good signature on this freeze; nothing else does, and
// a freeze that comes again stays thawed. Method: words of one officer, of one twice, of strangers, on another freeze, under another
// authority, by the API and as a peer's; then two officers, and the freeze once more, after a restart too.
func TestThaw(t *testing.T) {
	c := newCluster(t, 3)
	officers, ctx := c.twoOfThree(), t.Context()
	w := c.keygen("ed25519", 2, 3)
	f, other := c.nodes[0].freezes(attest.ScopeWallet, w.ID), c.nodes[1].freezes(attest.ScopeVault, "cold")
	at, id := c.nodes[1], f.Freeze.Digest()
	signed, _ := at.node.SignedFreeze(id)
	refused := func(name string, x *attest.SignedThaw) {
		t.Helper()
		if _, err := at.front().Thaw(ctx, id, x.Signatures); problem.As(err) == nil || problem.As(err).Code != problem.Denied {
			t.Errorf("%s: %v", name, err)
		}
		at.node.TellFreeze(ctx, "node3", *signed, x)
		if _, thaw := at.node.SignedFreeze(id); thaw != nil {
			t.Fatalf("%s, of a peer, thaws", name)
		}
	}
	refused("nobody", c.thawBy(f, officers))
	refused("one", c.thawBy(f, officers, "olga"))
	refused("one twice", c.thawBy(f, officers, "olga", "olga"))
	refused("another freeze", c.thawBy(other, officers, "olga", "otto"))
	stranger := map[string]ed25519.PrivateKey{"olga": officers["olga"], "otto": officers["ove"]}
	refused("one by another's key", c.thawBy(f, stranger, "olga", "otto"))
	elsewhere := *f
	elsewhere.Authority = attest.Hash{1}
	refused("under another authority", c.thawBy(&elsewhere, officers, "olga", "otto"))

	good := c.thawBy(f, officers, "olga", "otto")
	if _, err := at.front().Thaw(ctx, id, good.Signatures); err != nil {
		t.Fatal(err)
	}
	for _, m := range c.nodes {
		sim.Wait(t, string(m.id)+" pays again", func() bool { force, _ := m.node.Frozen(); return force == 1 })
	}
	for range 2 {
		at.node.TellFreeze(ctx, "node3", *signed, nil)
		if err := at.pays(w.ID, ""); err != nil {
			t.Errorf("the freeze comes again: %v", err)
		}
		at.halt()
		at.start()
		c.waitReady()
	}
}

// Goal: what is long thawed does not freeze a node that comes late, also where officers have changed since; a thaw of former officers ends
// no freeze that is in force. Method: a node that has forgotten all freezes hears of both.
func TestThawOfBefore(t *testing.T) {
	c := newCluster(t, 3)
	officers, ctx := c.twoOfThree(), t.Context()
	f := c.nodes[0].freezes(attest.ScopeCluster, "")
	id := f.Freeze.Digest()
	thaw := c.thawBy(f, officers, "olga", "otto")
	if _, err := c.nodes[0].front().Thaw(ctx, id, thaw.Signatures); err != nil {
		t.Fatal(err)
	}
	c.allowed()
	signed, _ := c.nodes[0].node.SignedFreeze(id)
	next := c.asker.Chain[len(c.asker.Chain)-1].Authority
	next.Serial, next.Prior, next.Officers = next.Serial+1, next.Digest(), next.Officers[1:] // without olga
	link := attest.SignedAuthority{Authority: next}
	for _, name := range []string{"olga", "otto"} {
		s, err := next.Sign(name, sim.Sign(officers[name]))
		if err != nil {
			t.Fatal(err)
		}
		link.Signatures = append(link.Signatures, s)
	}
	late := c.nodes[2]
	late.halt()
	if err := late.state.Batch(ctx, nil, [][]byte{[]byte(appliance.RecordFreeze + id.String())}); err != nil {
		t.Fatal(err)
	}
	c.nodes[0].halt() // so that it hears from the test alone
	c.nodes[1].halt()
	late.start()
	sim.Wait(t, "it serves", func() bool { return late.node.Readiness().Checks[0].OK })
	if err := late.node.TakeAuthority(ctx, append(c.asker.Chain, link)); err != nil {
		t.Fatal(err)
	}
	few := *thaw
	few.Signatures = thaw.Signatures[:1]
	late.node.TellFreeze(ctx, "node1", *signed, &few)
	if force, all := late.node.Frozen(); force != 1 || all != 1 {
		t.Errorf("with the word of one: %d of %d in force", force, all)
	}
	late.node.TellFreeze(ctx, "node1", *signed, thaw)
	if force, _ := late.node.Frozen(); force != 1 {
		t.Error("former officers end a freeze that is in force")
	}
	late.halt()
	if err := late.state.Batch(ctx, nil, [][]byte{[]byte(appliance.RecordFreeze + id.String())}); err != nil {
		t.Fatal(err)
	}
	late.start()
	sim.Wait(t, "it serves", func() bool { return late.node.Readiness().Checks[0].OK })
	late.node.TellFreeze(ctx, "node1", *signed, thaw)
	if force, all := late.node.Frozen(); force != 0 || all != 1 {
		t.Errorf("what was thawed before: %d of %d in force", force, all)
	}
	late.halt()
	late.start()
	sim.Wait(t, "it serves", func() bool { return late.node.Readiness().Checks[0].OK })
	if force, all := late.node.Frozen(); force != 0 || all != 1 {
		t.Errorf("after a restart, alone: %d of %d in force", force, all)
	}
}

// Goal: a freeze counts that a member's own token has attested, for this cluster, and no other. Method: freezes bent in each way, told as a
// peer's.
func TestForgedFreeze(t *testing.T) {
	c := newCluster(t, 3)
	ctx, at := t.Context(), c.nodes[0]
	good := attest.Freeze{Version: attest.FreezeVersion, Cluster: "test", Node: "node2", Scope: attest.ScopeCluster, Reason: "r",
		Created: time.Now().UnixMilli(), Nonce: make([]byte, 16)}
	sign := func(m *member, f attest.Freeze, key string) attest.SignedFreeze {
		pub, err := attest.ParsePublicKey(m.publicKey(ctx, key))
		if err != nil {
			t.Fatal(err)
		}
		s, err := f.Attest(ctx, m.token, attest.Key{ID: key, Public: pub})
		if err != nil {
			t.Fatal(err)
		}
		return *s
	}
	bent := func(change func(f *attest.Freeze)) attest.Freeze {
		f := good
		change(&f)
		return f
	}
	changed := sign(c.nodes[1], good, "attest")
	changed.Freeze.Reason = "another"
	late := sign(c.nodes[1], good, "attest")
	late.Freeze.Created++
	foreign := bent(func(f *attest.Freeze) { f.Cluster = "other" }) // under a header of this cluster: no officer could thaw it
	pub, err := attest.ParsePublicKey(c.nodes[1].publicKey(ctx, "attest"))
	if err != nil {
		t.Fatal(err)
	}
	batch, err := attest.Attest(ctx, c.nodes[1].token, attest.Key{ID: "attest", Public: pub}, attest.Header{Kind: attest.KindFreeze,
		Cluster: "test", Node: "node2", Time: foreign.Created}, [][]byte{canon.MustMarshal([]any{"mpcd/v1/freeze", foreign})})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]attest.SignedFreeze{
		"of another, attested here": {Freeze: foreign, Cose: batch.Cose},
		"in another's name":         sign(c.nodes[2], good, "attest"),
		"by another key of its":     sign(c.nodes[1], good, "cosign"),
		"of no member":              sign(c.nodes[1], bent(func(f *attest.Freeze) { f.Node = "node9" }), "attest"),
		"of another cluster":        sign(c.nodes[1], bent(func(f *attest.Freeze) { f.Cluster = "other" }), "attest"),
		"changed":                   changed,
		"of another time":           late,
		"unsigned":                  {Freeze: good},
	} {
		at.node.TellFreeze(ctx, "node2", s, nil)
		if force, all := at.node.Frozen(); force+all != 0 {
			t.Fatalf("a freeze %s is taken up", name)
		}
	}
	at.node.TellFreeze(ctx, "node3", sign(c.nodes[1], good, "attest"), nil)
	if force, _ := at.node.Frozen(); force != 1 {
		t.Error("a good freeze is not taken up from whoever brings it")
	}
}

// Goal: who was away when something was frozen hears of it, and of its thaw, when it comes back. Method: a node that does not run at the
// time; what it missed is told with the beats.
func TestFreezeReachesWhoWasAway(t *testing.T) {
	c := newCluster(t, 3)
	officers := c.twoOfThree()
	away := c.nodes[2]
	away.halt()
	f := c.nodes[0].freezes(attest.ScopeCluster, "")
	away.start()
	sim.Wait(t, "it knows of the freeze", func() bool { force, _ := away.node.Frozen(); return force == 1 })
	away.halt()
	if _, err := c.nodes[1].front().Thaw(t.Context(), f.Freeze.Digest(), c.thawBy(f, officers, "olga", "otto").Signatures); err != nil {
		t.Fatal(err)
	}
	away.start()
	c.allowed()
}

// Goal: a node has its part of what is frozen and no more, others theirs; what is over is kept up to a bound, the oldest goes first.
// Method: a node that freezes to the bound and beyond; then thaws, more than are kept.
func TestFreezeBounds(t *testing.T) {
	c := newCluster(t, 3)
	officers, ctx := c.twoOfThree(), t.Context()
	one, two := c.nodes[0], c.nodes[1]
	freeze := func(m *member) (*appliance.FreezeState, error) {
		return m.front().Freeze(ctx, appliance.FreezeRequest{Scope: attest.ScopeVault, Name: "v", Reason: "r"})
	}
	var all []*appliance.FreezeState
	for range appliance.MaxFreezes {
		f, err := freeze(one)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	if _, err := freeze(one); problem.As(err).Code != problem.Overload {
		t.Errorf("one more: %v", err)
	}
	if _, err := freeze(two); err != nil {
		t.Errorf("another node has no part of its own: %v", err)
	}
	thaw := func(f *appliance.FreezeState) {
		if _, err := one.front().Thaw(ctx, f.Freeze.Digest(), c.thawBy(f, officers, "olga", "otto").Signatures); err != nil {
			t.Fatal(err)
		}
	}
	first := all[0]
	thaw(first)
	for i := range appliance.KeptFreezes - appliance.MaxFreezes + 1 {
		f, err := freeze(one)
		if err != nil {
			t.Fatal(i, err)
		}
		thaw(f)
	}
	if _, n := one.node.Frozen(); n > appliance.KeptFreezes+1 {
		t.Errorf("%d are kept", n)
	}
	if s, _ := one.node.SignedFreeze(first.Freeze.Digest()); s != nil {
		t.Error("the one thawed first is kept")
	}
	one.halt()
	one.start()
	c.waitReady()
	if _, n := one.node.Frozen(); n > appliance.KeptFreezes+1 {
		t.Errorf("%d are kept after a restart", n)
	}
}

// Goal: a request that waits for people waits on while its wallet is frozen, and is done when it is thawed. Method: the last approval comes
// while it is frozen.
func TestFrozenRequestWaits(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	people, ctx := c.approving(), t.Context()
	officers := c.twoOfThree()
	for _, m := range c.nodes {
		m.node.WaitTurns(0) // each would try it at once
	}
	in := c.waits(w.ID, "pay")
	f := c.nodes[2].freezes(attest.ScopeWallet, w.ID)
	people.approve(t, in, c.nodes[0].node.KeyInfo(ctx, w.ID), "ann", "ben")
	for _, x := range in.Approvals {
		if _, err := c.nodes[1].front().Approve(ctx, "pay", x); err != nil {
			t.Fatal(err)
		}
	}
	c.everywhere("pay", appliance.Running)
	time.Sleep(time.Second) // some beats
	for i, m := range c.nodes {
		o, err := m.front().Operation(ctx, "pay")
		if err != nil || o.State != appliance.Running || !strings.Contains(o.Why, "is frozen by node3") {
			t.Errorf("%s: %+v, %v", m.id, o, err)
		}
		if n := count(t, m, "sign.refuse"); n > max(0, 1-i) { // of node1's caller, before anybody approved
			t.Errorf("%s has tried it: %d refusals on record", m.id, n)
		}
	}
	thawed := time.Now()
	if _, err := c.nodes[0].front().Thaw(ctx, f.Freeze.Digest(), c.thawBy(f, officers, "ove", "otto").Signatures); err != nil {
		t.Fatal(err)
	}
	c.everywhere("pay", appliance.Succeeded)
	if took := time.Since(thawed); took > 20*time.Second {
		t.Errorf("it was done %s after the thaw: nobody woke it", took)
	}
}

// Goal: a freeze covers before it is stored, so that a full disk stops nothing of it; it is stored when that can be. Who asks hears that it
// is in force and not stored, and not to repeat it. Method: a store that takes no writes for a while.
func TestFreezeOnFullDisk(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	m := c.nodes[0]
	m.halt()
	disk := &fullStore{Store: m.state}
	m.state = disk
	m.start()
	c.waitReady()
	disk.full.Store(true)
	_, err := m.front().Freeze(t.Context(), appliance.FreezeRequest{Scope: attest.ScopeWallet, Name: w.ID, Reason: "r"})
	if e := problem.As(err); err == nil || e.Code != problem.Storage || !e.Done || !strings.Contains(e.Message,
		"is in force here, and the others were told, but this node could not store it") || !strings.HasPrefix(e.Next, "do not repeat it; ") {
		t.Errorf("it is said to be kept, or not to be in force: %v", err)
	}
	for _, x := range c.nodes {
		sim.Wait(t, string(x.id)+" knows of the freeze", func() bool { force, _ := x.node.Frozen(); return force == 1 })
	}
	disk.full.Store(false)
	sim.Wait(t, "it is stored", func() bool {
		n := 0
		err := m.state.Iterate(t.Context(), []byte(appliance.RecordFreeze), func(_, _ []byte) error { n++; return nil })
		return err == nil && n == 1
	})
}

// fullStore takes no writes while it is full.
type fullStore struct {
	vault.Store
	full atomic.Bool
}

func (s *fullStore) Batch(ctx context.Context, puts []vault.Pair, gone [][]byte) error {
	if s.full.Load() {
		return errors.New("the disk is full")
	}
	return s.Store.Batch(ctx, puts, gone)
}
