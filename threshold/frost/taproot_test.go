package frost

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/txscript"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkg"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/poly"
)

// Goal: the key a DKG gives is an output key without a script path, and its shares are shares of it. Method: apply the rule
// to sharings of P with even and odd y; btcd computes the output key of P on its own; the shares must interpolate to Q's
// secret and fit the public shares.
func TestTaprootOutput(t *testing.T) {
	g := group.Secp256k1
	parities := map[byte]int{}
	for i := range 12 {
		f, err := poly.New(g, 2, nil, seeded(string(rune('a'+i))))
		if err != nil {
			t.Fatal(err)
		}
		before := g.NewPoint().ScalarBaseMult(f.Constant()).Bytes()
		var shares []group.Scalar
		var last *dkg.Outcome
		for party := uint16(1); party <= 3; party++ {
			o := &dkg.Outcome{Share: f.Eval(party), GroupKey: g.NewPoint().ScalarBaseMult(f.Constant())}
			for x := uint16(1); x <= 3; x++ {
				o.Public = append(o.Public, g.NewPoint().ScalarBaseMult(f.Eval(x)))
			}
			taprootOutput(o)
			if !g.NewPoint().ScalarBaseMult(o.Share).Equal(o.Public[party-1]) {
				t.Error("share does not fit its public share")
			}
			shares, last = append(shares, o.Share), o
		}
		p, err := btcec.ParsePubKey(before)
		if err != nil {
			t.Fatal(err)
		}
		want := txscript.ComputeTaprootKeyNoScript(p).SerializeCompressed()
		if !bytes.Equal(last.GroupKey.Bytes(), want) {
			t.Errorf("output key %x, btcd says %x", last.GroupKey.Bytes(), want)
		}
		if x := last.GroupKey.Bytes()[1:]; !bytes.Equal(x, schnorr.SerializePubKey(mustParse(t, want))) {
			t.Errorf("x-only output key %x", x)
		}
		q := newQuorum(g, []threshold.PartyID{1, 3})
		secret := g.NewScalar().Mul(q.lambda[0], shares[0])
		secret.Add(secret, g.NewScalar().Mul(q.lambda[1], shares[2]))
		if !g.NewPoint().ScalarBaseMult(secret).Equal(last.GroupKey) {
			t.Error("shares do not interpolate to the output key")
		}
		parities[before[0]]++
	}
	if parities[2] == 0 || parities[3] == 0 {
		t.Errorf("parities of P tried: %v, want both", parities)
	}
	o := &dkg.Outcome{Share: g.NewScalar(), GroupKey: g.NewPoint()}
	if taprootOutput(o); !o.GroupKey.IsIdentity() {
		t.Error("the identity became a key")
	}
}

