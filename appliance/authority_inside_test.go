package appliance

import (
	"crypto/ed25519"
	"testing"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
)

// Goal: a member cannot have a node verify chains of authorities without end, nor keep another member's from it. Method: more junk of one
// member than is looked at in a minute, then the authority itself, of it and of another.
func TestAuthoritiesAreBounded(t *testing.T) {
	x := newInside(t)
	pub, root, _ := ed25519.GenerateKey(nil)
	members, err := ceremony.NewMembers(&attest.SignedRoster{Roster: x.members.Roster().Roster, Root: attest.Hex(pub)}, x.cfg.Node)
	if err != nil {
		t.Fatal(err)
	}
	x.members.Renew(members)
	first := attest.Authority{Version: attest.AuthorityVersion, Cluster: x.cfg.Cluster, Serial: 1, Quorum: 1,
		Officers: []attest.Officer{{Name: "o", Key: x.newKey(t, "officer", 1)}}, Initiators: []attest.Initiator{}}
	s, err := first.Sign(attest.RootSigner, func(m []byte) ([]byte, error) { return ed25519.Sign(root, m), nil })
	if err != nil {
		t.Fatal(err)
	}
	body := canon.MustMarshal(authorityRecord{Version: authorityRecordVersion,
		Chain: attest.AuthorityChain{{Authority: first, Signatures: []attest.AuthoritySignature{s}}}})
	for range authoritiesMinute {
		x.authority.learn(t.Context(), transport.Envelope{From: "node2", Body: []byte("junk")})
	}
	for _, row := range []struct {
		from   transport.NodeID
		serial uint64
	}{{"node2", 0}, {"node3", 1}} {
		x.authority.learn(t.Context(), transport.Envelope{From: row.from, Body: body})
		if got := x.authority.serial(); got != row.serial {
			t.Errorf("after what %s sent the authority is of serial %d, want %d", row.from, got, row.serial)
		}
	}
}
