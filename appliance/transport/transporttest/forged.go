package transporttest

import (
	"bytes"
	"testing"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/internal/canon"
)

// A sealed envelope seen as CBOR maps, as someone without our code would take it apart.
type fields = map[any]any

func parse(t *testing.T, raw []byte) (top, header fields) {
	t.Helper()
	if err := canon.Unmarshal(raw, &top); err != nil {
		t.Fatal(err)
	}
	return top, top[uint64(1)].(fields)
}

// testForged: no field of a sealed envelope can be changed, added or removed, and none can be sent again.
func testForged(t *testing.T, open Open) {
	s := newStage(t, open)
	raw := s.capture("genuine")
	s.inject(raw, transport.DropReplay)
	number := func(key uint64, by uint64) func(top, h fields) {
		return func(_, h fields) { h[key] = h[key].(uint64) + by }
	}
	flip := func(key uint64) func(top, h fields) {
		return func(_, h fields) { h[key] = flipped(h[key].([]byte)) }
	}
	set := func(key uint64, v any) func(top, h fields) {
		return func(_, h fields) { h[key] = v }
	}
	for _, f := range []struct {
		name   string
		change func(top, header fields)
		want   transport.Reason
	}{
		{"version", number(1, 1), transport.DropMalformed},
		{"cluster", set(2, "elsewhere"), transport.DropForeign},
		{"channel", set(3, "other"), transport.DropForeign},
		{"from a peer", func(_, h fields) {
			h[uint64(4)] = "c"
			h[uint64(9)] = h[uint64(9)].(uint64) + 60e3 // c's own boot may be the later
		}, transport.DropSignature},
		{"from a stranger", set(4, "mallory"), transport.DropUnknown},
		{"from nobody", set(4, ""), transport.DropMalformed},
		{"to added", set(5, []any{"b"}), transport.DropSignature},
		{"to others", set(5, []any{"c"}), transport.DropNotForUs},
		{"kind", number(6, 1), transport.DropSignature},
		{"topic", flip(7), transport.DropSignature},
		{"boot", flip(8), transport.DropSignature},
		{"boot start later", number(9, 1), transport.DropSignature},
		{"boot start earlier", number(9, ^uint64(0)), transport.DropStaleBoot},
		{"sequence", number(10, 1000), transport.DropSignature},
		{"sequence none", set(10, uint64(0)), transport.DropMalformed},
		{"time", number(11, 1), transport.DropSignature},
		{"time next day", number(11, 86400e3), transport.DropSkew},
		{"body hash", flip(12), transport.DropBody},
		{"private", set(13, true), transport.DropMalformed},
		{"encapsulated key", set(14, make([]byte, 32)), transport.DropMalformed},
		{"count", set(15, uint64(1)), transport.DropMalformed},
		{"unknown field", set(16, uint64(1)), transport.DropMalformed},
		{"body", func(top, _ fields) { top[uint64(3)] = []byte("forged!") }, transport.DropBody},
		{"no body", func(top, _ fields) { delete(top, uint64(3)) }, transport.DropBody},
		{"signature", func(top, h fields) {
			h[uint64(10)] = h[uint64(10)].(uint64) + 1000
			top[uint64(2)] = flipped(top[uint64(2)].([]byte))
		}, transport.DropSignature},
	} {
		t.Run(f.name, func(t *testing.T) {
			s := s.in(t)
			top, h := parse(t, raw)
			f.change(top, h)
			// The replay check comes before the signature: a fresh number shows that what is probed is what refuses.
			if f.want == transport.DropSignature || f.want == transport.DropBody {
				h[uint64(10)] = h[uint64(10)].(uint64) + 500
			}
			forged := canon.MustMarshal(top)
			if bytes.Equal(forged, raw) {
				t.Fatal("nothing changed")
			}
			s.inject(forged, f.want)
		})
	}
	t.Run("private body", func(t *testing.T) { testForgedPrivate(t, s) })
	t.Run("cut short", func(t *testing.T) { s.inject(raw[:len(raw)-1], transport.DropMalformed) })
	t.Run("trailing", func(t *testing.T) { s.inject(append(bytes.Clone(raw), 0), transport.DropMalformed) })
	if found, _ := s.b.find(func(e transport.Envelope) bool { return e.Kind == 3 }); len(found) != 1 {
		t.Errorf("b received %d envelopes, want the genuine one", len(found))
	}
	s.capture("still heard") // forgeries did not use up anything
}

// testForgedPrivate holds back a private envelope's own number: a changed copy arrives first and must not stand in its way.
func testForgedPrivate(t *testing.T, s *stage) {
	tap := s.tap("b")
	s.a.send(transport.Envelope{To: to("b"), Kind: 9, Body: []byte("secret"), Private: true})
	s.b.wait("secret")
	raw := tap.waitFor("the sealed envelope", func(e transport.Envelope) bool {
		var top fields
		if canon.Unmarshal(e.Body, &top) != nil {
			return false
		}
		return top[uint64(1)].(fields)[uint64(6)] == uint64(9)
	}).Body
	s.injectTo(to("b"), raw, transport.DropReplay)
	for _, key := range []uint64{14, 15} { // another key or nonce is another header
		top, h := parse(t, raw)
		h[uint64(10)] = h[uint64(10)].(uint64) + 500
		if key == 14 {
			h[key] = flipped(h[key].([]byte))
		} else {
			h[key] = h[key].(uint64) + 1
		}
		s.injectTo(to("b"), canon.MustMarshal(top), transport.DropSignature)
	}
}

func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-1] ^= 1
	return b
}
