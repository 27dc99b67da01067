package appliance

import (
	"context"
	"errors"
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
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// cosignFails is why the node's token does not co-sign.
func cosignFails(t *testing.T, x *inside) error {
	t.Helper()
	self, _ := x.members.Member(x.cfg.Node)
	x.token.cosign = attest.Key{ID: key(x, "cosign"), Public: self.Cosign}
	_, err := x.token.cosigns(t.Context(), [][]byte{make([]byte, 32)})
	if err == nil {
		t.Fatal("co-signed")
	}
	return err
}

// failingToken is a token that signs nothing while err is set.
type failingToken struct {
	hsm.Signer
	err error
}

func (f *failingToken) Sign(ctx context.Context, key string, m []byte) ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.Signer.Sign(ctx, key, m)
}

// Goal: a node that its roster has alone says that another is to be enrolled, since no waiting brings it a signer; one of three waits.
// Method: a roster of three, of which two are removed.
func TestAloneIsToldToEnrol(t *testing.T) {
	x := newInside(t)
	for _, gone := range x.world.Committee.Parties[1:] {
		if c := quorumOf(x); c.OK || c.Next != "" {
			t.Errorf("with others: %+v", c)
		}
		x.remove(t, gone)
	}
	if c := quorumOf(x); c.OK || c.Next != EnrolAnother || !strings.Contains(c.Detail, "one node never signs") {
		t.Errorf("alone: %+v", c)
	}
}

func quorumOf(x *inside) Check {
	all := x.Readiness().Checks
	return all[slices.IndexFunc(all, func(c Check) bool { return c.Name == "quorum" })]
}

func key(x *inside, use string) string { return fmt.Sprint(use, x.members.SelfParty()) }

// sayTwice has a peer tell how it is, and that it hears two runs of this node, if it does.
func sayTwice(x *inside, p threshold.PartyID, twice bool) {
	type twins struct {
		Party threshold.PartyID `cbor:"1,keyasint"`
		Runs  [2]ceremony.Boot  `cbor:"2,keyasint"`
	}
	told := struct {
		Version uint8       `cbor:"1,keyasint"`
		Digest  attest.Hash `cbor:"6,keyasint"`
		Twins   []twins     `cbor:"7,keyasint,omitempty"`
	}{Version: 2}
	if twice {
		told.Twins = []twins{{x.members.SelfParty(), [2]ceremony.Boot{x.boot, {8}}}}
	}
	x.peers.Heard(nodeOf(p))
	x.peers.Heartbeat(transport.Envelope{From: nodeOf(p), Body: canon.MustMarshal(struct {
		Version string        `cbor:"1,keyasint"`
		Ready   bool          `cbor:"2,keyasint"`
		Boot    ceremony.Boot `cbor:"3,keyasint"`
		Told    []byte        `cbor:"4,keyasint"`
	}{"1", true, ceremony.Boot{byte(p), 1}, canon.MustMarshal(told)})})
}

