package transport

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
)

func private(to NodeID, body string) Envelope {
	return Envelope{To: []NodeID{to}, Private: true, Body: []byte(body)}
}

// Goal: no key and nonce is ever used twice: over messages, recipients, directions, rotations of the key, restarts. Method: read
// the pairs off the wire, and the keys themselves out of HPKE with the recipients' private keys; that it is under these that a body is
// encrypted, bound to its header, shows when it is opened by the standard library alone.
func TestNoncesDistinct(t *testing.T) {
	ids, _ := roster3(t)
	seen := map[string]bool{}
	keys := map[string]bool{}
	for seed := range byte(2) {
		for _, from := range []NodeID{"a", "b", "c"} {
			e := newEnd(t, from, start, seed)
			for _, p := range e.net.peers {
				p.seal.uses = 3
			}
			for i := range 10 {
				for to := range e.net.peers {
					key, count := keyOf(t, ids[to], from, e.seal(private(to, "x")))
					pair := fmt.Sprintf("%x %d", key, count)
					if seen[pair] {
						t.Fatalf("key and nonce repeat: %s to %s, message %d", from, to, i)
					}
					seen[pair], keys[string(key)] = true, true
				}
			}
		}
	}
	if len(seen) != 2*6*10 || len(keys) != 2*6*4 {
		t.Errorf("%d pairs under %d keys", len(seen), len(keys))
	}
}

// keyOf opens raw, the private body "x", with nothing of ours but the names in it, and returns what it was encrypted under.
func keyOf(t *testing.T, to Identity, from NodeID, raw []byte) (key []byte, count uint64) {
	t.Helper()
	s, err := unframe(raw)
	if err != nil {
		t.Fatal(err)
	}
	decap, err := hpke.NewDHKEMPrivateKey(to.Agree)
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := hpke.NewRecipient(s.Header.Enc, decap, kdf, aead, hpkeInfo("test", from, to.Node))
	if err != nil {
		t.Fatal(err)
	}
	if key, err = ctx.Export(tagKey, keyLen); err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	count = s.Header.Count
	d := s.Header.digest()
	plain, err := gcm.Open(nil, append(make([]byte, 4), binary.BigEndian.AppendUint64(nil, count)...), s.Body, d[:])
	if err != nil || string(plain[saltLen:]) != "x" {
		t.Fatalf("the body does not open under the nonce of its count: %q, %v", plain, err)
	}
	return key, count
}

// Goal: a key is bound to its cluster, sender and recipient. Method: the context strings of all neighbours differ.
func TestDirections(t *testing.T) {
	seen := map[string]bool{}
	for _, names := range [][3]string{{"x", "a", "b"}, {"x", "b", "a"}, {"x", "a", "c"}, {"y", "a", "b"}, {"xa", "", "b"}, {"x", "ab", ""}} {
		info := string(hpkeInfo(names[0], NodeID(names[1]), NodeID(names[2])))
		if seen[info] {
			t.Errorf("%v shares a context", names)
		}
		seen[info] = true
	}
}

// Goal: loss does no harm to later private bodies, nor do order and repetition of keys beyond the cache. Method: a key per body,
// more keys than are cached, delivered backwards.
func TestPrivateAnyOrder(t *testing.T) {
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	a.net.peers["b"].seal.uses = 1
	var raw [][]byte
	for i := range 3 * keysCached {
		raw = append(raw, a.seal(private("b", fmt.Sprint("body ", i))))
	}
	for i := len(raw) - 1; i >= 0; i-- {
		if got := b.take(raw[i]); string(got.Body) != fmt.Sprint("body ", i) || !got.Private {
			t.Errorf("body %d: %q", i, got.Body)
		}
		if n := len(b.net.peers["a"].open.keys); n > keysCached {
			t.Fatalf("%d keys cached", n)
		}
	}
}

// Goal: the cache keeps what is in use. Method: one key alternates with many others; it is decapsulated once.
func TestKeyCache(t *testing.T) {
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	b.take(a.seal(private("b", "x")))
	o := &b.net.peers["a"].open
	used := o.keys[0]
	for range 2 * keysCached {
		other := newEnd(t, "a", start, 1)
		s, _ := unframe(other.seal(private("b", "x")))
		if _, err := o.key([encLen]byte(s.Header.Enc)); err != nil {
			t.Fatal(err)
		}
		gcm, err := o.key(used.enc)
		if err != nil || gcm != used.gcm {
			t.Fatal("a key in use was pushed out")
		}
	}
}

