package appliance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// rogue speaks with a member's real keys, but not the protocol: what a compromised node can do.
type rogue struct {
	m          *member
	net        *transport.Secured
	conn       transport.Conn
	heartbeats func(e transport.Envelope) // sees the others' heartbeats
}

// heartbeat has the form of the node's own.
type heartbeat struct {
	Version string   `cbor:"1,keyasint"`
	Ready   bool     `cbor:"2,keyasint"`
	Boot    [16]byte `cbor:"3,keyasint"`
	Told    []byte   `cbor:"4,keyasint,omitempty"`
}

func (m *member) rogue() *rogue {
	m.c.t.Helper()
	m.halt()
	peers := transport.Peers{}
	for _, n := range m.c.roster.Roster.Nodes {
		peers[transport.NodeID(n.ID)] = transport.Peer{Node: transport.NodeID(n.ID), Identity: []byte(n.Identity), HPKE: n.Seal}
	}
	r := &rogue{m: m, net: transport.Secure(m.c.hub.Node(m.id), m.self, peers, transport.Options{Cluster: "test"})}
	var err error
	if r.conn, err = r.net.Join(context.Background(), "node"); err != nil {
		m.c.t.Fatal(err)
	}
	m.c.t.Cleanup(func() { r.net.Close() })
	return r
}

func (r *rogue) send(e transport.Envelope) {
	if err := r.conn.Send(context.Background(), e); err != nil && !errors.Is(err, transport.ErrClosed) { // closed: the test is over
		r.m.c.t.Error(err)
	}
}

// alive keeps the rogue in the eyes of the others as a good node, until the test ends; f answers everything else.
func (r *rogue) alive(f func(e transport.Envelope)) {
	ctx, cancel := context.WithCancel(context.Background())
	r.m.c.t.Cleanup(cancel)
	beat := canon.MustMarshal(heartbeat{Version: "rogue", Ready: true, Boot: [16]byte{1}})
	go func() {
		for ctx.Err() == nil {
			r.send(transport.Envelope{Kind: ceremony.KindHeartbeat, Body: beat})
			select {
			case <-ctx.Done():
			case <-time.After(300 * time.Millisecond):
			}
		}
	}()
	go func() {
		for {
			e, err := r.conn.Recv(ctx)
			if err != nil {
				return
			}
			switch {
			case e.Kind == ceremony.KindHeartbeat && r.heartbeats != nil:
				r.heartbeats(e)
			case e.Kind != ceremony.KindHeartbeat && f != nil:
				f(e)
			}
		}
	}()
}

func engineBody(session threshold.SessionID, round uint8, to threshold.PartyID, body []byte) []byte {
	return threshold.Message{Session: session, Round: round, Kind: threshold.Data, To: to, Body: body}.Encode()
}

