package transport

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// Goal: a node that joins the roster later is heard and spoken to, and one that is known stays who it was: nobody takes its name with
// another key, and a roster that tries takes nothing of its keys. Method: a third node is added; then rosters that name a known node with
// one of its keys changed, or both, and the same roster again.
func TestAddKeepsIdentities(t *testing.T) {
	_, peers := roster3(t)
	a, c := newEnd(t, "a", start, 1), newEnd(t, "c", start, 3)
	b := newEnd(t, "b", start, 2)
	b.net.Remove([]NodeID{"c"})
	b.refuse(c.seal(Envelope{}), DropUnknown)
	if err := b.net.Add(Peers{"c": peers["c"]}); err != nil {
		t.Fatal(err)
	}
	b.take(c.seal(Envelope{}))
	c.take(b.seal(private("c", "x")))

	usurper, other, err := NewIdentity("a", rand.NewChaCha8([32]byte{9}))
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]Peer{
		"both keys":    other,
		"identity key": {Node: "a", Identity: other.Identity, HPKE: peers["a"].HPKE},
		"HPKE key":     {Node: "a", Identity: peers["a"].Identity, HPKE: other.HPKE},
	} {
		if b.net.Add(Peers{"a": p}) == nil {
			t.Errorf("a known node with another %s is taken", name)
		}
	}
	if p := b.net.peer("a"); !bytes.Equal(p.identity, peers["a"].Identity) || !bytes.Equal(p.seal.pub.Bytes(), peers["a"].HPKE) {
		t.Error("a roster that is refused has changed the keys of a known node")
	}
	if err := b.net.Add(peers); err != nil {
		t.Errorf("the same roster again: %v", err)
	}
	b.take(a.seal(Envelope{}))
	forger := newEnd(t, "a", start, 7)
	forger.net.self = usurper
	b.refuse(forger.seal(Envelope{}), DropSignature)
	a.take(b.seal(private("a", "y")))
}