// Goal: a node is not ready, and says why to callers and peers, when what it needs to sign failed the last time, when its clock is off
// against most peers', when it runs twice, and when its host says so; and is ready again when the next attempt succeeds. Method: each of
// these of a furnished node.
func TestOwnChecks(t *testing.T) {
	see := func(s map[string]transport.Sight) func(*testing.T, *inside) {
		return func(_ *testing.T, x *inside) {
			self := x.cfg.Node
			x.peers.Sight = func(id transport.NodeID) transport.Sight {
				if id == self {
					return s["self"]
				}
				return s[strings.TrimLeft(string(id), "abcdefghijklmnopqrstuvwxyz")]
			}
		}
	}
	twice := func(sayers ...threshold.PartyID) func(*testing.T, *inside) {
		return func(_ *testing.T, x *inside) {
			for _, p := range x.world.Committee.Parties[1:] {
				sayTwice(x, p, slices.Contains(sayers, p))
			}
		}
	}
	now := time.Now()
	ahead := func(d time.Duration) transport.Sight { return transport.Sight{Ahead: d * time.Second, At: now} }
	for name, row := range map[string]struct {
		do   func(*testing.T, *inside)
		fail string // the check that fails
		say  string
	}{
		"nothing": {func(*testing.T, *inside) {}, "", ""},
		"token": {func(t *testing.T, x *inside) {
			x.token.hsm.Signer = &failingToken{x.tokens, errors.New("the token is gone")}
			if e := problem.As(cosignFails(t, x)); e.Code != problem.HSM || e.Next == TokenAway {
				t.Fatalf("%v; %s", e, e.Next)
			}
		}, "token", "the token is gone"},
		"token that is away": {func(t *testing.T, x *inside) {
			x.token.hsm.Signer = &failingToken{x.tokens, fmt.Errorf("no answer: %w", hsm.ErrUnavailable)}
			if e := problem.As(cosignFails(t, x)); e.Code != problem.HSM || e.Next != TokenAway {
				t.Errorf("a request that failed by a token that is away: %v; %s", e, e.Next)
			}
		}, "token", "no answer"},
		"caller of the token": {func(t *testing.T, x *inside) {
			x.token.hsm.Signer = &failingToken{x.tokens, context.Canceled}
			_, _ = x.token.hsm.Sign(t.Context(), key(x, "attest"), make([]byte, 32))
		}, "", ""},
		"store": {func(t *testing.T, x *inside) {
			if err := errors.Join(x.cfg.Store.Close(), x.keepBoot(t.Context(), 1)); err == nil {
				t.Fatal("written")
			}
		}, "store", "closed"},
		"audit": {func(t *testing.T, x *inside) {
			if err := errors.Join(x.cfg.AuditLog.Close(), x.cfg.AuditLog.Append(t.Context(), audit.Event{Name: "x"})); err == nil {
				t.Fatal("written")
			}
		}, "audit", "closed"},
		"clock":                            {see(map[string]transport.Sight{"5": ahead(130), "7": ahead(125)}), "clock", "2m10s ahead"},
		"clock of the only peer":           {see(map[string]transport.Sight{"5": ahead(130)}), "clock", "one of two clocks is off"},
		"clock of the only peer, a little": {see(map[string]transport.Sight{"5": ahead(100)}), "", ""},
		"clock of one peer":                {see(map[string]transport.Sight{"5": ahead(130), "7": ahead(0)}), "", ""},
		"clocks both ways":                 {see(map[string]transport.Sight{"5": ahead(130), "7": ahead(-130)}), "", ""},
		"twice":                            {see(map[string]transport.Sight{"self": {Twice: now}}), "run", "runs twice"},
		"twice, as one of two peers says":  {twice(5), "", ""},
		"twice, as both peers say":         {twice(5, 7), "run", "runs twice: "},
		"host": {func(_ *testing.T, x *inside) {
			x.cfg.Checks = func() []Check { return []Check{{Name: "certificate", Detail: "expired"}} }
		}, "certificate", "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			x := newInside(t)
			x.serve(true)
			row.do(t, x)
			state, r, said := x.state(), x.Readiness(), false
			for _, c := range r.Checks {
				if c.Name == "quorum" || c.Name == "heard" {
					continue
				}
				if stays := (strings.Contains("clock run", c.Name) || strings.Contains(name, "is away")) && !c.OK; stays != (c.Next != "") {
					t.Errorf("%s: to do: %q", c.Name, c.Next)
				}
				if c.OK == (c.Name == row.fail) {
					t.Errorf("%s: %v, %s", c.Name, c.OK, c.Detail)
				}
				said = said || c.Name == row.fail && strings.Contains(c.Detail, row.say)
			}
			if said != (row.fail != "") || state.Ready != (row.fail == "") || strings.Join(state.Failing, "") != row.fail ||
				row.fail != "" && r.Ready {
				t.Errorf("%+v, told to peers: %+v", r, state)
			}
		})
	}
}

// Goal: a node of whose keys some cannot sign is ready, and the doctor warns of it; where none can, waiting may heal it. Method: how many
// can.
func TestSomeGroupsAreShort(t *testing.T) {
	x := newInside(t)
	for s, warned := range map[signers]bool{{can: 2, need: 2, all: 2}: false, {can: 2, need: 2, short: 1, all: 2}: true,
		{can: 1, need: 2, short: 2, all: 2}: false} {
		c := x.quorumCheck(s)
		if c.OK != s.enough() || strings.HasPrefix(c.Next, "start the missing nodes") != warned || !warned && c.Next != "" {
			t.Errorf("%+v: %+v", s, c)
		}
	}
}

