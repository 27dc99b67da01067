package transporttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"testing"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/internal/canon"
)

// A frame as someone without our code would take it apart: by where things stand behind the sender's name.
const (
	atBoot, atNumber, atSeq, atTime, atSum, atCount, atPlaces = 0, 16, 24, 32, 40, 72, 74

	pairName, entry = 8, 40 // of an addressee: the pair's name, and that with the MAC
)

// behind is where the rest begins behind the sender's name.
func behind(frame []byte) int { return 2 + int(frame[1]) }

// sealedIn is what is sealed in a frame.
func sealedIn(frame []byte) []byte {
	if len(frame) < 2 || len(frame) < behind(frame)+atPlaces {
		return nil
	}
	rest := frame[behind(frame):]
	n := entry * int(binary.BigEndian.Uint16(rest[atCount:]))
	if len(rest) < atPlaces+n {
		return nil
	}
	return rest[atPlaces+n:]
}

// renamed is a frame with another sender's name on it.
func renamed(frame []byte, from string) []byte {
	return append(append([]byte{frame[0], byte(len(from))}, from...), frame[behind(frame):]...)
}

// testForged: nothing of a frame can be changed, added or removed by who carries it, nor can it be sent again.
func testForged(t *testing.T, open Open) {
	s := newStage(t, open)
	raw := s.capture("genuine")
	s.inject(raw, transport.DropReplay)
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[behind(b)+at] ^= 1; return b }
	}
	mine := bytes.Index(raw, s.pairName("a", "b")) // where b's MAC is
	for _, f := range []struct {
		name   string
		change func([]byte) []byte
		want   transport.Reason
	}{
		{"version", func(b []byte) []byte { b[0]++; return b }, transport.DropRelease},
		{"from a peer", func(b []byte) []byte { return renamed(b, "c") }, transport.DropNotForUs},
		{"from a stranger", func(b []byte) []byte { return renamed(b, "mallory") }, transport.DropUnknown},
		{"from nobody", func(b []byte) []byte { return renamed(b, "") }, transport.DropUnknown},
		{"boot", flip(atBoot), transport.DropForged},
		{"boot start", flip(atNumber), transport.DropForged},
		{"sequence", flip(atSeq), transport.DropForged},
		{"time", flip(atTime), transport.DropForged},
		{"hash of the rest", flip(atSum), transport.DropForged},
		{"no addressees", func(b []byte) []byte { clear(b[behind(b)+atCount:][:2]); return b }, transport.DropNotForUs},
		{"more addressees than there are", func(b []byte) []byte { b[behind(b)+atCount] = 0xff; return b }, transport.DropMalformed},
		{"MAC", func(b []byte) []byte { b[mine+pairName] ^= 1; return b }, transport.DropForged},
		{"MAC of another", func(b []byte) []byte {
			theirs := bytes.Index(b, s.pairName("a", "c"))
			copy(b[mine+pairName:mine+entry], b[theirs+pairName:theirs+entry])
			return b
		}, transport.DropForged},
		{"body, and its hash", func(b []byte) []byte { return rehashed(b) }, transport.DropForged},
		{"body", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, transport.DropReplay}, // it came, as it was
		{"trailing", func(b []byte) []byte { return append(b, 0) }, transport.DropReplay},
		{"cut short", func(b []byte) []byte { return b[:behind(b)+atPlaces-1] }, transport.DropMalformed},
	} {
		t.Run(f.name, func(t *testing.T) {
			forged := f.change(bytes.Clone(raw))
			if bytes.Equal(forged, raw) {
				t.Fatal("nothing changed")
			}
			s.in(t).inject(forged, f.want)
		})
	}
	t.Run("private body", func(t *testing.T) { testForgedPrivate(t, s.in(t)) })
	if found, _ := s.b.find(func(e transport.Envelope) bool { return e.Kind == 3 }); len(found) != 1 {
		t.Errorf("b received %d envelopes, want the genuine one", len(found))
	}
	s.capture("still heard") // forgeries did not use up anything
}

// testForgedPrivate: what is private comes once too, and changed not at all.
func testForgedPrivate(t *testing.T, s *stage) {
	tap := s.tap("b")
	s.a.send(transport.Envelope{To: to("b"), Kind: 9, Body: []byte("secret"), Private: true})
	s.b.wait("secret")
	raw := tap.waitFor("the sealed envelope", func(e transport.Envelope) bool {
		p, err := Peek(e)
		return err == nil && p.Kind == 9
	}).Body
	s.injectTo(to("b"), raw, transport.DropReplay)
	s.injectTo(to("b"), rehashed(bytes.Clone(raw)), transport.DropForged)
}

// testGate: a raw network asks about every envelope before it holds it, and takes the sender that it is told for true.
func testGate(t *testing.T, open Open) {
	nets := open(t, honest)
	g := &gate{asked: map[string]int{}}
	b := join(t, "b", gated{nets["b"], g}, "news")
	a := join(t, "a", raw{nets["a"]}, "news")
	meet(t, "gate", a, join(t, "b", raw{nets["b"]}, "news")) // both of b's have subscribed by then, where that takes time
	b.waitFor("greetings", func(transport.Envelope) bool { return true })
	for _, body := range []string{"refused", "let in"} {
		a.send(transport.Envelope{To: to("b"), Body: []byte(body)})
	}
	if e := b.wait("let in"); e.From != "c" {
		t.Errorf("from %q, though the gate said c", e.From)
	}
	b.never("refused")
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asked["refused"] != 1 || g.asked["let in"] != 1 {
		t.Errorf("asked %v", g.asked)
	}
}

// gate admits all but what is called refused, as c's.
type gate struct {
	mu    sync.Mutex
	asked map[string]int
}

func (g *gate) Admit(e *transport.Envelope) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked[string(e.Body)]++
	e.From = "c"
	return string(e.Body) != "refused"
}

func (g *gate) Lost(transport.NodeID) {}

// gated is a raw network behind the gate.
type gated struct {
	transport.Network
	g transport.Gate
}

func (n gated) Join(ctx context.Context, channel string) (transport.Conn, error) {
	return n.Network.Join(ctx, channel, n.g)
}

// rehashed is a frame with another body, of which it has the right hash.
func rehashed(frame []byte) []byte {
	frame[len(frame)-1] ^= 1
	sum := sha256.Sum256(sealedIn(frame))
	copy(frame[behind(frame)+atSum:], sum[:])
	return frame
}

// pairName is by what an addressee finds its MAC: the beginning of a hash of what the key is bound to.
func (s *stage) pairName(from, to transport.NodeID) []byte {
	h := canon.Hash("mpcd/v1/transport/pair", []byte(cluster), []byte(from), []byte(to), s.peers[from].HPKE, s.peers[to].HPKE)
	return h[:pairName]
}
