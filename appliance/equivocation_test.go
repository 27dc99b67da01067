package appliance_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/memnet"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
	"github.com/luxfi/mpcd/vault"
)

// twoFaced is a compromised signer with a real share, which runs the real engine twice in one ceremony: one face for each peer.
type twoFaced struct {
	*rogue
	share *threshold.KeyShare
	faces map[[32]byte][2]threshold.Message             // OPENs, by ceremony
	front *threshold.Session[[]*threshold.Presignature] // behind the first face of the last ceremony
}

// newTwoFaced halts the member, takes its share and its identity, and takes its place.
func newTwoFaced(t *testing.T, m *member, wallet string) *twoFaced {
	t.Helper()
	m.halt()
	v, err := vault.Open(t.Context(), vault.Config{Store: m.vault, Wrapper: m.token.(hsm.KeyWrapper), KEK: "vault", Node: string(m.id)})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	share, err := sim.OpenShare(v, wallet)
	if err != nil {
		t.Fatal(err)
	}
	return &twoFaced{rogue: m.rogue(), share: share, faces: map[[32]byte][2]threshold.Message{}}
}

// open makes both OPENs of a ceremony, valid by themselves; they are the same when a proposal is repeated.
func (r *twoFaced) open(topic [32]byte, signers []threshold.PartyID) [2]threshold.Message {
	if faces, known := r.faces[topic]; known {
		return faces
	}
	scheme, err := schemes.For(threshold.KindOf(r.share.Kind).Curve, "frost")
	if err != nil {
		panic(err)
	}
	var out [2]threshold.Message
	for i := range out {
		s, err := scheme.Presign(threshold.Setup{Ceremony: topic, Context: []byte("sign"), Committee: r.share.Committee, Signers: signers,
			Self: r.share.Party},
			[]threshold.PresignKey{{Info: r.share.KeyInfo, Share: r.share}}, rand.Reader)
		if err != nil {
			panic(err)
		}
		ms, err := s.Start()
		if err != nil {
			panic(err)
		}
		out[i] = ms[0]
		if i == 0 {
			r.front = s
		}
	}
	r.faces[topic] = out
	return out
}

func (r *twoFaced) tell(topic [32]byte, m threshold.Message, to ...transport.NodeID) {
	r.send(transport.Envelope{To: to, Kind: ceremony.KindEngine, Topic: topic, Body: m.Encode()})
}

// signersOf reads who is asked to take part from a proposal.
func signersOf(body []byte) []threshold.PartyID {
	var p proposal
	if err := canon.Unmarshal(body, &p); err != nil {
		panic(err)
	}
	return p.Signers
}

