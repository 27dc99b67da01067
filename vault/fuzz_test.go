package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"testing"

	"filippo.io/age"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/secret"
)

// echoWrapper is a token that keeps nothing back: the fuzzer is to reach the code behind it.
type echoWrapper struct{}

func (echoWrapper) Wrap(_ context.Context, _ string, dek, _ []byte) ([]byte, error) {
	return bytes.Clone(dek), nil
}

func (echoWrapper) Unwrap(_ context.Context, _ string, wrapped, _ []byte) ([]byte, error) {
	return bytes.Clone(wrapped), nil
}

// Goal: no stored bytes make a decoder panic, and what it accepts has one encoding. Method: fuzz header, root, pointer and the
// envelope behind a token that says yes to everything.
func FuzzRecord(f *testing.F) {
	v := &Vault{node: "node-1", kek: "kek", sealer: sealer{wrapper: echoWrapper{}, kek: "kek", rand: rand.Reader}}
	var err error
	if v.keys, err = deriveKeys(secret.New(32)); err != nil {
		f.Fatal(err)
	}
	r := ref{kindShare, "a"}
	h := v.newHeader(r, Meta{KeyKind: "s", Threshold: 2, TotalParties: 3, Epoch: 1, PublicShare: []byte("p")})
	env, err := v.sealer.seal(f.Context(), h, []byte("share"), nil)
	if err != nil {
		f.Fatal(err)
	}
	p := &pointer{Version: recordVersion, Vault: v.id[:], Node: v.node, Kind: r.kind, ID: r.id}
	p.add(entry{Epoch: 1, State: Active, Header: headerHash(env.header), Sealed: make([]byte, 32)})
	stored := v.encodePointer(p)
	f.Add(env.header, env.dek, env.body)
	f.Add(v.encodeRoot(state{seq: 1}), []byte{}, []byte{})
	f.Add(stored, stored[:len(stored)-macLen], []byte{1})
	old := wrappingID(1)
	f.Add(v.encodeRoot(state{seq: 1, anchor: &anchor{"c", 1}, abandoned: &anchor{"d", 2}, retiring: &old}), []byte{}, []byte{})
	f.Add(canon.MustMarshal(root{Version: 1, Vault: v.id[:], Node: "node-1", KEK: "kek", Seq: 1, MAC: make([]byte, 32)}), []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		if h, err := decodeHeader(a); err == nil && !bytes.Equal(canon.MustMarshal(h), a) {
			t.Error("header: a second encoding")
		}
		if r, err := decodeRoot(a); err == nil && !bytes.Equal(canon.MustMarshal(r), a) {
			t.Error("root: a second encoding")
		}
		if _, err := v.decodePointer(r, a); err == nil && !bytes.Equal(a, stored) {
			t.Error("pointer: accepted one that we did not make")
		}
		signed := append(bytes.Clone(b), v.keys.pointerMAC(v.wrapping.pointerKey(r), b)...)
		if p, err := v.decodePointer(r, signed); err == nil && !bytes.Equal(v.encodePointer(p), signed) {
			t.Error("pointer: a second encoding")
		}
		if s, err := v.sealer.open(context.Background(), envelope{a, b, c}); err == nil {
			if !bytes.Equal(a, env.header) {
				t.Error("envelope: opened under another header")
			}
			s.Wipe()
		}
	})
}

// Goal: no stored bytes of recovery make a decoder panic, what is accepted has one encoding, and a DEK sealed under one session opens
// under nothing else. Method: fuzz recovery record, session record, paired DEK and the age file behind a real identity.
func FuzzRecovery(f *testing.F) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	v := &Vault{node: "node-1", sealer: sealer{rand: rand.Reader}}
	if v.recovery, err = v.newRecovery([]string{id.Recipient().String()}); err != nil {
		f.Fatal(err)
	}
	ses, stored, err := v.newSession()
	if err != nil {
		f.Fatal(err)
	}
	dek := secret.New(dekLen)
	header := []byte("header")
	paired := ses.pair([]byte("wrapped"), dek, header)
	f.Add(v.recovery.record, header)
	f.Add(stored, header)
	f.Add(paired, header)
	f.Add(paired, []byte("other"))
	sealed, err := SealKey(f.Context(), secret.New(SealedKeyLen), header, v.recovery.names, KeySlot{echoWrapper{}, "kek"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, header)
	f.Fuzz(func(t *testing.T, b, h []byte) {
		if r, err := decodeRecovery(b); err == nil && !bytes.Equal(canon.MustMarshal(r), b) {
			t.Error("recovery record: a second encoding")
		}
		if r, err := decodeSession(b); err == nil {
			if !bytes.Equal(canon.MustMarshal(r), b) {
				t.Error("session: a second encoding")
			}
			if key, err := openAge(r.Sealed, []age.Identity{id}, sessionKeyLen); err == nil {
				key.Wipe()
			}
		}
		if p, err := decodePairedDEK(b); err == nil {
			if !bytes.Equal(canon.MustMarshal(p), b) {
				t.Error("DEK: a second encoding")
			}
			if d, err := ses.unpair(p, h); err == nil {
				if !bytes.Equal(h, header) || !d.Equal(dek.Bytes()) {
					t.Error("DEK: opened to another, or under another header")
				}
				d.Wipe()
			}
		}
		if k, err := decodeSealedKey(b); err == nil && !bytes.Equal(canon.MustMarshal(k), b) {
			t.Error("sealed key: a second encoding")
		}
		if key, err := UnsealKey(context.Background(), b, h, KeySlot{echoWrapper{}, "kek"}); err == nil {
			key.Wipe()
		}
		n, err := KeyRecipients(b)
		if err != nil && n != 0 {
			t.Error("sealed key: recipients of what is none")
		}
		if key, err := RecoverKey(b, h, id); err == nil {
			if n < 1 {
				t.Error("sealed key: opened by a recipient, and counted none")
			}
			if !bytes.Equal(h, header) {
				t.Error("sealed key: recovered under another binding")
			}
			key.Wipe()
		}
		_, _, _ = parseRecipients([]string{string(b)})
	})
}