// Goal: whatever a compromised party does in a signing ceremony, the request is answered by another quorum, no honest node is
// accused, and who can be blamed is. Method: the party that the coordinator prefers answers each proposal with one misbehaviour.
func TestRogueSigner(t *testing.T) {
	open := func(n int) []byte { return bytes.Repeat([]byte{9}, n) }
	for _, row := range []struct {
		name    string
		accused bool // named by an abort; a silent or lying-by-refusal node is only avoided
		act     func(r *rogue, e transport.Envelope)
	}{
		{"says nothing", false, func(*rogue, transport.Envelope) {}},
		{"garbage for an engine message", true, func(r *rogue, e transport.Envelope) {
			r.send(transport.Envelope{To: []transport.NodeID{"node1"}, Kind: ceremony.KindEngine, Topic: e.Topic, Body: []byte("garbage")})
		}},
		{"OPEN too short", true, func(r *rogue, e transport.Envelope) {
			r.send(transport.Envelope{To: []transport.NodeID{"node1"}, Kind: ceremony.KindEngine, Topic: e.Topic,
				Body: engineBody(threshold.SessionID{}, 0, 0, open(7))})
		}},
		{"OPEN with another context", false, func(r *rogue, e transport.Envelope) {
			r.send(transport.Envelope{To: []transport.NodeID{"node1"}, Kind: ceremony.KindEngine, Topic: e.Topic,
				Body: engineBody(threshold.SessionID{}, 0, 0, open(128))})
		}},
		{"shares before OPEN, then silence", false, func(r *rogue, e transport.Envelope) {
			r.send(transport.Envelope{To: []transport.NodeID{"node1"}, Kind: ceremony.KindShares, Topic: e.Topic, Body: []byte("x"), Private: true})
		}},
		{"refuses with nonsense", false, func(r *rogue, e transport.Envelope) {
			r.send(transport.Envelope{To: []transport.NodeID{"node1"}, Kind: 4, Topic: e.Topic, Body: []byte{0xff, 0, 1}})
		}},
		{"floods other topics", false, func(r *rogue, e transport.Envelope) {
			for i := range 3000 / slowdown {
				r.send(transport.Envelope{To: []transport.NodeID{"node1"}, Kind: ceremony.KindEngine, Topic: [32]byte{byte(i), byte(i >> 8)},
					Body: []byte("x")})
			}
		}},
		{"floods it with the largest messages", false, func(r *rogue, e transport.Envelope) {
			body := make([]byte, threshold.MaxBody)
			for i := range 160 / slowdown { // more than its part of the memory of node1, in the ceremony and beside it
				r.send(transport.Envelope{To: []transport.NodeID{"node1"}, Kind: ceremony.KindAck, Topic: [][32]byte{e.Topic, {byte(i)}}[i%2],
					Body: body})
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := newClusterLimits(t, 3, appliance.Limits{Silence: 1500 * time.Millisecond})
			w := c.keygen("ed25519", 2, 3)
			r := c.nodes[1].rogue()
			r.alive(func(e transport.Envelope) {
				if e.Kind == ceremony.KindProposal {
					row.act(r, e)
				}
			})
			sig, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m")})
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(sig.Signers) != "[node1 node3]" {
				t.Errorf("signed by %v", sig.Signers)
			}
			for _, s := range c.nodes[0].node.Nodes() {
				if s.Accused != (s.ID == "node2" && row.accused) {
					t.Errorf("%s accused: %v", s.ID, s.Accused)
				}
			}
		})
	}
}

// Goal: only a proposal that the coordinator's hardware co-signed, for a key and quorum as they are, makes a node move. Method:
// a compromised coordinator without its hardware proposes; and replays what was once proposed.
func TestRogueCoordinator(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	var proposals []transport.Envelope
	r := c.nodes[2].rogue()
	r.alive(func(e transport.Envelope) {
		if e.Kind == ceremony.KindProposal {
			proposals = append(proposals, e)
		}
	})
	before := c.nodes[0].node.Counts()
	// Garbage, and a proposal whose topic is not its hash.
	r.send(transport.Envelope{To: []transport.NodeID{"node1"}, Kind: ceremony.KindProposal, Topic: [32]byte{1}, Body: []byte("garbage")})
	r.send(transport.Envelope{To: []transport.NodeID{"node1"}, Kind: ceremony.KindProposal, Body: canon.MustMarshal(map[int]int{1: 1})})
	waitFor(t, "refusals", func() bool { return c.nodes[0].node.Counts().Refused >= before.Refused+2 })
	if got := c.nodes[0].node.Counts(); got.Ceremonies != before.Ceremonies {
		t.Errorf("took part in %d ceremonies", got.Ceremonies-before.Ceremonies)
	}
	if _, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("still signs")}); err != nil {
		t.Fatal(err)
	}
}

