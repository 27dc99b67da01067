package appliance

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/frost"
)

// claim is what a party attests of its share.
type claim struct {
	of, by, other threshold.PartyID // whose share it is, whose token signs; another party
	header        attest.Header
	id            string
	info          threshold.KeyInfo
	rec           keys.Record
}

// bentClaims are those that say something else than was asked, or that somebody else says.
var bentClaims = map[string]func(*claim){
	"by another's token":    func(c *claim) { c.by = c.other },
	"of another's share":    func(c *claim) { c.of = c.other },
	"as another node":       func(c *claim) { c.header.Node = string(nodeOf(c.other)) },
	"in another cluster":    func(c *claim) { c.header.Cluster = "other" },
	"for another purpose":   func(c *claim) { c.header.Kind = attest.KindShare },
	"of another key":        func(c *claim) { c.id = "w_x" },
	"of another epoch":      func(c *claim) { c.info.Epoch++ },
	"of another sharing":    func(c *claim) { c.info.PublicShares = slices.Clone(c.info.PublicShares[1:]) },
	"of another label":      func(c *claim) { c.rec.Label = "x" },
	"with other pair state": func(c *claim) { c.rec.Pairs[0]++ },
}

// certified is a party's certificate of a key, after bend.
func (x *inside) certified(t *testing.T, p threshold.PartyID, id string, info threshold.KeyInfo, rec keys.Record,
	bend func(*claim)) certificate {
	t.Helper()
	parties := x.world.Committee.Parties
	other := parties[(slices.Index(parties, p)+1)%len(parties)]
	c := claim{p, p, other, attest.Header{Kind: attest.KindKeygen, Cluster: "test", Node: string(nodeOf(p)),
		Time: x.cfg.Clock().UnixMilli()}, id, info, rec}
	if bend != nil {
		bend(&c)
	}
	b, err := attest.Attest(t.Context(), x.tokens, x.key(t, "attest", c.by), c.header, [][]byte{x.making.leaf(c.id, c.info, c.rec, c.of)})
	if err != nil {
		t.Fatal(err)
	}
	return certificate{p, b.Cose}
}

// Goal: a key's certificate is complete only with what every party's own token says of exactly this key; whoever sends another is named.
// Method: the certificate of one party as it should be, and bent in each way.
func TestCertify(t *testing.T) {
	x := newInside(t)
	id, ks := x.newKeyOf(t, frost.Ed25519, keys.Staged)
	parties := x.world.Committee.Parties
	info := ks[parties[0]].KeyInfo
	rec, err := x.keys.Record(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	number := 0
	certify := func(second any) ([]certificate, error) {
		number++
		topic := [32]byte{byte(number)}
		_, peers := x.members.Others(parties)
		c, err := x.router.Enter(topic, x.cfg.Node, peers)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Leave()
		for p, cert := range map[threshold.PartyID]any{parties[1]: second, parties[2]: x.certified(t, parties[2], id, info, rec, nil)} {
			x.router.Deliver(transport.Envelope{From: nodeOf(p), Kind: ceremony.KindCertificate, Topic: topic, Body: canon.MustMarshal(cert)})
		}
		return x.making.certify(t.Context(), c, id, info, rec)
	}
	certs, err := certify(x.certified(t, parties[1], id, info, rec, nil))
	if err != nil || len(certs) != 3 || certs[0].Party != parties[0] || certs[1].Party != parties[1] || certs[2].Party != parties[2] {
		t.Fatalf("%d certificates: %v", len(certs), err)
	}
	bent := map[string]any{"no certificate": 7, "in another's name": x.certified(t, parties[2], id, info, rec, nil)}
	for name, bend := range bentClaims {
		bent[name] = x.certified(t, parties[1], id, info, rec, bend)
	}
	for name, cert := range bent {
		_, err := certify(cert)
		var a *threshold.Abort
		if !errors.As(err, &a) || a.Kind != threshold.Ban || fmt.Sprint(a.Culprits) != fmt.Sprint(parties[1:2]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