// Goal: a signer that says two things in OPEN is found by the coordinator's dispute and accused, it alone; no honest signer is,
// though its shares belong to another session; the request is answered by another quorum. Method: a rogue with real keys and a
// real share in a 3-of-4 cluster shows node1 and node3 two OPENs that are both valid, and then behaves in different ways.
func TestRealEquivocation(t *testing.T) {
	for _, row := range []struct {
		name  string
		check string // that the coordinator's record of the abort names; "" for any
		late  bool   // the second face may come when OPEN is over: then it has no effect, and the rogue is only avoided
		act   func(r *twoFaced, e transport.Envelope)
	}{
		{"two OPENs, then silence", "equivocation", false, func(r *twoFaced, e transport.Envelope) {
			if e.Kind == ceremony.KindProposal {
				faces := r.open(e.Topic, signersOf(e.Body))
				r.tell(e.Topic, faces[0], "node1")
				r.tell(e.Topic, faces[1], "node3")
			}
		}},
		{"two OPENs, and repeated when asked", "equivocation", false, func(r *twoFaced, e transport.Envelope) {
			if e.Kind == ceremony.KindProposal {
				r.open(e.Topic, signersOf(e.Body))
			}
			if faces, known := r.faces[e.Topic]; known {
				r.tell(e.Topic, faces[0], "node1")
				r.tell(e.Topic, faces[1], "node3")
			}
		}},
		{"two OPENs, and a third face in the dispute", "", false, func(r *twoFaced, e transport.Envelope) {
			if e.Kind == ceremony.KindProposal {
				faces := r.open(e.Topic, signersOf(e.Body))
				r.tell(e.Topic, faces[0], "node1")
				r.tell(e.Topic, faces[1], "node3")
				return
			}
			if m, err := threshold.DecodeMessage(e.Body); err == nil && m.Kind == threshold.Originals {
				m.Body = append(bytes.Clone(m.Body), 1)
				r.tell(e.Topic, m, "node1", "node3")
			}
		}},
		{"a bad OPEN for one alone", "frost-commitment", false, func(r *twoFaced, e transport.Envelope) {
			if e.Kind == ceremony.KindProposal {
				faces := r.open(e.Topic, signersOf(e.Body))
				bad := faces[0]
				bad.Body = append(bytes.Clone(bad.Body[:64]), bytes.Repeat([]byte{0xff}, len(bad.Body)-64)...)
				r.tell(e.Topic, faces[0], "node1")
				r.tell(e.Topic, bad, "node3")
			}
		}},
		{"two OPENs to one", "equivocation", true, func(r *twoFaced, e transport.Envelope) {
			if e.Kind == ceremony.KindProposal {
				faces := r.open(e.Topic, signersOf(e.Body))
				r.tell(e.Topic, faces[0], "node1")
				r.tell(e.Topic, faces[1], "node1")
				r.tell(e.Topic, faces[0], "node3")
			}
		}},
		{"one OPEN, and shares of a session that nobody saw", "session", false, func(r *twoFaced, e transport.Envelope) {
			if e.Kind == ceremony.KindProposal {
				faces := r.open(e.Topic, signersOf(e.Body))
				r.tell(e.Topic, faces[0], "node1", "node3")
				body := canon.MustMarshal(struct {
					Session threshold.SessionID `cbor:"1,keyasint"`
					Batch   []byte              `cbor:"2,keyasint"`
				}{threshold.SessionID{1}, []byte("x")})
				r.send(transport.Envelope{To: []transport.NodeID{"node1"}, Kind: ceremony.KindShares, Topic: e.Topic, Private: true, Body: body})
				return
			}
			// Asked for what it saw, it shows the truth, which gives another session than it claims.
			_, open := r.faces[e.Topic]
			if m, err := threshold.DecodeMessage(e.Body); open && e.Kind == ceremony.KindEngine && err == nil {
				m.Ceremony, m.From = e.Topic, threshold.PartyID(e.From[4]-'0')
				m.Proof = canon.MustMarshal(struct {
					To    []transport.NodeID `cbor:"1,keyasint"`
					Proof []byte             `cbor:"2,keyasint"`
				}{e.To, e.Proof})
				if m.Kind == threshold.Originals {
					if shown, ok := r.front.OpenOriginals(); ok {
						r.tell(e.Topic, shown, "node1")
					}
				} else if _, err := r.front.Step(m); err != nil {
					panic(err)
				}
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newClusterLimits(t, 4, appliance.Limits{Silence: 900 * time.Millisecond, Request: 10 * time.Second})
			w := c.keygen("ed25519", 3, 4)
			r := newTwoFaced(t, c.nodes[1], w.ID)
			r.alive(func(e transport.Envelope) { row.act(r, e) })
			c.seeEachOther("node2")
			sig, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m")})
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(sig.Signers) != "[node1 node3 node4]" {
				t.Errorf("signed by %v", sig.Signers)
			}
			es, _, err := c.nodes[0].node.Audit(t.Context(), appliance.Page{Size: 1000})
			if err != nil {
				t.Fatal(err)
			}
			abort := es[slices.IndexFunc(es, func(e audit.Entry) bool { return e.Event == "sign.abort" })].Facts
			escaped := row.late && abort["silent.node2"] != ""
			if check := abort["culprit.node2"]; !escaped && (check == "" || row.check != "" && check != row.check) {
				t.Errorf("on record: %v, want node2 for %q", abort, row.check)
			}
			for _, m := range c.nodes {
				if m.stop == nil {
					continue
				}
				for _, s := range m.node.Nodes() {
					if s.Accused && s.ID != "node2" {
						t.Errorf("%s accuses %s, which is honest", m.id, s.ID)
					}
					if m.id == "node1" && s.ID == "node2" && !s.Accused && !escaped {
						t.Error("the rogue is not accused")
					}
				}
			}
		})
	}
}

// seeEachOther waits until every running node sees the named one.
func (c *cluster) seeEachOther(id transport.NodeID) {
	c.t.Helper()
	sim.Wait(c.t, "all see "+string(id), func() bool {
		for _, m := range c.nodes {
			if m.stop == nil {
				continue
			}
			if !slices.ContainsFunc(m.node.Nodes(), func(s appliance.NodeStatus) bool { return s.ID == id && s.Live }) {
				return false
			}
		}
		return true
	})
}

// Goal: what was said once has no effect a second time: not in the same process, not after a restart, whoever repeats it. Method:
// a stranger on the network records every frame of a key generation and of signatures, and sends them all again, to running nodes
// and to one that was restarted since; then nothing may have been signed, accused or changed, and the cluster still works.
func TestRealReplay(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Silence: 600 * time.Millisecond, Request: 5 * time.Second})
	var mu sync.Mutex
	var frames []memnet.Frame
	c.hub.SetTap(func(f memnet.Frame) {
		mu.Lock()
		defer mu.Unlock()
		f.Body = bytes.Clone(f.Body)
		frames = append(frames, f)
	})
	w := c.keygen("ed25519", 2, 3)
	for i, m := range c.nodes {
		for _, other := range c.nodes {
			if other == m {
				continue
			}
			if _, err := m.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte{byte(i), 1},
				Signers: []transport.NodeID{m.id, other.id}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.hub.SetTap(nil)
	mu.Lock()
	recorded := slices.Clone(frames)
	mu.Unlock()
	stranger, err := c.hub.Node("stranger").Join(t.Context(), "node", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	entries := func(m *member) (out []string) {
		es, _, err := m.node.Audit(t.Context(), appliance.Page{Size: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			if e.Event != "node.start" && e.Event != "node.stop" && !strings.HasPrefix(e.Facts["session"], "sync") {
				out = append(out, fmt.Sprint(e.Event, e.Facts))
			}
		}
		return out
	}
	send := func(m *member) (n uint64) {
		for _, f := range recorded {
			if f.To == m.id {
				n++
				if err := stranger.Send(t.Context(), transport.Envelope{To: []transport.NodeID{m.id}, Body: f.Body}); err != nil {
					t.Fatal(err)
				}
			}
		}
		return n
	}
	blames := func(m *member) bool {
		return slices.ContainsFunc(m.node.Nodes(), func(s appliance.NodeStatus) bool { return s.Accused })
	}
	for _, m := range c.nodes { // in the process that has heard it before, the transport drops every frame
		before, dropped := entries(m), m.node.Counts().Network["replay"]
		n := send(m)
		sim.Wait(t, string(m.id)+" drops the replay", func() bool { return m.node.Counts().Network["replay"] == dropped+n })
		if after := entries(m); !slices.Equal(before, after) || blames(m) {
			t.Errorf("%s: %d frames had an effect:\n%s", m.id, n, strings.Join(after[len(before):], "\n"))
		}
	}
	m, other := c.nodes[0], c.nodes[1]
	m.halt()
	m.start()
	c.waitReady()
	before := entries(m)
	n := send(m)
	// A ceremony that another node leads shows that what came before it has been begun; halt waits for its end.
	if _, err := other.node.Sign(t.Context(), appliance.SignRequest{SessionID: "sync", WalletID: w.ID, Message: []byte("sync"),
		Signers: []transport.NodeID{m.id, other.id}}); err != nil {
		t.Errorf("%s does not sign after a replay: %v", m.id, err)
	}
	counts := m.node.Counts()
	if counts.Network["received"] < n/2 || counts.Refused == 0 {
		t.Errorf("the transport let through %d of %d frames and the node refused %d: the node was not put to the test",
			counts.Network["received"], n, counts.Refused)
	}
	blamed := blames(m) || blames(other)
	m.halt()
	m.start()
	c.waitReady()
	for _, e := range entries(m)[len(before):] {
		if !strings.Contains(e, "earlier run of this node") {
			t.Errorf("%s, restarted, did something for a replay: %s", m.id, e)
		}
	}
	if blamed {
		t.Error("somebody is accused for a replay")
	}
	for _, m := range c.nodes {
		got, err := m.node.Wallet(t.Context(), w.ID)
		if err != nil || got.Epoch != 1 || !bytes.Equal(got.PublicKey, w.PublicKey) {
			t.Errorf("%s: wallet %+v, %v", m.id, got, err)
		}
	}
}

// Goal: a node that dies after its OPEN and is back before the ceremony is given up is not taken for one that says two things. The
// request is answered by others, and the node is accused of nothing. Method: the network lets one proposal through to node2 and
// nothing after it; node2 answers with its OPEN, is killed and restarted, and gets everything repeated.
func TestRealRestartInCeremony(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Silence: 3 * time.Second, Request: 10 * time.Second})
	w := c.keygen("ed25519", 2, 3)
	var proposals, opens atomic.Int64
	c.hub.SetFault(func(f memnet.Frame) memnet.Fate {
		switch {
		case f.From == "node1" && f.To == "node2":
			if len(f.Body) > 450 && proposals.Add(1) == 1 {
				return memnet.Once
			}
			return nil
		case f.From == "node2" && f.To == "node1" && len(f.Body) > 300:
			opens.Add(1)
		}
		return memnet.Once
	})
	answer := make(chan error, 1)
	var sig *appliance.Signature
	go func() {
		var err error
		sig, err = c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m")})
		answer <- err
	}()
	sim.Wait(t, "node2 opens", func() bool { return opens.Load() > 0 })
	c.hub.Kill("node2")
	c.nodes[1].halt()
	c.nodes[1].start()
	c.hub.SetFault(nil)
	if err := <-answer; err != nil {
		t.Fatal(err)
	}
	for _, m := range c.nodes {
		for _, s := range m.node.Nodes() {
			if s.Accused {
				t.Errorf("%s accuses %s", m.id, s.ID)
			}
		}
	}
	t.Logf("signed by %v", sig.Signers)
}
