package dkls23

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// keyOf decodes an extended public key of BIP 32.
func keyOf(t *testing.T, xpub string) threshold.KeyInfo {
	t.Helper()
	k, err := hdkeychain.NewKeyFromString(xpub)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := k.ECPubKey()
	if err != nil {
		t.Fatal(err)
	}
	return threshold.KeyInfo{GroupKey: pk.SerializeCompressed(), ChainCode: [32]byte(k.ChainCode())}
}

// Goal: Derive is CKDpub of BIP 32, and its tweak leads to the same key. Method: the steps of BIP 32's test vectors that need no private
// key.
func TestDeriveVectors(t *testing.T) {
	for _, v := range []struct {
		name, parent, child string
		path                []uint32
	}{
		{"vector 1, m/0H to m/0H/1",
			"xpub68Gmy5EdvgibQVfPdqkBBCHxA5htiqg55crXYuXoQRKfDBFA1WEjWgP6LHhwBZeNK1VTsfTFUHCdrfp1bgwQ9xv5ski8PX9rL2dZXvgGDnw",
			"xpub6ASuArnXKPbfEwhqN6e3mwBcDTgzisQN1wXN9BJcM47sSikHjJf3UFHKkNAWbWMiGj7Wf5uMash7SyYq527Hqck2AxYysAA7xmALppuCkwQ", []uint32{1}},
		{"vector 1, m/0H/1/2H to m/0H/1/2H/2/1000000000",
			"xpub6D4BDPcP2GT577Vvch3R8wDkScZWzQzMMUm3PWbmWvVJrZwQY4VUNgqFJPMM3No2dFDFGTsxxpG5uJh7n7epu4trkrX7x7DogT5Uv6fcLW5",
			"xpub6H1LXWLaKsWFhvm6RVpEL9P4KfRZSW7abD2ttkWP3SSQvnyA8FSVqNTEcYFgJS2UaFcxupHiYkro49S8yGasTvXEYBVPamhGW6cFJodrTHy",
			[]uint32{2, 1000000000}},
		{"vector 2, m to m/0", "xpub661MyMwAqRbcFW31YEwpkMuc5THy2PSt5bDMsktWQcFF8syAmRUapSCGu8ED9W6oDMSgv6Zz8idoc4a6mr8BDzTJY47LJhkJ8UB7WEGuduB",
			"xpub69H7F5d8KSRgmmdJg2KhpAK8SR3DjMwAdkxj3ZuxV27CprR9LgpeyGmXUbC6wb7ERfvrnKZjXoUmmDznezpbZb7ap6r1D3tgFxHmwMkQTPH", []uint32{0}},
	} {
		parent, want := keyOf(t, v.parent), keyOf(t, v.child)
		pub, chain, tweaks, err := Scheme{}.Derive(parent, v.path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(pub, want.GroupKey) || chain != want.ChainCode {
			t.Errorf("%s: key %x, want %x", v.name, pub, want.GroupKey)
		}
		var key secp256k1.Point
		if _, err := key.SetBytes(parent.GroupKey); err != nil {
			t.Fatal(err)
		}
		child, _, err := tweakedKey(&key, tweaks)
		if err != nil || !bytes.Equal(child.Bytes(), pub) {
			t.Errorf("%s: the tweak leads to another key (%v)", v.name, err)
		}
	}
}

// Goal: the same for any key and path. Method: against btcutil's hdkeychain.
func TestDeriveAgainstHDKeychain(t *testing.T) {
	f := newFixture(t, 3, 2)
	info := f.shares[f.Committee.Parties[0]].KeyInfo
	for i, path := range [][]uint32{nil, {0}, {hardened - 1}, {44, 60, 0, 0, 5}, {1, 2, 3, 4, 5, 6, 7, 8, 9}} {
		k := hdkeychain.NewExtendedKey(chaincfg.MainNetParams.HDPublicKeyID[:], info.GroupKey, info.ChainCode[:], make([]byte, 4), 0, 0, false)
		for _, n := range path {
			var err error
			if k, err = k.Derive(n); err != nil {
				t.Fatal(err)
			}
		}
		want, err := k.ECPubKey()
		if err != nil {
			t.Fatal(err)
		}
		pub, chain, tweaks, err := Scheme{}.Derive(info, path)
		if err != nil || !bytes.Equal(pub, want.SerializeCompressed()) || !bytes.Equal(chain[:], k.ChainCode()) ||
			len(tweaks) != min(len(path), 1) {
			t.Errorf("path %d: %x %v %v", i, pub, tweaks, err)
		}
	}
	for name, path := range map[string][]uint32{"hardened": {44 | hardened}, "hardened last": {0, 1 << 31},
		"too long": make([]uint32, maxTweaks+1)} {
		if _, _, _, err := (Scheme{}).Derive(info, path); err == nil {
			t.Errorf("%s: derives", name)
		}
	}
	info.GroupKey = make([]byte, 33)
	if _, _, _, err := (Scheme{}).Derive(info, nil); err == nil {
		t.Error("derives from no point")
	}
}

// Goal: x(R) ≥ n is told apart by the recovery ID. Method: the point whose x is the smallest above n that lies on the curve, which no
// random signature meets.
func TestCoordinateOverflow(t *testing.T) {
	// n + 2, x-only: found by trying n, n+1, ...
	n, _ := hex.DecodeString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
	for range 100 {
		var p secp256k1.Point
		if _, err := p.SetXOnly(n); err == nil {
			r, recovery := coordinate(&p)
			if recovery != 2 || !bytes.Equal(r.Bytes()[:30], make([]byte, 30)) {
				t.Errorf("x = %x: r = %x, recovery %d", n, r.Bytes(), recovery)
			}
			p.Negate(&p)
			if _, recovery := coordinate(&p); recovery != 3 {
				t.Errorf("negated: recovery %d", recovery)
			}
			return
		}
		n[31]++
	}
	t.Fatal("no point found")
}
