package ceremony

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// Hall is what ceremonies need of the node they run on.
type Hall struct {
	*Members
	Send  func(transport.Envelope)         // what fails is lost, as on any network
	Heard func(transport.NodeID) time.Time // when a node was heard last
	Slow  func(transport.NodeID)           // is told of who had a ceremony wait, but for its end; may be nil
	Clock func() time.Time
	Pace  Pace
}

// Pace is how patient a ceremony is.
type Pace struct {
	Repeat  time.Duration // before our messages are repeated to who is missing; doubled each time
	Silence time.Duration // without progress, after which a party counts as silent
}

// busyFor is how many times as long as for who is silent a ceremony without a choice waits for who lives.
const busyFor = 5

// paceParties is how many parties the pace of the configuration is for. What they do between two messages grows with their number, and
// where they share a machine each waits for the work of all.
const paceParties = 4

// of is the pace of a ceremony of so many parties, whose work is so many times that of a plain one.
func (p Pace) of(parties, work int) Pace {
	scale := func(d time.Duration) time.Duration {
		return d * time.Duration(work*max(parties, paceParties)) / paceParties
	}
	return Pace{scale(p.Repeat), scale(p.Silence)}
}

// The kinds of envelopes nodes exchange.
const (
	KindEngine      uint8 = 1 // a threshold.Message
	KindProposal    uint8 = 2
	KindShares      uint8 = 3 // a signer's attested shares, to the coordinator
	KindRefusal     uint8 = 4 // why a party leaves a ceremony
	KindCertificate uint8 = 5 // a party stored its share durably
	KindProved      uint8 = 6 // the threshold of a key is proven
	KindAck         uint8 = 7
	KindHeartbeat   uint8 = 8
	KindAsk         uint8 = 9 // what is the newest certificate and proof of this key?
	KindAnswer      uint8 = 10
	KindSession     uint8 = 11 // what do you know of this session_id, or this receipt?
	KindSaid        uint8 = 12
	KindRoster      uint8 = 13 // a newer roster, to who has an older one
	KindEpochs      uint8 = 14 // which epochs of the keys that both hold
	KindAuthority   uint8 = 15 // a newer authority, to who has an older one
	KindDesk        uint8 = 16 // requests that wait for approvals: which are known, and what others lack
	KindFreeze      uint8 = 17 // what is frozen: which are known, and what others lack
	KindWitness     uint8 = 18 // a checkpoint of the sender's audit log, or a cosignature of the recipient's
	KindNotice      uint8 = 19 // what was signed, for rules that count it: which are known, and what others lack
)

// bodyMax is the largest body, in bytes, of the kinds whose envelopes are smaller than the transport's largest. What is larger is dropped
// before anything is spent on it.
var bodyMax = map[uint8]int{KindEngine: threshold.MaxAccusation + 1<<10, KindRefusal: 4 << 10, KindCertificate: 16 << 10, KindAck: 1 << 10,
	KindHeartbeat: 4 << 10, KindAsk: 1 << 10, KindSession: 1 << 10, KindSaid: 512 << 10, KindEpochs: 512 << 10,
	KindDesk: 2 << 20, KindFreeze: 2 << 20, KindWitness: 64 << 10, KindNotice: 3 << 20}

// Members is the roster as a node uses it: who is which party, with the keys it pins. It grows, and keys of tokens change, when a newer
// roster takes its place; who was in it stays. It is safe for concurrent use.
type Members struct {
	Self transport.NodeID

	mu     sync.RWMutex
	roster *attest.SignedRoster
	node   map[transport.NodeID]*Member
	party  map[threshold.PartyID]*Member
}

// Member is a node of the roster, its keys parsed.
type Member struct {
	ID       transport.NodeID
	Party    threshold.PartyID
	Facility string
	Identity ed25519.PublicKey // signs its messages
	Seal     []byte            // X25519, 32 bytes: HPKE to it
	Cosign   crypto.PublicKey  // of its token: intents
	Attest   crypto.PublicKey  // of its token: shares, certificates, settlements
}

// NewMembers parses the keys of a roster that the caller has verified. Self need not be in it.
func NewMembers(r *attest.SignedRoster, self transport.NodeID) (*Members, error) {
	m := &Members{roster: r, Self: self, node: map[transport.NodeID]*Member{}, party: map[threshold.PartyID]*Member{}}
	for _, x := range r.Roster.Nodes {
		att, err := x.Attest()
		if err != nil {
			return nil, fmt.Errorf("attestation key of %s in the roster: %w", x.ID, err)
		}
		if x.Removed { // a name for its party, and what its token attested
			m.party[x.Party] = &Member{ID: transport.NodeID(x.ID), Party: x.Party, Identity: ed25519.PublicKey(x.Identity), Seal: x.Seal,
				Attest: att}
			continue
		}
		cosign, err := x.Cosign()
		if err != nil {
			return nil, fmt.Errorf("cosign key of %s in the roster: %w", x.ID, err)
		}
		one := &Member{transport.NodeID(x.ID), x.Party, x.Facility, ed25519.PublicKey(x.Identity), x.Seal, cosign, att}
		m.node[one.ID], m.party[one.Party] = one, one
	}
	return m, nil
}

