package appliance_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkls23"
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
	Pairs     *keys.ProposedPairs `cbor:"8,keyasint,omitempty"`
	Next      uint64              `cbor:"9,keyasint,omitempty"`
	Count     uint8               `cbor:"10,keyasint,omitempty"`
	Pres      [][32]byte          `cbor:"11,keyasint,omitempty"`
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
	unasked   bool              // no initiator signs it
	other     bool              // under another authority
}

func (d *draft) first() *attest.Intent { return d.intents[0] }

// forger is node3 with its real hardware, and proposes to node1 what it likes.
type forger struct {
	*cluster
	r       *rogue
	node1   [16]byte // node1's run
	wallet  string   // of the payments that it proposes
	answers chan transport.Envelope
	number  int
	refuses atomic.Bool // it refuses what others propose, as nothing that may be
}

func newForger(c *cluster, wallet string) *forger {
	f := &forger{cluster: c, r: c.nodes[2].rogue(), wallet: wallet, answers: make(chan transport.Envelope, 64)}
	boot := make(chan [16]byte, 1)
	f.r.heartbeats = func(e transport.Envelope) {
		var h heartbeat
		if e.From == "node1" && canon.Unmarshal(e.Body, &h) == nil {
			select {
			case boot <- h.Boot:
			default:
			}
		}
	}
	f.r.alive(func(e transport.Envelope) {
		if e.From == "node1" && (e.Kind == ceremony.KindEngine || e.Kind == ceremony.KindRefusal) {
			f.answers <- e
		}
		if e.Kind == ceremony.KindProposal && f.refuses.Load() {
			f.r.send(transport.Envelope{To: []transport.NodeID{e.From}, Kind: ceremony.KindRefusal, Topic: e.Topic,
				Body: canon.MustMarshal(ceremony.Refusal{Code: problem.Denied, Message: "no"})})
		}
	})
	f.node1 = <-boot
	return f
}

// intent is one that a signer takes.
func (f *forger) intent() *attest.Intent {
	f.number++
	return &attest.Intent{Version: attest.IntentVersion, Cluster: "test", Operation: attest.OpSign,
		RequestID: fmt.Sprint("request-", f.number), KeyID: f.wallet, Scheme: threshold.FrostEd25519, Epoch: 1, Message: []byte("a payment"),
		Signers: []threshold.PartyID{1, 3}, Requester: "somebody", Node: "node3", Created: time.Now().UnixMilli()}
}

func (f *forger) key(id string) attest.Key {
	pub, err := attest.ParsePublicKey(f.nodes[2].publicKey(f.t.Context(), id))
	if err != nil {
		f.t.Fatal(err)
	}
	return attest.Key{ID: id, Public: pub}
}

// send proposes a payment that node1 takes, changed.
func (f *forger) send(change func(d *draft)) (topic [32]byte) {
	f.t.Helper()
	d := &draft{operation: "sign", signers: []threshold.PartyID{1, 3}, intents: []*attest.Intent{f.intent()}, cosign: f.key("cosign"),
		kind: attest.KindCosign, at: time.Now()}
	change(d)
	for _, in := range d.intents {
		if attest.Initiated(attest.Operation(d.operation)) && !d.unasked {
			in.Initiation = nil
			if err := f.asker.Initiate(context.Background(), in); err != nil {
				f.t.Fatal(err)
			}
		}
		if d.other {
			in.Authority = make(attest.Hex, 32)
		}
	}
	p := proposal{Version: 1, Operation: d.operation, Signers: d.signers, Nonce: [16]byte{byte(f.number)}}
	for _, s := range p.Signers {
		p.Boots = append(p.Boots, map[bool][16]byte{true: f.node1}[s == 1])
	}
	var leaves [][]byte
	for _, in := range d.intents {
		h := in.Hash()
		p.Intents, leaves = append(p.Intents, in.Bytes()), append(leaves, h[:])
	}
	b, err := attest.Attest(context.Background(), f.nodes[2].token, d.cosign,
		attest.Header{Kind: d.kind, Cluster: "test", Node: "node3", Time: d.at.UnixMilli()}, leaves)
	if err != nil {
		f.t.Fatal(err)
	}
	p.Cosign = b.Cose
	if d.after != nil {
		d.after(&p)
	}
	body := canon.MustMarshal(p)
	topic = canon.Hash("mpcd/v1/proposal", body)
	if d.topic {
		topic[0] ^= 1
	}
	f.r.send(transport.Envelope{To: []transport.NodeID{"node1"}, Kind: ceremony.KindProposal, Topic: topic, Body: body})
	return topic
}