func mustParse(t *testing.T, b []byte) *btcec.PublicKey {
	t.Helper()
	k, err := btcec.ParsePubKey(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Goal: tweaked signatures are valid for the key the tweaks make, as btcd computes it, for keys and tweaked keys of both
// parities. Method: plain, x-only and mixed tweaks over several DKG keys; Verify agrees and refuses every other tweak list.
func TestTaprootTweaks(t *testing.T) {
	v := variants()[1]
	a, b := threshold.Tweak{T: [32]byte{1: 7, 31: 1}, XOnly: true}, threshold.Tweak{T: [32]byte{2: 9, 31: 2}}
	lists := [][]threshold.Tweak{nil, {a}, {b}, {a, b}, {b, a}, {a, a}, {b, b}, {b, a, b, a}}
	parities := map[byte]int{}
	for _, seed := range []string{"tweak 1", "tweak 2", "tweak 3", "tweak 4"} {
		keys := keygen(t, v.scheme, committee(2, partiesTo(3)...), seed)
		parities[keys[0].GroupKey[0]]++
		var batch [][]*threshold.KeyShare
		for range lists {
			batch = append(batch, keys)
		}
		signers := []threshold.PartyID{2, 3}
		pre := presignWith(t, v.scheme, batch, signers, nil, seed)
		for k, tweaks := range lists {
			req := threshold.SignRequest{Message: v.message, Tweaks: tweaks}
			shares := sharesOf(t, v.scheme, keys, signers, pre, k, req)
			req.Pre = pre[0][k]
			sig, err := v.scheme.Combine(keys[0].KeyInfo, req, shares)
			if err != nil {
				t.Fatalf("%v: %v", tweaks, err)
			}
			want := btcdTweaked(t, keys[0].GroupKey, tweaks)
			if !btcecVerify(want, v.message, sig.Bytes) {
				t.Errorf("btcec refuses the signature for %v", tweaks)
			}
			for _, other := range lists {
				// Plain tweaks commute, and two equal x-only tweaks may cancel: what counts is the key they make.
				same := bytes.Equal(btcdTweaked(t, keys[0].GroupKey, other), want)
				if ok := v.scheme.Verify(keys[0].GroupKey, other, v.message, sig.Bytes) == nil; ok != same {
					t.Errorf("signature for %v verifies for %v: %v", tweaks, other, ok)
				}
			}
			if len(tweaks) == 0 || tweaks[0].XOnly {
				if err := v.scheme.Verify(keys[0].GroupKey[1:], tweaks, v.message, sig.Bytes); err != nil {
					t.Errorf("x-only key, %v: %v", tweaks, err)
				}
			} else if v.scheme.Verify(keys[0].GroupKey[1:], tweaks, v.message, sig.Bytes) == nil {
				t.Error("plain tweak of an x-only key accepted")
			}
			shares[1].Payload[9] ^= 1
			if _, err := v.scheme.Combine(keys[0].KeyInfo, req, shares); err == nil || v.scheme.VerifyShare(keys[0].KeyInfo, req, shares[0]) != nil {
				t.Errorf("%v: blame under tweaks: %v", tweaks, err)
			}
		}
	}
	if len(parities) != 2 {
		t.Errorf("parities of group keys tried: %v, want both", parities)
	}
}

// btcdTweaked is the x-only key that the tweaks make of a compressed one, with btcd's arithmetic.
func btcdTweaked(t *testing.T, groupKey []byte, tweaks []threshold.Tweak) []byte {
	t.Helper()
	key := mustParse(t, groupKey)
	for _, w := range tweaks {
		key = btcdTweak(t, key, w)
	}
	return schnorr.SerializePubKey(key)
}

// btcdTweak is one ApplyTweak with btcd's arithmetic.
func btcdTweak(t *testing.T, key *btcec.PublicKey, w threshold.Tweak) *btcec.PublicKey {
	t.Helper()
	if w.XOnly {
		var err error
		if key, err = schnorr.ParsePubKey(schnorr.SerializePubKey(key)); err != nil {
			t.Fatal(err)
		}
	}
	var s btcec.ModNScalar
	s.SetByteSlice(w.T[:])
	var p, tg, sum btcec.JacobianPoint
	key.AsJacobian(&p)
	btcec.ScalarBaseMultNonConst(&s, &tg)
	btcec.AddNonConst(&p, &tg, &sum)
	sum.ToAffine()
	return btcec.NewPublicKey(&sum.X, &sum.Y)
}

// Goal: Keygen applies the rule. Method: the same ceremony with the same randomness, once without it, gives P; btcd computes
// Q of P, and that is the group key.
func TestKeygenGivesOutputKey(t *testing.T) {
	c := committee(2, partiesTo(3)...)
	params := taproot{}.params()
	params.Finish = nil
	var sessions []*threshold.Session[*threshold.KeyShare]
	for _, p := range c.Parties {
		s, err := dkg.NewKeygen(params, threshold.Setup{Ceremony: canon.Hash("test", []byte("output")), Committee: c, Self: p},
			seeded(fmt.Sprint("output", p)))
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, s)
	}
	plain, err := run(sessions, c.Parties, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := txscript.ComputeTaprootKeyNoScript(mustParse(t, plain[0].GroupKey)).SerializeCompressed()
	if got := keygen(t, Taproot, c, "output")[0].GroupKey; !bytes.Equal(got, want) {
		t.Errorf("group key %x, want output key %x", got, want)
	}
}

// Goal: a nonce depends on share, key and purpose even if the generator repeats itself; the API signs nothing but digests.
func TestTaprootHedging(t *testing.T) {
	c := committee(2, partiesTo(3)...)
	a, b := keygen(t, Taproot, c, "hedge a"), keygen(t, Taproot, c, "hedge b")
	seen := map[string]bool{}
	for _, k := range []*threshold.KeyShare{a[0], a[1], b[0], corrupt(a[0], b[0].Secret())} {
		for _, extra := range []string{"one", "two"} {
			d, e, err := taprootNonces(k, []byte(extra), bytes.NewReader(make([]byte, 32)))
			if err != nil {
				t.Fatal(err)
			}
			seen[string(d.Bytes())], seen[string(e.Bytes())] = true, true
		}
	}
	if len(seen) != 16 {
		t.Errorf("%d different nonces of 16", len(seen))
	}
	named := a[1]
	var random [32]byte
	k1, k2, err := nonceGen(&random, nonceInput{share: named.Secret(), id: []byte{0, 0, 0, byte(named.Party) - 1},
		public: named.PublicShare(named.Party), key: named.GroupKey[1:], extra: []byte("one")})
	if err != nil {
		t.Fatal(err)
	}
	if !seen[string(k1.Bytes())] || !seen[string(k2.Bytes())] {
		t.Error("the nonces are not NonceGen's of the share, the signer's identifier, its public share, the key and the extra input")
	}
	for _, n := range []int{0, 31, 33} {
		message := make([]byte, n)
		key, sig := bip340Sign(bytes.Repeat([]byte{6}, 32), make([]byte, 32), message)
		if !bip340Verify(key, message, sig) || Taproot.Verify(key, nil, message, sig) == nil {
			t.Errorf("message of %d bytes: Verify must refuse what BIP 340 accepts", n)
		}
	}
}

// Goal: a generator that repeats itself, as that of a copied machine does, gives no nonce twice for two ceremonies, contexts or places of a
// batch. Method: presign with a generator of zeros and compare the commitments in OPEN.
func TestTaprootNoncesNameTheirPurpose(t *testing.T) {
	c := committee(2, partiesTo(3)...)
	k := keygen(t, Taproot, c, "purpose")[0]
	batch := slices.Repeat([]threshold.PresignKey{{Info: k.KeyInfo, Share: k}}, 3)
	seen := map[string]string{}
	for name, s := range map[string]threshold.Setup{
		"plain":            {},
		"another ceremony": {Ceremony: [32]byte{1}},
		"another context":  {Context: []byte("another")},
	} {
		s.Committee, s.Signers, s.Self = c, []threshold.PartyID{1, 2}, 1
		x, err := Taproot.Presign(s, batch, zeros{})
		if err != nil {
			t.Fatal(err)
		}
		open, err := x.Start()
		if err != nil {
			t.Fatal(err)
		}
		const point = 33
		commitments := open[0].Body[len(open[0].Body)-len(batch)*2*point:]
		for i := range len(batch) * 2 {
			here := fmt.Sprintf("%s, nonce %d of entry %d", name, i%2, i/2)
			if there, twice := seen[string(commitments[i*point:][:point])]; twice {
				t.Errorf("%s is also %s", here, there)
			}
			seen[string(commitments[i*point:][:point])] = here
		}
		x.Erase()
	}
}

// Goal: Ed25519's nonces are of the share and of fresh randomness, each of its own, and never zero. Method: a generator that repeats itself
// with two shares, and one that does not; a hash that gives zero.
func TestEd25519Hedging(t *testing.T) {
	ks := keygen(t, Ed25519, committee(2, partiesTo(3)...), "hedge")
	scheme := Ed25519.(*rfcScheme)
	seen := map[string]bool{}
	for _, k := range ks[:2] {
		d, _, err := scheme.nonces(k, nil, zeros{})
		if err != nil {
			t.Fatal(err)
		}
		seen[string(d.Bytes())] = true
	}
	if len(seen) != 2 {
		t.Error("with a generator that repeats itself two shares have one nonce: who knows the generator knows the share")
	}
	d, e, err := scheme.nonces(ks[0], nil, seeded("fresh"))
	if err != nil || d.Equal(e) {
		t.Errorf("hiding and binding nonce are one: %v", err)
	}
	zero := *scheme
	zero.h3 = func([]byte) group.Scalar { return group.Ed25519.NewScalar() }
	if _, _, err := zero.nonces(ks[0], nil, seeded("zero")); err == nil {
		t.Error("a nonce of zero is used")
	}
}

// zeros is a generator that repeats itself.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// Goal: the sharing check tells a t-of-n key from any other. Method: a good record, then one spoilt in each way.
func TestCheckSharing(t *testing.T) {
	forBoth(t, func(t *testing.T, v variant) {
		info := keygen(t, v.scheme, committee(3, partiesTo(4)...), "sharing")[0].KeyInfo
		other := keygen(t, v.scheme, committee(3, partiesTo(4)...), "sharing other")[0].KeyInfo
		low := keygen(t, v.scheme, committee(2, partiesTo(4)...), "sharing low")[0].KeyInfo
		low.Committee.Threshold = 3 // two parties hold it: the record claims three
		if err := v.scheme.CheckSharing(info); err != nil {
			t.Error(err)
		}
		swapped, foreign, short := info, info, info
		swapped.PublicShares = slices.Clone(info.PublicShares)
		slices.Reverse(swapped.PublicShares)
		foreign.GroupKey = other.GroupKey
		short.PublicShares = info.PublicShares[:3]
		for name, bad := range map[string]threshold.KeyInfo{"swapped": swapped, "foreign": foreign, "short": short, "lower threshold": low} {
			if v.scheme.CheckSharing(bad) == nil {
				t.Errorf("%s accepted", name)
			}
		}
	})
}

// Goal: what is shown of a committee of any size is shown of every set of parties, in time: as many interpolations as parties, not as
// sets. Method: 20 of 40, which have 10¹¹ quorums: good, and with one party's share another's.
func TestCheckSharingOfMany(t *testing.T) {
	forBoth(t, func(t *testing.T, v variant) {
		c := committee(20, partiesTo(40)...)
		info := keygen(t, v.scheme, c, "sharing of many")[0].KeyInfo
		if err := v.scheme.CheckSharing(info); err != nil {
			t.Error(err)
		}
		for _, i := range []int{0, 19, 39} {
			bad := info
			bad.PublicShares = slices.Clone(info.PublicShares)
			bad.PublicShares[i] = info.PublicShares[(i+1)%40]
			if v.scheme.CheckSharing(bad) == nil {
				t.Errorf("another share of party %d is accepted", i+1)
			}
		}
	})
}

// Goal: a refreshed key is the same output key, and signs. Method: refresh twice, sign, and refuse to mix epochs.
func TestRefreshedKeySigns(t *testing.T) {
	forBoth(t, func(t *testing.T, v variant) {
		c := committee(2, partiesTo(3)...)
		first := keygen(t, v.scheme, c, "refresh")
		keys := first
		for round := range 2 {
			var sessions []*threshold.Session[*threshold.KeyShare]
			for i, p := range c.Parties {
				s, err := v.scheme.Refresh(threshold.Setup{Ceremony: [32]byte{byte(round)}, Committee: c, Self: p}, keys[i], seeded(string(rune(p))))
				if err != nil {
					t.Fatal(err)
				}
				sessions = append(sessions, s)
			}
			var err error
			if keys, err = run(sessions, c.Parties, nil); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(keys[0].GroupKey, first[0].GroupKey) || keys[0].Epoch != 3 || bytes.Equal(keys[0].Secret(), first[0].Secret()) {
			t.Fatal("refresh changed the key or kept the share")
		}
		signers := []threshold.PartyID{1, 3}
		pre := presignWith(t, v.scheme, [][]*threshold.KeyShare{keys}, signers, nil, "refreshed")
		req := threshold.SignRequest{Message: v.message}
		shares := sharesOf(t, v.scheme, keys, signers, pre, 0, req)
		req.Pre = pre[0][0]
		sig, err := v.scheme.Combine(keys[0].KeyInfo, req, shares)
		if err != nil || !v.outside(first[0].GroupKey, v.message, sig.Bytes) {
			t.Errorf("refreshed key does not sign: %v", err)
		}
		if _, err := v.scheme.Combine(first[0].KeyInfo, req, shares); err == nil {
			t.Error("combined with the record of another epoch")
		}
		foreign := keys[0].KeyInfo
		foreign.Kind = "another"
		if _, err := v.scheme.Combine(foreign, req, shares); err == nil {
			t.Error("combined with the record of another kind")
		}
	})
}

// Goal: a key record that does not hang together is refused at load. Method: alter one part of a good record.
func TestParseKeyShare(t *testing.T) {
	forBoth(t, func(t *testing.T, v variant) {
		c := committee(2, partiesTo(4)...)
		keys, others := keygen(t, v.scheme, c, "parse"), keygen(t, v.scheme, c, "parse other")
		for i, k := range keys {
			got, err := v.scheme.ParseKeyShare(k.Bytes().Bytes())
			if err != nil || got.Digest() != k.Digest() || got.Party != c.Parties[i] || !bytes.Equal(got.Secret(), k.Secret()) {
				t.Fatalf("own record: %v", err)
			}
		}
		for name, alter := range map[string]func(k *threshold.KeyInfo){
			"kind":              func(k *threshold.KeyInfo) { k.Kind = "another" },
			"ECDSA":             func(k *threshold.KeyInfo) { k.Kind = threshold.ECDSA.ID },
			"party":             func(k *threshold.KeyInfo) { k.Party = 2 },
			"group key":         func(k *threshold.KeyInfo) { k.GroupKey = others[0].GroupKey },
			"no group key":      func(k *threshold.KeyInfo) { k.GroupKey = nil },
			"own public share":  func(k *threshold.KeyInfo) { k.PublicShares[0] = others[0].PublicShares[0] },
			"last public share": func(k *threshold.KeyInfo) { k.PublicShares[3] = others[0].PublicShares[3] },
			"bad public share":  func(k *threshold.KeyInfo) { k.PublicShares[2] = k.PublicShares[2][1:] },
			"threshold, smaller": func(k *threshold.KeyInfo) {
				k.Committee.Threshold = 3
				k.PublicShares[1], k.PublicShares[2] = k.PublicShares[2], k.PublicShares[1]
			},
		} {
			info := keys[0].KeyInfo
			info.PublicShares = append([][]byte{}, info.PublicShares...)
			alter(&info)
			if _, err := v.scheme.ParseKeyShare(threshold.NewKeyShare(info, bytes.Clone(keys[0].Secret())).Bytes().Bytes()); err == nil {
				t.Errorf("altered %s accepted", name)
			}
		}
		if _, err := v.scheme.ParseKeyShare(threshold.NewKeyShare(keys[0].KeyInfo, bytes.Clone(others[0].Secret())).Bytes().Bytes()); err == nil {
			t.Error("secret of another key accepted")
		}
	})
}
