package ceremony

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/threshold"
)

// waitHall is a hall of five nodes whose silence is a second; live tells who is heard.
func waitHall(live ...transport.NodeID) Hall {
	h := hallOf("self", "b", "c", "d", "e")
	h.Pace = Pace{Repeat: 100 * time.Millisecond, Silence: time.Second}
	h.Heard = func(id transport.NodeID) (last time.Time) {
		if slices.Contains(live, id) {
			last = time.Now().Add(-beatEvery)
		}
		return last
	}
	return h
}

// Goal: a party that is gone is given up after the silence, and so is one that lives where others can take its place; where nobody can, one
// that lives is waited for longer. The error tells who is gone from who is late. Method: nobody answers, under a clock that jumps.
func TestPatience(t *testing.T) {
	for name, row := range map[string]struct {
		live   []transport.NodeID
		only   bool
		waited time.Duration
		absent []threshold.PartyID
	}{
		"all are gone":                   {nil, false, time.Second, []threshold.PartyID{2, 3}},
		"gone, and nobody else":          {nil, true, time.Second, []threshold.PartyID{2, 3}},
		"one is gone, and nobody else":   {[]transport.NodeID{"c"}, true, time.Second, []threshold.PartyID{2}},
		"late, and others are there":     {[]transport.NodeID{"b", "c"}, false, time.Second, nil},
		"late, and nobody else is there": {[]transport.NodeID{"b", "c"}, true, busyFor * time.Second, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			outer, err := NewRouter(waitHall(row.live...)).Enter([32]byte{1}, "b", []transport.NodeID{"b", "c"})
			if err != nil {
				t.Fatal(err)
			}
			defer outer.Leave()
			outer.Only = row.only
			c, err := outer.Inside([32]byte{2})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Leave()
			began := time.Now()
			err = c.Gather(t.Context(), KindAck, []threshold.PartyID{2, 3}, func(threshold.PartyID, transport.Envelope) error { return nil })
			var silent *SilenceError
			if !errors.As(err, &silent) || !slices.Equal(silent.Missing, []threshold.PartyID{2, 3}) ||
				!slices.Equal(silent.Absent, row.absent) || time.Since(began) != row.waited {
				t.Errorf("%s: %+v after %s, want %v absent after %s", name, err, time.Since(began), row.absent, row.waited)
			}
		})
	}
}

