package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"testing"

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
	h := v.newHeader(r, Meta{SchemeID: "s", Threshold: 2, TotalParties: 3, Epoch: 1, PublicShare: []byte("p")})
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
		signed := append(bytes.Clone(b), v.keys.pointerMAC(v.gen.pointerKey(r), b)...)
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