// Goal: a private body that is not what its header was encrypted with is refused, whoever sends it. Method: the sender changes the
// ciphertext; then it takes another's, and none.
func TestPrivateTampered(t *testing.T) {
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	first, second := a.seal(private("b", "first")), a.seal(private("b", "second"))
	for i := range saltLen + len("first") + tagLen {
		s, _ := unframe(a.seal(private("b", "first")))
		s.Body[i] ^= 1
		b.refuse(a.wrap(s), DropUndecryptable)
	}
	other, _ := unframe(second)
	for _, body := range [][]byte{other.Body, nil} {
		swapped, _ := unframe(a.seal(private("b", "first")))
		swapped.Body = body
		b.refuse(a.wrap(swapped), DropUndecryptable)
	}
	c := newEnd(t, "c", start, 3)
	c.refuse(first, DropNotForUs)
	s, _ := unframe(a.seal(private("b", "first")))
	c.refuse(a.wrap(s), DropNotForUs) // with a MAC for it
	if string(b.take(first).Body) != "first" || string(b.take(second).Body) != "second" {
		t.Error("wrong body")
	}
}

// Goal: even the sender cannot make a private body differ from what it signed, be too short or too large, or use a bad key. Method: a
// sender that signs such headers.
func TestPrivateDishonestSender(t *testing.T) {
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	c := a.conn.(*securedConn)
	forge := func(change func(s *sealed, plain []byte) []byte) []byte {
		s, _ := unframe(a.seal(private("b", "body")))
		gcm, enc, count, err := a.net.peers["b"].seal.next()
		if err != nil {
			t.Fatal(err)
		}
		s.Header.Enc, s.Header.Count = enc, count
		plain := change(s, append(make([]byte, saltLen), "body"...))
		d := s.Header.digest()
		s.Signature, _ = c.sign(d)
		s.Body = gcm.Seal(nil, nonce(s.Header.Count), plain, d[:])
		return a.wrap(s)
	}
	b.refuse(forge(func(_ *sealed, plain []byte) []byte { return plain }), DropBody) // the hash of another salt
	b.refuse(forge(func(_ *sealed, plain []byte) []byte { return plain[:saltLen-1] }), DropUndecryptable)
	b.refuse(forge(func(s *sealed, plain []byte) []byte { s.Header.Enc = make([]byte, encLen); return plain }), DropUndecryptable) // low order
	// Larger than a body may be, in a frame that may be so large.
	b.refuse(forge(func(s *sealed, plain []byte) []byte {
		plain = append(plain[:saltLen], make([]byte, BodyMax+1)...)
		s.Header.BodyHash = hashBody(plain[:saltLen], plain[saltLen:])
		return plain
	}), DropBody)
	if got := b.take(forge(func(s *sealed, plain []byte) []byte {
		s.Header.BodyHash = hashBody(plain[:saltLen], plain[saltLen:])
		return plain
	})); string(got.Body) != "body" {
		t.Errorf("got %q", got.Body)
	}
}

// Goal: the header does not let an onlooker test guesses of a private body. Method: two of the same body have unrelated hashes,
// and none is the hash of the bare body.
func TestPrivateHides(t *testing.T) {
	a := newEnd(t, "a", start, 1)
	one, _ := unframe(a.seal(private("b", "guessable")))
	two, _ := unframe(a.seal(private("b", "guessable")))
	if one.Header.BodyHash == two.Header.BodyHash || one.Header.BodyHash == hashBody(nil, []byte("guessable")) {
		t.Error("hash without salt")
	}
	if bytes.Contains(one.Body, []byte("guessable")) {
		t.Error("body in the clear")
	}
}

// Goal: Close forgets every key. Method: look.
func TestCloseForgets(t *testing.T) {
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	b.take(a.seal(private("b", "x")))
	for _, e := range []*end{a, b} {
		if err := e.net.Close(); err != nil {
			t.Fatal(err)
		}
		for name, p := range e.net.peers {
			if p.seal.gcm != nil || p.open.keys != nil || p.out.key != nil || p.in.key != nil {
				t.Errorf("key of %s kept", name)
			}
		}
		if e.net.me.out.key != nil || e.net.me.in.key != nil {
			t.Error("key of ourselves kept")
		}
	}
	if err := a.conn.Send(t.Context(), Envelope{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Send after Close: %v", err)
	}
}