// Fit tells whether a newer roster may take this one's place: it must have every node that this one has, as the same party with the same
// identity, as a member or as one that was removed; who was removed does not come back.
func (m *Members) Fit(next *Members) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for p, was := range m.party {
		now := next.party[p]
		if now == nil || now.ID != was.ID || !now.Identity.Equal(was.Identity) || !bytes.Equal(now.Seal, was.Seal) {
			return fmt.Errorf("it does not have %s as the party it was: restart all nodes with it, if that is meant", was.ID)
		}
		if m.node[was.ID] == nil && next.node[was.ID] != nil {
			return fmt.Errorf("it has %s again, which was removed: enrol it under another name", was.ID)
		}
	}
	return nil
}

// Renew puts a newer roster, which fits and was verified, in this one's place.
func (m *Members) Renew(next *Members) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roster, m.node, m.party = next.roster, next.node, next.party
}

// Roster is the one in use.
func (m *Members) Roster() *attest.SignedRoster {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.roster
}

func (m *Members) byParty(p threshold.PartyID) *Member {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.party[p]
}

// Member finds a node of the roster.
func (m *Members) Member(id transport.NodeID) (*Member, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	x, ok := m.node[id]
	return x, ok
}

// size is how many members there are.
func (m *Members) size() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.node)
}

// Party is a node's number, 0 for a stranger.
func (m *Members) Party(id transport.NodeID) threshold.PartyID {
	if x, ok := m.Member(id); ok {
		return x.Party
	}
	return 0
}

// SelfParty is this node's number.
func (m *Members) SelfParty() threshold.PartyID { return m.Party(m.Self) }

// Node is a party's name, also of one that was removed; empty for a stranger.
func (m *Members) Node(p threshold.PartyID) transport.NodeID {
	if x := m.byParty(p); x != nil {
		return x.ID
	}
	return ""
}

// Signer is the name of a party and the key with which its token attests, also of one that was removed: for what all parties of a key
// attested before, and nothing new. ok is false for a stranger.
func (m *Members) Signer(p threshold.PartyID) (id transport.NodeID, key crypto.PublicKey, ok bool) {
	if x := m.byParty(p); x != nil {
		return x.ID, x.Attest, true
	}
	return "", nil, false
}

// Removed lists who was removed.
func (m *Members) Removed() (parties []threshold.PartyID, nodes []transport.NodeID) {
	for _, x := range m.Roster().Roster.Nodes {
		if x.Removed {
			parties, nodes = append(parties, x.Party), append(nodes, transport.NodeID(x.ID))
		}
	}
	return parties, nodes
}

// Nodes are the parties' names, in their order.
func (m *Members) Nodes(ps []threshold.PartyID) []transport.NodeID {
	out := make([]transport.NodeID, len(ps))
	for i, p := range ps {
		out[i] = m.Node(p)
	}
	return out
}

// All are the members of the roster, in its order.
func (m *Members) All() []transport.NodeID {
	nodes := m.Roster().Roster.Members()
	out := make([]transport.NodeID, len(nodes))
	for i, x := range nodes {
		out[i] = transport.NodeID(x.ID)
	}
	return out
}

// Others are the parties but this node, all of whom a ceremony waits for, and the nodes among them that are members, who can be told.
func (m *Members) Others(ps []threshold.PartyID) (parties []threshold.PartyID, nodes []transport.NodeID) {
	for _, p := range ps {
		id := m.Node(p)
		if id == m.Self {
			continue
		}
		parties = append(parties, p)
		if _, is := m.Member(id); is {
			nodes = append(nodes, id)
		}
	}
	return parties, nodes
}

// Committee makes a committee of nodes, t of which sign.
func (m *Members) Committee(ids []transport.NodeID, t int) (threshold.Committee, error) {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = string(id)
	}
	return m.Roster().Roster.Committee(names, t)
}

// proofOf is Message.Proof: what is needed beside the message to check the sender's signature again.
type proofOf struct {
	To      []transport.NodeID `cbor:"1,keyasint"`
	Proof   []byte             `cbor:"2,keyasint"`
	Private bool               `cbor:"3,keyasint,omitempty"`
}

// Authentic is threshold.Setup.Authentic: it checks the transport's signature that a message carries.
func (m *Members) Authentic(msg threshold.Message) bool {
	var p proofOf
	if canon.Unmarshal(msg.Proof, &p) != nil {
		return false
	}
	from := m.byParty(msg.From)
	if from == nil {
		return false
	}
	return transport.VerifyProof(from.Identity, transport.Envelope{
		From: from.ID, To: p.To, Kind: KindEngine, Topic: msg.Ceremony, Body: msg.Encode(), Private: p.Private, Proof: p.Proof})
}

// SortedParties is a sorted copy.
func SortedParties(ps []threshold.PartyID) []threshold.PartyID {
	out := slices.Clone(ps)
	slices.Sort(out)
	return out
}
