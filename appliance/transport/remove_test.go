package transport

import "testing"

// Goal: nothing of a node that was taken out of the roster is delivered, and nothing is sealed to it; others are heard as before. Method:
// envelopes of two nodes, before and after one is removed.
func TestRemove(t *testing.T) {
	a, b, c := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2), newEnd(t, "c", start, 3)
	b.take(a.seal(Envelope{}))
	b.net.Remove([]NodeID{"a"})
	b.refuse(a.seal(Envelope{}), DropUnknown)
	b.take(c.seal(Envelope{}))
	if err := b.conn.Send(t.Context(), Envelope{To: []NodeID{"a"}, Body: []byte("x")}); err == nil {
		t.Error("something is sent to who was removed")
	}
	if err := b.conn.(*securedConn).sealPrivate(&sealed{Header: header{To: []NodeID{"a"}}}, []byte("x")); err == nil {
		t.Error("something is sealed to who was removed while it was sent")
	}
}
