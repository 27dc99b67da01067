package threshold_test

import (
	"bytes"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/luxfi/mpcd/threshold"
)

// Goal: every form that names a key leads to the one it is shown in, and nothing that is no key of the kind does. Method: a table of one
// point's forms, made by another library, and of 32 bytes; then what is none of them.
func TestShown(t *testing.T) {
	pub := secp256k1.PrivKeyFromBytes(bytes.Repeat([]byte{7}, 32)).PubKey()
	compressed, uncompressed := pub.SerializeCompressed(), pub.SerializeUncompressed()
	x := compressed[1:]
	negated := append([]byte{compressed[0] ^ 1}, x...)
	for name, c := range map[string]struct {
		kind      threshold.Kind
		key, want []byte
	}{
		"Ed25519":                     {threshold.Ed25519, x, x},
		"Ed25519 of a point":          {threshold.Ed25519, compressed, nil},
		"BIP-340":                     {threshold.BIP340, x, x},
		"BIP-340, a group key":        {threshold.BIP340, compressed, x},
		"BIP-340, the other sign":     {threshold.BIP340, negated, x},
		"BIP-340, both coordinates":   {threshold.BIP340, uncompressed, x},
		"ECDSA, a group key":          {threshold.ECDSA, compressed, uncompressed},
		"ECDSA, both coordinates":     {threshold.ECDSA, uncompressed, uncompressed},
		"ECDSA, the sign left open":   {threshold.ECDSA, x, nil},
		"ECDSA, hybrid (SEC 1)":       {threshold.ECDSA, append([]byte{6 | uncompressed[64]&1}, uncompressed[1:]...), nil},
		"ECDSA, another y":            {threshold.ECDSA, append(bytes.Clone(uncompressed[:64]), uncompressed[64]^1), nil},
		"BIP-340, another y":          {threshold.BIP340, append(bytes.Clone(uncompressed[:64]), uncompressed[64]^1), nil},
		"ECDSA, no point":             {threshold.ECDSA, append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...), nil},
		"ECDSA, a byte less":          {threshold.ECDSA, compressed[:32:32], nil},
		"a kind that there is not":    {threshold.KindOf("rsa"), compressed, nil},
		"nothing, of every kind":      {threshold.Ed25519, nil, nil},
		"nothing, of a kind of point": {threshold.ECDSA, nil, nil},
	} {
		if got := c.kind.Shown(c.key); !bytes.Equal(got, c.want) {
			t.Errorf("%s: %x, want %x", name, got, c.want)
		}
	}
}

// Goal: a kind is found by its name, and no name stands for two. Method: walk the list.
func TestKinds(t *testing.T) {
	seen := map[threshold.KindID]bool{}
	for _, k := range threshold.Kinds() {
		if seen[k.ID] || threshold.KindOf(k.ID).Name != k.Name || (k.Digest == 0) != (k.Hashing == "") {
			t.Errorf("%+v", k)
		}
		seen[k.ID] = true
	}
	if threshold.KindOf("").ID != "" || threshold.KindOf("rsa").ID != "" {
		t.Error("a kind of no name is found")
	}
}