// Goal: one session_id is one request. Method: repeat with the same body, before and after a restart, and with another body,
// also on another coordinator.
func TestIdempotency(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	req := appliance.SignRequest{SessionID: "once", WalletID: w.ID, Message: []byte("pay 1"), BodyHash: [32]byte{1}}
	first, err := c.nodes[0].node.Sign(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	same := func() {
		t.Helper()
		again, err := c.nodes[0].node.Sign(t.Context(), req)
		if err != nil || !bytes.Equal(again.Bytes, first.Bytes) || again.ReceiptID != first.ReceiptID {
			t.Fatalf("another answer: %v", err)
		}
	}
	same()
	other := req
	other.Message, other.BodyHash = []byte("pay 2"), [32]byte{2}
	_, err = c.nodes[0].node.Sign(t.Context(), other)
	wantCode(t, err, problem.Conflict)
	_, err = c.nodes[1].node.Sign(t.Context(), other)
	wantCode(t, err, problem.Conflict)
	c.nodes[0].halt()
	c.nodes[0].start()
	c.waitReady()
	same()
	_, err = c.nodes[0].node.Sign(t.Context(), other)
	wantCode(t, err, problem.Conflict)
}

// Goal: every wrong request is refused with its code, field and advice, before anything is proposed. Method: a table.
func TestBadRequests(t *testing.T) {
	c := newCluster(t, 3)
	ed, tap := c.keygen("ed25519", 2, 3), c.keygen("secp256k1", 2, 3)
	n := c.nodes[0].node
	before := n.Counts().Batches
	keygen := func(r appliance.KeygenRequest) func(context.Context) error {
		return func(ctx context.Context) error { _, err := n.Keygen(ctx, r); return err }
	}
	sign := func(r appliance.SignRequest) func(context.Context) error {
		return func(ctx context.Context) error { _, err := n.Sign(ctx, r); return err }
	}
	for name, row := range map[string]struct {
		code  problem.Code
		field string
		do    func(context.Context) error
	}{
		"threshold 1":        {problem.Invalid, "threshold", keygen(appliance.KeygenRequest{Curve: "ed25519", Threshold: 1, Total: 3})},
		"negative threshold": {problem.Invalid, "threshold", keygen(appliance.KeygenRequest{Curve: "ed25519", Threshold: -1, Total: 3})},
		"t over n":           {problem.Invalid, "threshold", keygen(appliance.KeygenRequest{Curve: "ed25519", Threshold: 4, Total: 3})},
		"too many parties":   {problem.Invalid, "total", keygen(appliance.KeygenRequest{Curve: "ed25519", Threshold: 2, Total: 4})},
		"unknown party": {problem.Invalid, "parties",
			keygen(appliance.KeygenRequest{Curve: "ed25519", Threshold: 2, Parties: []transport.NodeID{"node1", "mallory"}})},
		"party twice": {problem.Invalid, "parties",
			keygen(appliance.KeygenRequest{Curve: "ed25519", Threshold: 2, Parties: []transport.NodeID{"node1", "node1"}})},
		"total disagrees": {problem.Invalid, "total",
			keygen(appliance.KeygenRequest{Curve: "ed25519", Threshold: 2, Total: 2, Parties: []transport.NodeID{"node1", "node2", "node3"}})},
		"without this node": {problem.Invalid, "parties",
			keygen(appliance.KeygenRequest{Curve: "ed25519", Threshold: 2, Parties: []transport.NodeID{"node2", "node3"}})},
		"unknown curve": {problem.Invalid, "curve", keygen(appliance.KeygenRequest{Curve: "p256", Threshold: 2, Total: 3})},
		"cggmp21": {problem.Unsupported, "protocol",
			keygen(appliance.KeygenRequest{Curve: "secp256k1", Protocol: "cggmp21", Threshold: 2, Total: 3})},
		"long label": {problem.Invalid, "label",
			keygen(appliance.KeygenRequest{Curve: "ed25519", Threshold: 2, Total: 3, Label: strings.Repeat("x", 129)})},
		"31-byte digest": {problem.Invalid, "message_hash", sign(appliance.SignRequest{WalletID: tap.ID, Message: make([]byte, 31)})},
		"33-byte digest": {problem.Invalid, "message_hash", sign(appliance.SignRequest{WalletID: tap.ID, Message: make([]byte, 33)})},
		"empty message":  {problem.Invalid, "message", sign(appliance.SignRequest{WalletID: ed.ID})},
		"huge message": {problem.Invalid, "message",
			sign(appliance.SignRequest{WalletID: ed.ID, Message: make([]byte, appliance.MaxMessage+1)})},
		"unknown wallet":  {problem.NotFound, "", sign(appliance.SignRequest{WalletID: "w_nobody", Message: []byte("m")})},
		"unknown key":     {problem.NotFound, "", sign(appliance.SignRequest{PublicKey: make([]byte, 32), Message: []byte("m")})},
		"no wallet named": {problem.NotFound, "", sign(appliance.SignRequest{Message: []byte("m")})},
		"one signer": {problem.Invalid, "signers",
			sign(appliance.SignRequest{WalletID: ed.ID, Message: []byte("m"), Signers: []transport.NodeID{"node1"}})},
		"signer twice": {problem.Invalid, "signers",
			sign(appliance.SignRequest{WalletID: ed.ID, Message: []byte("m"), Signers: []transport.NodeID{"node1", "node1"}})},
		"unknown signer": {problem.Invalid, "signers",
			sign(appliance.SignRequest{WalletID: ed.ID, Message: []byte("m"), Signers: []transport.NodeID{"node1", "mallory"}})},
		"three signers": {problem.Invalid, "signers",
			sign(appliance.SignRequest{WalletID: ed.ID, Message: []byte("m"), Signers: []transport.NodeID{"node1", "node2", "node3"}})},
		"long session_id": {problem.Invalid, "session_id",
			sign(appliance.SignRequest{SessionID: strings.Repeat("x", 129), WalletID: ed.ID, Message: []byte("m")})},
		"bad session_id": {problem.Invalid, "session_id", sign(appliance.SignRequest{SessionID: "a b", WalletID: ed.ID, Message: []byte("m")})},
	} {
		t.Run(name, func(t *testing.T) {
			err := row.do(t.Context())
			e := wantCode(t, err, row.code)
			if e.Field != row.field || e.Message == "" || e.Next == "" {
				t.Errorf("error %+v, want field %q and advice", e, row.field)
			}
		})
	}
	if n.Counts().Batches != before {
		t.Error("a wrong request was proposed")
	}
}

// Goal: a minority threshold is refused by policy, here and on every other node. Method: ask for 2-of-5.
func TestMajorityPolicy(t *testing.T) {
	c := newCluster(t, 5)
	_, err := c.nodes[0].node.Keygen(t.Context(), appliance.KeygenRequest{Curve: "ed25519", Threshold: 2, Total: 5})
	wantCode(t, err, problem.Denied)
}

// Goal: with too few nodes nothing is promised: keygen and refresh need all, signing needs the threshold. Method: halt nodes.
func TestQuorumMissing(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Silence: 2 * time.Second}) // two beats of the heart: who is gone is told from who is late
	w := c.keygen("ed25519", 2, 3)
	c.nodes[1].halt()
	c.nodes[2].halt()
	n := c.nodes[0].node
	_, err := n.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m")})
	wantCode(t, err, problem.Quorum)
	_, err = n.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID})
	wantCode(t, err, problem.Quorum)
	c.nodes[1].start()
	c.nodes[2].start()
	c.waitReady()
	if _, err := n.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m")}); err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code problem.Code) *problem.Error {
	t.Helper()
	var e *problem.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error %v (%T), want code %s", err, err, code)
	}
	return e
}

