package appliance_test

import (
	"crypto/ed25519"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// twoOfSerial makes two authorities of serial 2 that the officer signed, and one of serial 3 on the second.
func (c *cluster) twoOfSerial() (ja, jb, k attest.AuthorityChain) {
	first := c.asker.Chain
	ja = c.change(func(a *attest.Authority) { a.Initiators[0].Name = "anna" })
	jb = c.change(func(a *attest.Authority) { a.Initiators[0].Name = "bert" })
	c.asker.Chain = jb
	k = c.change(func(a *attest.Authority) { a.Initiators[0].Name = "asker" })
	c.asker.Chain = first
	return ja, jb, k
}

func authorityCheck(m *member) appliance.Check {
	for _, x := range m.node.Readiness().Checks {
		if x.Name == appliance.AuthorityCheck {
			return x
		}
	}
	return appliance.Check{}
}

// Goal: nodes that go by two authorities of one serial say so, whoever has which and whichever is longer, in log, checks and list of nodes,
// with what to do; the one that most peers differ from is not ready; and it is over where the operator has settled it. Method: one of three
// nodes takes up one authority alone, the others another, then one more on that; then the chain of the first is settled.
func TestTwoAuthorities(t *testing.T) {
	c := newCluster(t, 3)
	ja, jb, k := c.twoOfSerial()
	alone, said := c.nodes[0], &lines{}
	for _, m := range c.nodes {
		m.halt()
	}
	alone.logger = slog.New(slog.NewTextHandler(said, nil))
	alone.start()
	if err := alone.node.TakeAuthority(t.Context(), ja); err != nil {
		t.Fatal(err)
	}
	for _, m := range c.nodes[1:] {
		m.start()
		if err := m.node.TakeAuthority(t.Context(), jb); err != nil {
			t.Fatal(err)
		}
	}
	const do = "mpcd authority settle FILE"
	seen := func(name string) {
		t.Helper()
		await(t, name, func() bool {
			ours, theirs := authorityCheck(alone), authorityCheck(c.nodes[1])
			return !ours.OK && strings.Contains(ours.Detail, "node2 goes by an authority of") && strings.Contains(ours.Next, do) &&
				strings.Contains(ours.Detail, "node3 goes by") && !alone.node.Readiness().Ready &&
				theirs.OK && strings.Contains(theirs.Detail, "node1 goes by an authority of serial 2") && theirs.Next == ours.Next &&
				strings.Contains(c.nodes[1].node.Nodes()[0].Trouble, "parted from this node's") &&
				strings.Contains(alone.node.Nodes()[1].Trouble, "parted from this node's")
		})
	}
	seen("both of serial 2")
	if !strings.Contains(said.String(), "a peer goes by an authority of serial 2") || !strings.Contains(said.String(), do) {
		t.Errorf("the log says %s", said)
	}
	if err := c.nodes[1].node.TakeAuthority(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	await(t, "the longer one is refused from a peer, and named", func() bool {
		return strings.Contains(authorityCheck(alone).Detail, "node2 goes by an authority of serial 3") &&
			strings.Contains(said.String(), "two authorities of serial 2: this node has used "+ja[1].Authority.Digest().String())
	})
	seen("one of serial 3 on one of serial 2")
	alone.halt()
	if err := appliance.SettleAuthority(t.Context(), alone.state, ed25519.PublicKey(c.roster.Root), "test", k,
		func(map[string]string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	alone.start()
	c.waitReady()
	await(t, "it is settled", func() bool {
		return authorityCheck(alone).Next == "" && authorityCheck(c.nodes[1]).Next == "" && alone.node.AuthoritySerial() == 3
	})
}

// Goal: a stopped node is told what its start would say, and is brought to another authority by what root and officers signed alone, never
// to one of a lower serial, and never without a record. Method: a store that keeps ja; each chain that there may be.
func TestSettleAuthority(t *testing.T) {
	c := newCluster(t, 2)
	ja, jb, k := c.twoOfSerial()
	_, other, _ := ed25519.GenerateKey(nil)
	stranger, err := sim.NewAsker("test", other, randomSeed(), randomSeed())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := sim.NewAsker("elsewhere", c.root, randomSeed(), randomSeed())
	if err != nil {
		t.Fatal(err)
	}
	unsigned := append(attest.AuthorityChain{}, k...)
	unsigned[2].Signatures = nil
	root, ctx := ed25519.PublicKey(c.roster.Root), t.Context()
	settle := func(s *vaulttest.Memory, chain attest.AuthorityChain) (facts map[string]string, err error) {
		err = appliance.SettleAuthority(ctx, s, root, "test", chain, func(f map[string]string) error { facts = f; return nil })
		return facts, err
	}
	serial := func(s *vaulttest.Memory) uint64 {
		now, err := appliance.CheckAuthority(ctx, s, root, "test", nil)
		if err != nil || now == nil {
			t.Fatal(now, err)
		}
		return now.Serial
	}
	for name, x := range map[string]struct {
		kept, brought attest.AuthorityChain
		check, settle problem.Code // of the start and of settling; "" where it is well
		serial        uint64
		recorded      bool
	}{
		"longer and parted":      {ja, k, problem.Conflict, "", 3, true},
		"of one serial":          {ja, jb, problem.Conflict, "", 2, true},
		"a lower serial":         {k, ja, problem.Conflict, problem.Conflict, 3, false},
		"the same":               {ja, ja, "", "", 2, false},
		"follows":                {jb, k, "", problem.Invalid, 2, false},
		"is followed":            {k, jb, "", problem.Invalid, 3, false},
		"another root's":         {ja, stranger.Chain, problem.Invalid, problem.Invalid, 2, false},
		"another cluster's":      {ja, elsewhere.Chain, problem.Invalid, problem.Invalid, 2, false},
		"that nobody has signed": {ja, unsigned, problem.Invalid, problem.Invalid, 2, false},
	} {
		s := vaulttest.NewMemory()
		if err := appliance.KeepAuthority(ctx, s, x.kept); err != nil {
			t.Fatal(err)
		}
		if _, err := appliance.CheckAuthority(ctx, s, root, "test", x.brought); codeOf(err) != x.check {
			t.Errorf("%s: the start would say %v", name, err)
		}
		facts, err := settle(s, x.brought)
		if codeOf(err) != x.settle || serial(s) != x.serial || (facts != nil) != x.recorded {
			t.Errorf("%s: %v, serial %d, on record %v", name, err, serial(s), facts)
		}
		if facts != nil && (facts["was"] != ja[1].Authority.Digest().String() || facts["authority"] == facts["was"]) {
			t.Errorf("%s: on record %v", name, facts)
		}
	}
	s, full := vaulttest.NewMemory(), errors.New("no record")
	if err := appliance.KeepAuthority(ctx, s, ja); err != nil {
		t.Fatal(err)
	}
	if err := appliance.SettleAuthority(ctx, s, root, "test", k, func(map[string]string) error { return full }); !errors.Is(err, full) ||
		serial(s) != 2 {
		t.Errorf("without a record: %v", err)
	}
	if _, err := settle(vaulttest.NewMemory(), k); codeOf(err) != problem.Invalid {
		t.Errorf("a node that has used none: %v", err)
	}
}

func codeOf(err error) problem.Code {
	if err == nil {
		return ""
	}
	return problem.As(err).Code
}