// answer is node1's first word in a ceremony: the code of its refusal, or "" for a message of the protocol.
func (f *forger) answer(topic [32]byte) problem.Code {
	f.t.Helper()
	for deadline := time.After(10 * time.Second); ; {
		select {
		case e := <-f.answers:
			var refusal ceremony.Refusal
			switch {
			case e.Topic != topic:
				continue
			case e.Kind == ceremony.KindEngine:
				return ""
			}
			if err := canon.Unmarshal(e.Body, &refusal); err != nil {
				f.t.Fatal(err)
			}
			return refusal.Code
		case <-deadline:
			f.t.Fatal("node1 does not answer a proposal")
		}
	}
}

// use has node1 sign under the session_id "used".
func (c *cluster) use(wallet string) {
	c.t.Helper()
	_, err := c.nodes[0].node.Sign(c.t.Context(), appliance.SignRequest{SessionID: "used", WalletID: wallet, Message: []byte("a payment")})
	if err != nil {
		c.t.Fatal(err)
	}
}

// Goal: a signer moves only for a proposal that is co-signed by the proposer's own hardware, recent, whole, for a key as it
// is, a quorum it belongs to, and a message it may sign. Method: a member with its real hardware proposes; the unchanged
// proposal is answered with an OPEN, each single change with a refusal and nothing else.
func TestProposalChecks(t *testing.T) {
	c := newCluster(t, 3)
	ed, tap := c.keygen("ed25519", 2, 3), c.keygen("secp256k1", 2, 3)
	c.use(ed.ID)
	f := newForger(c, ed.ID)
	intent, key, first := f.intent, f.key, (*draft).first
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
			func(d *draft) { first(d).RequestID, first(d).Message = "used", []byte("another payment") }},
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
			topic := f.send(row.change)
			if row.name == "" {
				if code := f.answer(topic); code != "" { // an OPEN: so the refusals below are for their one reason
					t.Errorf("refused with %q", code)
				}
				return
			}
			waitFor(t, "refusal", func() bool { return c.nodes[0].node.Counts().Refused > before })
			for len(f.answers) > 0 {
				if e := <-f.answers; e.Topic == topic && e.Kind == ceremony.KindEngine {
					t.Error("the node sent a protocol message")
				}
			}
		})
	}
}