// waitFor returns when the condition holds; it fails the test when it never does.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if !within(slowdown*20*time.Second, ok) { // patience only: a pool that failed to fill twice waits 15 s
		t.Fatalf("never: %s", what)
	}
}

// within tells whether something is so at last, before a time is over.
func within(patience time.Duration, ok func() bool) bool {
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// Goal: a party that refuses a refresh cannot have its coordinator propose an epoch at the end of all numbers, or past it, which is none;
// nor is a keygen made one of an epoch. Method: a party refuses all that is proposed, and says that it has a share of such an epoch; what
// is proposed to it is read.
func TestRefusedToTheEnd(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	type asked struct {
		Operation string
		Next      uint64
	}
	proposed := make(chan asked, 64)
	var told atomic.Uint64
	r := c.nodes[1].rogue()
	r.alive(func(e transport.Envelope) {
		var fields map[uint64]any
		if e.Kind != ceremony.KindProposal || canon.Unmarshal(e.Body, &fields) != nil {
			return
		}
		operation, _ := fields[2].(string)
		next, _ := fields[9].(uint64)
		proposed <- asked{operation, next}
		r.send(transport.Envelope{Kind: ceremony.KindRefusal, Topic: e.Topic,
			Body: canon.MustMarshal(ceremony.Refusal{Code: problem.Attempt, Message: "no", Epoch: told.Load()})})
	})
	for _, epoch := range []uint64{1<<64 - 1, 1<<64 - 2, 1 << 63} {
		told.Store(epoch)
		_, err := c.nodes[0].node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID})
		if err == nil || !strings.Contains(err.Error(), "node2 refuses") {
			t.Errorf("told %d: %v", epoch, err)
		}
	}
	if _, err := c.nodes[0].node.Keygen(t.Context(), appliance.KeygenRequest{Curve: "ed25519", Threshold: 2, Total: 3}); err == nil {
		t.Error("a key was made")
	}
	seen := map[string]int{}
	for range len(proposed) {
		p := <-proposed
		seen[p.Operation]++
		if p.Operation == "refresh" && (p.Next == 0 || p.Next > 64) || p.Operation != "refresh" && p.Next != 0 {
			t.Errorf("a %s of epoch %d was proposed", p.Operation, p.Next)
		}
	}
	if seen["refresh"] < 3 || seen["keygen"] == 0 {
		t.Errorf("proposed: %v", seen)
	}
}
