package transport

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"
)

// Goal: the witness key of an identity is the same in every release, for rosters have it: it is made from the seed of the Ed25519 key
// alone, by what no other key is made by. Method: the key of a seed as it was at first; seeds changed; what it signs, changed.
func TestWitnessKey(t *testing.T) {
	seed := make([]byte, 64)
	for i := range seed {
		seed[i] = byte(i)
	}
	make1 := func(seed []byte) Identity {
		id, peer, err := NewIdentity("n", bytes.NewReader(seed))
		if err != nil || len(id.WitnessKey) != WitnessKeyLen || !bytes.Equal(id.WitnessKey, peer.WitnessKey) {
			t.Fatalf("a key of %d bytes, %v", len(id.WitnessKey), err)
		}
		return id
	}
	id := make1(seed)
	if sum := sha256.Sum256(id.WitnessKey); hex.EncodeToString(sum[:]) != "284683fd522e6c1f7ca4ccf792c1b477d9f0881d5c43b32613434a10d1199759" {
		t.Errorf("it is another: %x", sum)
	}
	for at, same := range map[int]bool{0: false, 31: false, 32: true, 63: true} {
		other := slices.Clone(seed)
		other[at] ^= 1
		if bytes.Equal(make1(other).WitnessKey, id.WitnessKey) != same {
			t.Errorf("byte %d changed", at)
		}
	}
	msg := []byte("text")
	sig := id.SignWitness(msg)
	if err := VerifyWitness(id.WitnessKey, msg, sig); err != nil || !bytes.Equal(sig, id.SignWitness(msg)) {
		t.Errorf("signed: %v", err)
	}
	for name, err := range map[string]error{
		"another text":      VerifyWitness(id.WitnessKey, []byte("texu"), sig),
		"another signature": VerifyWitness(id.WitnessKey, msg, id.SignWitness([]byte("texu"))),
		"cut":               VerifyWitness(id.WitnessKey, msg, sig[1:]),
		"none":              VerifyWitness(id.WitnessKey, msg, nil),
		"another key":       VerifyWitness(make1(make([]byte, 64)).WitnessKey, msg, sig),
		"no key":            VerifyWitness(nil, msg, sig),
		"a longer key":      VerifyWitness(append(slices.Clone(id.WitnessKey), 0), msg, sig),
	} {
		if err == nil {
			t.Errorf("%s verifies", name)
		}
	}
}
