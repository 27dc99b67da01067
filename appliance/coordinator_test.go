package appliance_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// proposal has the form of the node's own.
type proposal struct {
	Version   uint8               `cbor:"1,keyasint"`
	Operation string              `cbor:"2,keyasint"`
	Signers   []threshold.PartyID `cbor:"3,keyasint"`
	Intents   [][]byte            `cbor:"4,keyasint"`
	Cosign    []byte              `cbor:"5,keyasint"`
	Nonce     [16]byte            `cbor:"6,keyasint"`
	Boots     [][16]byte          `cbor:"7,keyasint"`
	Next      uint64              `cbor:"9,keyasint,omitempty"`
}

// draft is a proposal of node3 before its hardware has signed it.
type draft struct {
	operation string
	signers   []threshold.PartyID
	intents   []*attest.Intent
	cosign    attest.Key // which key signs
	kind      attest.Kind
	at        time.Time
	after     func(p *proposal) // changes the signed proposal
	topic     bool              // lie about the topic
}

// Goal: a signer moves only for a proposal that is co-signed by the proposer's own hardware, recent, whole, for a key as it
// is, a quorum it belongs to, and a message it may sign. Method: a member with its real hardware proposes; the unchanged
// proposal is answered with an OPEN, each single change with a refusal and nothing else.
func TestProposalChecks(t *testing.T) {
	c := newCluster(t, 3)
	ed, tap := c.keygen("ed25519", 2, 3), c.keygen("secp256k1", 2, 3)
	r := c.nodes[2].rogue()
	boot := make(chan [16]byte, 1)
	r.heartbeats = func(e transport.Envelope) {
		var h heartbeat
		if e.From == "node1" && canon.Unmarshal(e.Body, &h) == nil {
			select {
			case boot <- h.Boot:
			default:
			}
		}
	}
	answers := make(chan transport.Envelope, 64)
	r.alive(func(e transport.Envelope) {
		if e.From == "node1" && (e.Kind == ceremony.KindEngine || e.Kind == ceremony.KindRefusal) {
			answers <- e
		}
	})
	node1 := <-boot
	number := 0
	intent := func() *attest.Intent {
		number++
		return &attest.Intent{Version: attest.IntentVersion, Cluster: "test", Operation: attest.OpSign,
			RequestID: fmt.Sprint("request-", number), KeyID: ed.ID, Scheme: threshold.FrostEd25519, Epoch: 1, Message: []byte("a payment"),
			Signers: []threshold.PartyID{1, 3}, Requester: "somebody", Node: "node3", Created: time.Now().UnixMilli()}
	}
	key := func(id string) attest.Key {
		der := c.nodes[2].publicKey(t.Context(), id)
		pub, err := attest.ParsePublicKey(der)
		if err != nil {
			t.Fatal(err)
		}
		return attest.Key{ID: id, Public: pub}
	}
	send := func(change func(d *draft)) [32]byte {
		d := &draft{operation: "sign", signers: []threshold.PartyID{1, 3}, intents: []*attest.Intent{intent()}, cosign: key("cosign"),
			kind: attest.KindCosign, at: time.Now()}
		change(d)
		p := proposal{Version: 1, Operation: d.operation, Signers: d.signers, Nonce: [16]byte{byte(number)}}
		for _, s := range p.Signers {
			p.Boots = append(p.Boots, map[bool][16]byte{true: node1}[s == 1])
		}
		var leaves [][]byte
		for _, in := range d.intents {
			h := in.Hash()
			p.Intents, leaves = append(p.Intents, in.Bytes()), append(leaves, h[:])
		}
		b, err := attest.Attest(context.Background(), c.nodes[2].token, d.cosign,
			attest.Header{Kind: d.kind, Cluster: "test", Node: "node3", Time: d.at.UnixMilli()}, leaves)
		if err != nil {
			t.Fatal(err)
		}
		p.Cosign = b.Cose
		if d.after != nil {
			d.after(&p)
		}
		body := canon.MustMarshal(p)
		topic := canon.Hash("mpcd/v1/proposal", body)
		if d.topic {
			topic[0] ^= 1
		}
		r.send(transport.Envelope{To: []transport.NodeID{"node1"}, Kind: ceremony.KindProposal, Topic: topic, Body: body})
		return topic
	}
	first := func(d *draft) *attest.Intent { return d.intents[0] }
	for _, row := range []struct {
		name   string
		change func(d *draft)
	}{
		{"", func(*draft) {}}, // the unchanged proposal
		{"co-signed by the attestation key", func(d *draft) { d.cosign = key("attest") }},
		{"a settlement for a cosignature", func(d *draft) { d.kind = attest.KindSettlement }},
		{"cosignature of another intent", func(d *draft) { d.after = func(p *proposal) { p.Intents[0] = intent().Bytes() } }},
		{"no cosignature", func(d *draft) { d.after = func(p *proposal) { p.Cosign = nil } }},
		{"an intent more than was co-signed", func(d *draft) { d.after = func(p *proposal) { p.Intents = append(p.Intents, intent().Bytes()) } }},
		{"an old cosignature", func(d *draft) { d.at = time.Now().Add(-10 * time.Minute) }},
		{"an old intent", func(d *draft) { first(d).Created -= 10 * 60 * 1000 }},
		{"an intent from the future", func(d *draft) { first(d).Created += 10 * 60 * 1000 }},
		{"another node's intent", func(d *draft) { first(d).Node = "node2" }},
		{"another cluster's intent", func(d *draft) { first(d).Cluster = "another" }},
		{"another operation", func(d *draft) { d.after = func(p *proposal) { p.Operation = "refresh" } }},
		{"a signature's intent for a refresh", func(d *draft) {
			d.operation, d.signers, first(d).Signers = "refresh", []threshold.PartyID{1, 2, 3}, []threshold.PartyID{1, 2, 3}
			d.after = func(p *proposal) { p.Next = 2 } // so that nothing else is wrong with it
		}},
		{"an unknown operation", func(d *draft) { d.after = func(p *proposal) { p.Operation = "export" } }},
		{"another version", func(d *draft) { d.after = func(p *proposal) { p.Version = 2 } }},
		{"a quorum without us", func(d *draft) { d.signers, first(d).Signers = []threshold.PartyID{2, 3}, []threshold.PartyID{2, 3} }},
		{"other signers than the intent's", func(d *draft) { first(d).Signers = []threshold.PartyID{1, 2} }},
		{"more signers than the threshold", func(d *draft) {
			d.signers, first(d).Signers = []threshold.PartyID{1, 2, 3}, []threshold.PartyID{1, 2, 3}
		}},
		{"a signer that is no party", func(d *draft) { d.signers, first(d).Signers = []threshold.PartyID{1, 9}, []threshold.PartyID{1, 9} }},
		{"an unknown wallet", func(d *draft) { first(d).KeyID = "w_nobody" }},
		{"a scheme for another kind of key", func(d *draft) { first(d).Scheme = threshold.FrostTaproot }},
		{"a scheme of no build", func(d *draft) { first(d).Scheme = "nobody's" }},
		{"an epoch that is not yet", func(d *draft) { first(d).Epoch = 7 }},
		{"tweaks", func(d *draft) { first(d).Tweaks = []threshold.Tweak{{}} }},
		{"a digest of 31 bytes", func(d *draft) {
			first(d).KeyID, first(d).Scheme, first(d).Message = tap.ID, threshold.FrostTaproot, make([]byte, 31)
		}},
		{"an empty message", func(d *draft) { first(d).Message = nil }},
		{"a proof over a payment", func(d *draft) { d.operation = "prove" }},
		{"two schemes in one batch", func(d *draft) {
			in := intent()
			in.KeyID, in.Scheme, in.Message = tap.ID, threshold.FrostTaproot, make([]byte, 32)
			d.intents = append(d.intents, in)
		}},
		{"a request ID used before for another message",
			func(d *draft) { first(d).RequestID, first(d).Message = "request-1", []byte("another payment") }},
		{"no intents", func(d *draft) { d.after = func(p *proposal) { p.Intents = nil } }},
		{"an earlier run of the signer", func(d *draft) { d.after = func(p *proposal) { p.Boots[0][3] ^= 1 } }},
		{"no runs named", func(d *draft) { d.after = func(p *proposal) { p.Boots = nil } }},
		{"a topic that is not its hash", func(d *draft) { d.topic = true }},
	} {
		name := row.name
		if name == "" {
			name = "unchanged"
		}
		t.Run(name, func(t *testing.T) {
			before := c.nodes[0].node.Counts().Refused
			topic := send(row.change)
			if row.name == "" {
				for e := range answers {
					if e.Topic == topic && e.Kind == ceremony.KindEngine {
						return // an OPEN: so the refusals below are for their one reason
					}
				}
			}
			waitFor(t, "refusal", func() bool { return c.nodes[0].node.Counts().Refused > before })
			for len(answers) > 0 {
				if e := <-answers; e.Topic == topic && e.Kind == ceremony.KindEngine {
					t.Error("the node sent a protocol message")
				}
			}
		})
	}
}

// Goal: the attestation of a share counts only with the hardware of its signer. Method: a signer whose attestation key is
// another one than the roster's cannot take part; the request is answered without it, and it is the one accused.
func TestShareNeedsItsHardware(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	c.nodes[1].halt()
	c.nodes[1].attestKey = "cosign" // another key of the same token: peers have pinned "attest"
	if err := c.nodes[1].boot(); err == nil {
		t.Fatal("a node booted with an attestation key that its roster does not pin")
	}
	if _, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m")}); err != nil {
		t.Fatal(err)
	}
}