// Goal: in every line a party holds the proposal and its intents against the rules of the line, all intents of it, and a request ID to what
// it was for. Method: a member with its real hardware proposes; what fits is answered with a message of the protocol, each single change
// with a refusal for its reason. A line that is new here fails until it has a row.
func TestEveryLineJudges(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Presignatures: 8})
	ed, tap, ec := c.keygen("ed25519", 2, 3), c.keygen("secp256k1", 2, 3), c.keygenBy("secp256k1", "dkls23", 2, 3)
	n := c.nodes[0].node
	pairs, err := n.PairsOf(t.Context(), ec.ID)
	if err != nil {
		t.Fatal(err)
	}
	f, all := newForger(c, ed.ID), []threshold.PartyID{1, 2, 3}
	// What fits, of each line.
	fits := map[string]func(d *draft, in *attest.Intent){
		"sign": func(*draft, *attest.Intent) {},
		"prove": func(d *draft, in *attest.Intent) {
			in.Message = appliance.ProofMessage(in.KeyID, in.Epoch, in.Signers)
		},
		"presign": func(d *draft, in *attest.Intent) {
			in.KeyID, in.Scheme, in.Message = ec.ID, dkls23.ID, nil
			d.after = func(p *proposal) { p.Pairs, p.Count = pairs, 2 }
		},
		"refresh": func(d *draft, in *attest.Intent) {
			d.signers, in.Signers, in.Message = all, all, nil
			d.after = func(p *proposal) { p.Next = 2 }
		},
		"keygen": func(d *draft, in *attest.Intent) {
			d.signers, in.Signers, in.Message, in.KeyID, in.Epoch = all, all, nil, "", 0
			in.Keygen = &attest.KeygenParams{Threshold: 2, Kind: threshold.Ed25519.ID}
		},
	}
	for _, line := range n.Lines() {
		if fits[line] == nil {
			t.Errorf("line %s has no row here: what does its party refuse?", line)
		}
	}
	another := func(d *draft) *attest.Intent { // request ID, the same in all else
		in := *d.first()
		in.RequestID += "/2"
		d.intents = append(d.intents, &in)
		return &in
	}
	c.use(ed.ID)
	used := func(d *draft) { d.first().RequestID = "used" }
	elsewhere := func(d *draft) { d.first().Cluster = "another" }
	for _, row := range []struct {
		line, name string
		code       problem.Code // "" if it fits
		bend       func(d *draft)
		after      func(p *proposal)
	}{
		{"sign", "what fits", "", nil, nil}, // request-1
		{"sign", "a used request ID in the second place", problem.Conflict, func(d *draft) {
			in := another(d)
			in.RequestID, in.Message = "used", []byte("another payment")
		}, nil},
		{"sign", "a bad message in the second place", problem.Invalid, func(d *draft) { another(d).Message = nil }, nil},
		{"sign", "that nobody asked for", problem.Denied, func(d *draft) { d.unasked = true }, nil},
		{"refresh", "that nobody asked for", problem.Denied, func(d *draft) { d.unasked = true }, nil},
		{"keygen", "that nobody asked for", problem.Denied, func(d *draft) { d.unasked = true }, nil},
		{"sign", "with the words of who asked for another payment", problem.Denied, func(d *draft) {
			if err := f.asker.Initiate(context.Background(), d.first()); err != nil {
				t.Error(err)
			}
			d.unasked, d.first().Message = true, []byte("another payment")
		}, nil},
		{"sign", "more than a batch", problem.Invalid, func(d *draft) {
			for i := range 64 {
				another(d).RequestID += fmt.Sprint("/", i)
			}
		}, nil},
		{"sign", "more presignatures than intents", problem.Invalid, nil, func(p *proposal) { p.Pres = make([][32]byte, 2) }},
		{"prove", "what fits", "", nil, nil},
		{"prove", "of another cluster", problem.Invalid, elsewhere, nil}, // no initiation names the cluster of a proof
		{"prove", "presignatures", problem.Invalid, nil, func(p *proposal) { p.Pres = make([][32]byte, 1) }},
		{"prove", "a payment", problem.Denied, func(d *draft) { d.first().Message = []byte("a payment") }, nil},
		{"presign", "of another cluster", problem.Invalid, elsewhere, nil},
		{"presign", "a used request ID", problem.Conflict, used, nil},
		{"presign", "two intents", problem.Invalid, func(d *draft) { another(d) }, nil},
		{"presign", "presignatures named", problem.Invalid, nil, func(p *proposal) { p.Pres = make([][32]byte, 1) }},
		{"presign", "none", problem.Invalid, nil, func(p *proposal) { p.Count = 0 }},
		{"presign", "more than a batch", problem.Invalid, nil, func(p *proposal) { p.Count = 65 }},
		{"presign", "of a scheme without a pool", problem.Invalid,
			func(d *draft) { d.first().KeyID, d.first().Scheme = ed.ID, threshold.FrostEd25519 }, func(p *proposal) { p.Pairs = nil }},
		{"presign", "a scheme for another kind of key", problem.Invalid, func(d *draft) { d.first().KeyID = ed.ID }, nil},
		{"presign", "more signers than the threshold", problem.Invalid, func(d *draft) { d.signers, d.first().Signers = all, all }, nil},
		{"presign", "what fits", "", nil, nil}, // last: it lasts until the silence of its peers is noticed
		{"refresh", "a used request ID", problem.Conflict, used, nil},
		{"refresh", "two intents", problem.Invalid, func(d *draft) { another(d) }, nil},
		{"refresh", "without a party", problem.Invalid,
			func(d *draft) { d.signers, d.first().Signers = []threshold.PartyID{1, 3}, []threshold.PartyID{1, 3} }, nil},
		{"refresh", "an epoch that is", problem.Attempt, nil, func(p *proposal) { p.Next = 1 }},
		{"refresh", "under the old pair state", problem.Invalid, func(d *draft) { d.first().KeyID, d.first().Scheme = ec.ID, dkls23.ID },
			func(p *proposal) { p.Pairs = pairs }},
		{"refresh", "to the end of all pair-epochs", problem.Invalid,
			func(d *draft) { d.first().KeyID, d.first().Scheme = ec.ID, dkls23.ID },
			func(p *proposal) { p.Pairs = &keys.ProposedPairs{Epoch: 1<<64 - 1} }},
		{"refresh", "what fits", "", func(d *draft) { d.first().KeyID, d.first().Scheme = tap.ID, threshold.FrostTaproot }, nil},
		{"keygen", "a used request ID", problem.Conflict, used, nil},
		{"keygen", "two intents", problem.Invalid, func(d *draft) { another(d) }, nil},
		{"keygen", "a forged row", problem.Invalid, func(d *draft) { d.first().Keygen.Label = "x\x1b[2J\nw_FAKE" }, nil},
		{"keygen", "a long label", problem.Invalid, func(d *draft) { d.first().Keygen.Label = strings.Repeat("x", appliance.MaxLabel+1) }, nil},
		{"keygen", "by no party of the key", problem.Invalid,
			func(d *draft) { d.signers, d.first().Signers = []threshold.PartyID{1, 2}, []threshold.PartyID{1, 2} }, nil},
		{"keygen", "a label with a blank at its end", problem.Invalid, func(d *draft) { d.first().Keygen.Label = "treasury " }, nil},
		{"keygen", "a group with two blanks", problem.Invalid, func(d *draft) { d.first().Keygen.Group = "cold  treasury" }, nil},
		{"keygen", "a long group", problem.Invalid, func(d *draft) { d.first().Keygen.Group = strings.Repeat("x", appliance.MaxLabel+1) }, nil},
		{"keygen", "a scheme for another kind of key", problem.Invalid, func(d *draft) { d.first().Keygen.Kind = threshold.ECDSA.ID }, nil},
		{"keygen", "to the end of all pair-epochs", problem.Invalid, func(d *draft) {
			d.first().Scheme, d.first().Keygen.Kind = dkls23.ID, threshold.ECDSA.ID
		}, func(p *proposal) { p.Pairs = &keys.ProposedPairs{Epoch: 1 << 63} }},
		{"keygen", "what fits", "", nil, nil},
		{"sign", "older than what is forgotten", problem.Invalid, func(d *draft) {
			if err := n.Forget("node3", d.first().Created); err != nil {
				t.Error(err)
			}
		}, nil},
	} {
		t.Run(row.line+"/"+row.name, func(t *testing.T) {
			code := f.answer(f.send(func(d *draft) {
				d.operation, d.first().Operation = row.line, attest.Operation(row.line)
				if row.line == "prove" {
					d.first().Operation = attest.OpSign
				}
				fits[row.line](d, d.first())
				if row.bend != nil {
					row.bend(d)
				}
				whole := d.after
				d.after = func(p *proposal) {
					for _, f := range []func(*proposal){whole, row.after} {
						if f != nil {
							f(p)
						}
					}
				}
			}))
			if code != row.code {
				t.Errorf("refused with %q, want %q", code, row.code)
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