// Goal: a ceremony waits while messages flow: each that was missing starts the silence anew. Method: four OPENs of a session, each just
// before the silence would be over; one that comes again and again, which was not missing.
func TestPatienceWhileMessagesFlow(t *testing.T) {
	committee := threshold.Committee{Threshold: 3}
	for i := range threshold.PartyID(5) {
		committee.Parties = append(committee.Parties, i+1)
		committee.Identities = append(committee.Identities, bytes.Repeat([]byte{byte(i + 1)}, 32))
	}
	session := func(self threshold.PartyID) *threshold.Session[int] {
		s, err := threshold.NewSession(threshold.Setup{Ceremony: [32]byte{1}, Committee: committee, Self: self}, rand.Reader,
			threshold.Opening[int]{Begin: func(io.Reader, threshold.SessionID, []threshold.Received) (threshold.Step[int], error) {
				return threshold.Step[int]{Result: 1}, nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	nodes := []transport.NodeID{"b", "c", "d", "e"}
	for name, speaks := range map[string][]transport.NodeID{"all in turn": nodes, "one again and again": {"b", "b", "b", "b"}} {
		synctest.Test(t, func(t *testing.T) {
			hall := waitHall(nodes...)
			c, err := NewRouter(hall).Enter([32]byte{1}, "b", nodes)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Leave()
			said := map[transport.NodeID][]byte{}
			for i, id := range nodes {
				out, err := session(threshold.PartyID(i + 2)).Start()
				if err != nil || len(out) != 1 {
					t.Fatal(len(out), err)
				}
				said[id] = out[0].Encode()
			}
			go func() {
				for _, id := range speaks {
					time.Sleep(c.pace.Silence * 9 / 10)
					c.router.Deliver(transport.Envelope{From: id, Kind: KindEngine, Topic: c.Topic, Body: said[id]})
				}
			}()
			began := time.Now()
			_, err = Drive(t.Context(), c, session(1))
			if waits := name == "all in turn"; (err == nil) != waits || !waits && time.Since(began) >= 2*c.pace.Silence {
				t.Errorf("%s: %v after %s", name, err, time.Since(began))
			}
			time.Sleep(4 * c.pace.Silence)
		})
	}
}

// Goal: who answers a little before its silence would be over is told, each time, and nobody else is: neither who answers soon, nor who
// says again what was not missing. Method: three parties that certify a key, under a clock that jumps.
func TestStutter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hall := waitHall("b", "c", "d")
		var slow []transport.NodeID
		hall.Slow = func(id transport.NodeID) { slow = append(slow, id) }
		c, err := NewRouter(hall).Enter([32]byte{1}, "b", []transport.NodeID{"b", "c", "d"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Leave()
		for _, kind := range []uint8{KindCertificate, KindAck} {
			go func() {
				for _, x := range []struct {
					from  transport.NodeID
					after time.Duration // in hundredths of the silence
				}{{"b", 40}, {"b", 40}, {"c", 20}, {"d", 49}} {
					time.Sleep(c.pace.Silence * x.after / 100)
					c.router.Deliver(transport.Envelope{From: x.from, Kind: kind, Topic: c.Topic})
				}
			}()
			if err := c.Gather(t.Context(), kind, []threshold.PartyID{2, 3, 4}, func(threshold.PartyID, transport.Envelope) error {
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if want := []transport.NodeID{"c", "c"}; !slices.Equal(slow, want) {
			t.Errorf("%v were slow, want %v", slow, want)
		}
	})
}

// Goal: patience grows with the parties and with their work, and is what the configuration says for a few. Method: who waits for how long.
func TestPaceGrows(t *testing.T) {
	for _, row := range []struct {
		parties int
		heavy   bool
		want    time.Duration
	}{{2, false, time.Second}, {4, false, time.Second}, {5, false, 1250 * time.Millisecond}, {16, false, 4 * time.Second},
		{3, true, 2 * time.Second}, {16, true, 8 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			hall := waitHall()
			peers := make([]transport.NodeID, row.parties-1)
			for i := range peers {
				peers[i] = transport.NodeID(rune('b' + i))
			}
			c, err := NewRouter(hall).Enter([32]byte{1}, "b", peers)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Leave()
			if row.heavy {
				c.Heavy()
			}
			began := time.Now()
			stall := newStall(c)
			defer stall.stop()
			_, err = c.next(context.WithoutCancel(t.Context()), stall, func() []threshold.PartyID { return []threshold.PartyID{2} })
			if time.Since(began) != row.want {
				t.Errorf("%d parties, heavy %v: %v after %s, want %s", row.parties, row.heavy, err, time.Since(began), row.want)
			}
		})
	}
}

// Goal: who was not heard for two beats, or for as long as it was waited for, is gone, and who was not for liveFor in any case; any other
// lives. Method: last words just before and just after.
func TestWhoIsGone(t *testing.T) {
	for silence, most := range map[time.Duration]time.Duration{time.Second: 2 * beatEvery, 3 * time.Second: 3 * time.Second,
		time.Minute: liveFor} {
		for ago, gone := range map[time.Duration]bool{most - time.Millisecond: false, most + time.Millisecond: true} {
			now := time.Unix(1000, 0)
			hall := waitHall()
			hall.Clock = func() time.Time { return now }
			hall.Heard = func(transport.NodeID) time.Time { return now.Add(-ago) }
			hall.Pace.Silence = silence
			c, err := NewRouter(hall).Enter([32]byte{1}, "b", []transport.NodeID{"b"})
			if err != nil {
				t.Fatal(err)
			}
			if got := len(c.silence([]threshold.PartyID{2}).Absent) > 0; got != gone {
				t.Errorf("waited for %s, last heard %s ago: gone %v", silence, ago, got)
			}
		}
	}
}