// Goal: a sealed key beyond its limit is not looked into. Method: one that is well-formed but for that.
func TestKeyRecipientsLimit(t *testing.T) {
	k := sealedKey{Version: sealedKeyNoSum, Slots: []sealedFor{{KEK: "kek"}}}
	empty := len(canon.MustMarshal(k))
	k.Slots[0].Wrapped = make([]byte, MaxSealedKey-empty-4) // its length takes four bytes more than that of none
	for over, want := range []error{nil, ErrIntegrity} {
		b := canon.MustMarshal(k)
		if len(b) != MaxSealedKey+over {
			t.Fatalf("%d bytes", len(b))
		}
		if _, err := KeyRecipients(b); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", len(b), err, want)
		}
		k.Slots[0].Wrapped = append(k.Slots[0].Wrapped, 0)
	}
}

// Goal: a root record whose fields contradict each other, or its version, is refused. Method: a table, each with one fault.
func TestDecodeRoot(t *testing.T) {
	zero, one := wrappingID(0), wrappingID(1)
	good := root{Version: 2, Vault: make([]byte, 16), Node: "n", Wrapping: 2, Retiring: &one, Recovery: make([]byte, 32)}
	for good.Version = 3; good.Version > 1; good.Version-- {
		if _, err := decodeRoot(canon.MustMarshal(good)); err != nil {
			t.Fatal(err)
		}
	}
	good.Version = 2
	for name, fault := range map[string]func(*root){
		"version 4":                func(r *root) { r.Version = 4 },
		"wrapping 0 in 3":          func(r *root) { r.Version, r.Wrapping, r.Retiring = 3, 0, nil },
		"version 0":                func(r *root) { r.Version = 0 },
		"short ID":                 func(r *root) { r.Vault = r.Vault[:15] },
		"fields of 2 in version 1": func(r *root) { r.Version = 1 },
		"recovery hash of 31":      func(r *root) { r.Recovery = r.Recovery[:31] },
		"retiring itself":          func(r *root) { r.Wrapping = 1 },
		"retiring another":         func(r *root) { r.Retiring = &zero },
		"wrapping too large":       func(r *root) { r.Retiring, r.Wrapping = nil, MaxEpoch+1 },
	} {
		r := good
		fault(&r)
		if _, err := decodeRoot(canon.MustMarshal(r)); !errors.Is(err, ErrIntegrity) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goal: every field of the root record is under its MAC. Method: change each, recompute nothing.
func TestRootMACCovers(t *testing.T) {
	keys, err := deriveKeys(secret.New(32))
	if err != nil {
		t.Fatal(err)
	}
	v := &Vault{node: "n", keys: keys}
	zero := wrappingID(0)
	good := root{Version: 2, Vault: make([]byte, 16), Node: "n", KEK: "k", Seq: 1, Count: 1, Wrapping: 1, Provider: "p",
		Anchor: &anchor{"c", 1}, Recovery: make([]byte, 32), Retiring: &zero, Abandoned: &anchor{"d", 1}}
	mac := v.rootMAC(good, digest{})
	for name, change := range map[string]func(*root, *digest){
		"version":   func(r *root, _ *digest) { r.Version++ },
		"vault":     func(r *root, _ *digest) { r.Vault = bytes.Repeat([]byte{1}, 16) },
		"node":      func(r *root, _ *digest) { r.Node = "m" },
		"KEK":       func(r *root, _ *digest) { r.KEK = "l" },
		"seq":       func(r *root, _ *digest) { r.Seq++ },
		"count":     func(r *root, _ *digest) { r.Count++ },
		"wrapping":  func(r *root, _ *digest) { r.Wrapping++ },
		"provider":  func(r *root, _ *digest) { r.Provider = "q" },
		"anchor":    func(r *root, _ *digest) { r.Anchor = nil },
		"value":     func(r *root, _ *digest) { r.Anchor = &anchor{"c", 2} },
		"recovery":  func(r *root, _ *digest) { r.Recovery = bytes.Repeat([]byte{1}, 32) },
		"retiring":  func(r *root, _ *digest) { r.Retiring = nil },
		"abandoned": func(r *root, _ *digest) { r.Abandoned = nil },
		"pointers":  func(_ *root, d *digest) { d[0] = 1 },
	} {
		r, d := good, digest{}
		change(&r, &d)
		if bytes.Equal(v.rootMAC(r, d), mac) {
			t.Errorf("%s is not covered", name)
		}
	}
}
