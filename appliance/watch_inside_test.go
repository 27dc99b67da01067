package appliance

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/memnet"
)

// Goal: who sends more than there is room for is named, in the metrics by the room and in the log once a minute, and nobody else is; and a
// release of another wire is told from that, with the members that are not heard. Method: a member floods each room; somebody on the
// network sends what is no frame of this release; on a clock of the test.
func TestFloodsAreNamed(t *testing.T) {
	x, said := newInside(t), &bytes.Buffer{}
	now := time.Unix(1_000_000, 0)
	log := slog.New(slog.NewTextHandler(said, nil))
	hub, peers := memnet.New(), transport.Peers{}
	ids := map[transport.NodeID]transport.Identity{}
	for _, n := range []transport.NodeID{"node1", "node2", "node3"} {
		id, p, err := transport.NewIdentity(n, rand.NewChaCha8([32]byte([]byte(strings.Repeat(string(n), 7))[:32])))
		if err != nil {
			t.Fatal(err)
		}
		ids[n], peers[n] = id, p
	}
	net := transport.Secure(hub.Node("node1"), ids["node1"], peers, transport.Options{Cluster: "test"})
	x.net.Store(net)
	member := transport.Secure(hub.Node("node2"), ids["node2"], peers, transport.Options{Cluster: "test"})
	var conns []transport.Conn
	for _, s := range []*transport.Secured{net, member} {
		c, err := s.Join(t.Context(), channel)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		conns = append(conns, c)
	}
	flood := func() {
		for i := range 8192 + 200 {
			if err := conns[1].Send(t.Context(), transport.Envelope{To: []transport.NodeID{"node1"}}); err != nil {
				t.Fatal(err)
			}
			env := transport.Envelope{From: "node2", Kind: ceremony.KindEngine, Topic: [32]byte{1, byte(i), byte(i >> 8)}}
			x.router.Deliver(env)
			x.slots.Take(env)
		}
	}
	x.cfg.Logger, x.cfg.Clock = log, func() time.Time { return now }
	x.slots = ceremony.NewSlots(4, 2)
	w := &watch{lost: map[transport.NodeID]uint64{}}
	w.floods(x.Node, now)
	flood()
	for of, v := range x.Counts().Lost {
		if of.Peer == "node2" && v < 200 || of.Peer != "node2" && v != 0 {
			t.Errorf("%s of %s: %d", of.Room, of.Peer, v)
		}
	}
	if len(x.Counts().Lost) != 4 { // the inbox counts each peer, also at 0
		t.Errorf("%v", x.Counts().Lost)
	}
	for range 3 {
		w.floods(x.Node, now)
	}
	if got := said.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "from=node2") {
		t.Errorf("a flood is told as %q", got)
	}
	flood()
	w.floods(x.Node, now)
	now = now.Add(remarkEvery)
	w.floods(x.Node, now)
	if got := said.String(); strings.Count(got, "\n") != 2 {
		t.Errorf("a minute later: %q", got)
	}
	said.Reset()
	old, err := hub.Node("node9").Join(t.Context(), channel, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Send(t.Context(), transport.Envelope{Body: []byte{0xa3}}); err != nil {
		t.Fatal(err)
	}
	x.peers.Heard("node2")
	for range 3 {
		w.floods(x.Node, now)
	}
	if got := said.String(); strings.Count(got, "another release") != 1 || strings.Contains(got, "node9") || !strings.Contains(got, `heard"="[node5 node7]"`) {
		t.Errorf("another release is told as %q", got)
	}
}