// Goal: what a node has stored and cannot open any more is seen in its checks from then on, and in its own row among the nodes; its peers
// go on with the keys that are whole. Method: pair state that does not open.
func TestDamageIsShown(t *testing.T) {
	x := newInside(t)
	x.serve(true)
	damaged := func(r Readiness) bool {
		return slices.ContainsFunc(r.Checks, func(c Check) bool {
			return c.Name == "secrets" && !c.OK && strings.Contains(c.Detail, "the pair state of parties 1 and 2 cannot be opened") &&
				c.Next == problem.StopFirst
		})
	}
	if damaged(x.Readiness()) {
		t.Error("nothing was opened")
	}
	_ = x.damage.Failed("the pair state of parties 1 and 2", "cannot be opened", vault.ErrCorrupt)
	if r := x.Readiness(); r.Ready || !damaged(r) {
		t.Errorf("%+v", r)
	}
	if _, trouble := x.readyNode(x.cfg.Node); !strings.Contains(trouble, "secrets: the pair state") {
		t.Errorf("its own trouble: %s", trouble)
	}
	if s := x.state(); !s.Ready || len(s.Failing) != 0 {
		t.Errorf("told to peers: %+v", s)
	}
}

// Goal: what failed is tried again by the node itself, since nobody else asks it any more. Method: a token that fails, and then works.
func TestMend(t *testing.T) {
	x := newInside(t)
	gone := &failingToken{x.tokens, errors.New("gone")}
	x.token.hsm.Signer = gone
	_, _ = x.token.hsm.Sign(t.Context(), key(x, "attest"), make([]byte, 32))
	x.cfg.CosignKey = key(x, "cosign")
	if x.mend(t.Context()); x.token.hsm.check("", "").OK {
		t.Error("a token that still fails is well")
	}
	gone.err = nil
	if x.mend(t.Context()); !x.token.hsm.check("", "").OK {
		t.Error("a token that works again is not seen")
	}
	gone.err = errors.New("gone while idle")
	if x.mend(t.Context()); !x.token.hsm.check("", "").OK {
		t.Error("a token is asked without need")
	}
	x.token.hsm.clock = func() time.Time { return time.Now().Add(probeAfter + time.Second) }
	if x.mend(t.Context()); x.token.hsm.check("", "").OK {
		t.Error("an idle token that is gone is not seen")
	}
}

// Goal: what a check says is for who keeps the node, without the names of packages. Method: an error as the store's.
func TestChecksArePlain(t *testing.T) {
	if c := wellIf("store", errors.New("badgerstore: durable: commits: broken"), ""); c.OK || c.Detail != "commits: broken" {
		t.Errorf("%+v", c)
	}
}

// Goal: a run of a node that runs twice has nothing signed by its peers. Method: a proposal by a peer that runs twice, and by one that ran
// twice a while ago.
func TestTwiceProposal(t *testing.T) {
	x := newInside(t)
	from := nodeOf(x.world.Committee.Parties[1])
	p := &proposal{Version: proposalVersion, Operation: attest.OpSign, Intents: [][]byte{{1}}, Signers: x.world.Committee.Parties[:2],
		Boots: x.peers.Boots(x.members.Nodes(x.world.Committee.Parties[:2]))}
	for ago, want := range map[time.Duration]problem.Code{0: problem.Denied, time.Minute: problem.Invalid} {
		x.peers.Sight = func(transport.NodeID) transport.Sight { return transport.Sight{Twice: time.Now().Add(-ago)} }
		if _, err := x.judgeProposal(p, from); err == nil || problem.As(err).Code != want {
			t.Errorf("of one that ran twice %s ago: %v", ago, err)
		}
	}
}

// Goal: a default for keys to come, which was right before nodes were removed, makes no node unready, and who asks for a key without a
// threshold is told what to ask for. Method: a default of four in a roster of three.
func TestThresholdOutgrown(t *testing.T) {
	x := newInside(t)
	x.cfg.Threshold = 4
	for _, c := range x.Readiness().Checks {
		if c.Name == "quorum" && !strings.Contains(c.Detail, "1 of 3 nodes can sign, 3 needed") {
			t.Errorf("%s", c.Detail)
		}
	}
	_, _, err := x.making.plan(KeygenRequest{Curve: "ed25519"})
	if e := problem.As(err); err == nil || e.Code != problem.Invalid || e.Field != "threshold" ||
		!strings.Contains(e.Next, "from 2 to 3") || !strings.Contains(e.Message, "default threshold is 4") {
		t.Errorf("a key by the default: %v", err)
	}
	if _, c, err := x.making.plan(KeygenRequest{Curve: "ed25519", Threshold: 2}); err != nil || c.Threshold != 2 {
		t.Errorf("a key of two: %v", err)
	}
}
