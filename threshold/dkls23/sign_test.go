package dkls23

import (
	"bytes"
	"fmt"
	"math/big"
	"slices"
	"testing"

	decred "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/luxfi/mpcd/threshold"
)

// outsider verifies a signature with decred's code, and recovers the key with decred's and with textbook arithmetic of its own.
func outsider(tb testing.TB, key, digest []byte, sig threshold.Signature) {
	tb.Helper()
	pk, err := decred.ParsePubKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	var r, s decred.ModNScalar
	if len(sig.Bytes) != 64 || r.SetByteSlice(sig.Bytes[:32]) || s.SetByteSlice(sig.Bytes[32:]) || s.IsOverHalfOrder() {
		tb.Fatalf("signature %x", sig.Bytes)
	}
	if !ecdsa.NewSignature(&r, &s).Verify(digest, pk) {
		tb.Fatal("decred does not verify")
	}
	got, _, err := ecdsa.RecoverCompact(append([]byte{byte(27 + 4 + sig.RecoveryID)}, sig.Bytes...), digest)
	if err != nil || !got.IsEqual(pk) {
		tb.Fatalf("decred recovers another key (%v)", err)
	}
	if !bytes.Equal(textbookRecover(digest, sig), key) {
		tb.Fatal("another key recovers")
	}
}

// textbookRecover is SEC 1 §4.1.6 with math/big on affine points.
func textbookRecover(digest []byte, sig threshold.Signature) []byte {
	p, _ := new(big.Int).SetString("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f", 16)
	n, _ := new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
	gx, _ := new(big.Int).SetString("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798", 16)
	gy, _ := new(big.Int).SetString("483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8", 16)
	type point struct{ x, y *big.Int } // nil x: infinity
	mod := func(x *big.Int) *big.Int { return x.Mod(x, p) }
	add := func(a, b point) point {
		if a.x == nil {
			return b
		}
		if b.x == nil {
			return a
		}
		var l *big.Int
		if a.x.Cmp(b.x) == 0 {
			if mod(new(big.Int).Add(a.y, b.y)).Sign() == 0 {
				return point{}
			}
			l = new(big.Int).Mul(big.NewInt(3), new(big.Int).Mul(a.x, a.x))
			l.Mul(l, new(big.Int).ModInverse(new(big.Int).Add(a.y, a.y), p))
		} else {
			l = new(big.Int).Sub(b.y, a.y)
			l.Mul(l, new(big.Int).ModInverse(mod(new(big.Int).Sub(b.x, a.x)), p))
		}
		x := new(big.Int).Mul(l, l)
		mod(x.Sub(x, a.x).Sub(x, b.x))
		y := new(big.Int).Sub(a.x, x)
		mod(y.Mul(y, l).Sub(y, a.y))
		return point{x, y}
	}
	mul := func(k *big.Int, a point) (r point) {
		for i := k.BitLen() - 1; i >= 0; i-- {
			r = add(r, r)
			if k.Bit(i) == 1 {
				r = add(r, a)
			}
		}
		return r
	}
	r, s := new(big.Int).SetBytes(sig.Bytes[:32]), new(big.Int).SetBytes(sig.Bytes[32:])
	x := new(big.Int).Set(r)
	if sig.RecoveryID&2 != 0 {
		x.Add(x, n)
	}
	y := new(big.Int).Exp(x, big.NewInt(3), p)
	y.ModSqrt(mod(y.Add(y, big.NewInt(7))), p)
	if y.Bit(0) != uint(sig.RecoveryID&1) {
		y.Sub(p, y)
	}
	inverse := new(big.Int).ModInverse(r, n)
	u1 := new(big.Int).SetBytes(digest)
	u1.Neg(u1).Mul(u1, inverse).Mod(u1, n)
	u2 := s.Mul(s, inverse)
	q := add(mul(u1, point{gx, gy}), mul(u2.Mod(u2, n), point{x, y}))
	return append([]byte{byte(2 + q.y.Bit(0))}, q.x.FillBytes(make([]byte, 32))...)
}

// Goal: every quorum signs, interactively and with presignatures, under the wallet key and under a child. Method: all quorums of 2-of-3
// and 3-of-5, batches of two; every signer and an observer combine; judged by decred and by textbook recovery.
func TestQuorums(t *testing.T) {
	for _, size := range []struct{ n, t int }{{3, 2}, {5, 3}} {
		f := newFixture(t, size.n, size.t)
		info := f.shares[f.Committee.Parties[0]].KeyInfo
		pub, _, tweaks, err := Scheme{}.Derive(info, []uint32{44, 60, 7})
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range subsets(f.Committee, size.t) {
			var observers []party
			for _, p := range f.Committee.Parties {
				if !slices.Contains(q, p) {
					observers = append(observers, p)
				}
			}
			reqs := []threshold.SignRequest{{Message: digestOf(fmt.Sprint("plain", q))}, {Message: digestOf(fmt.Sprint("child", q)), Tweaks: tweaks}}
			public := [][]byte{info.GroupKey, pub}

			run, _ := f.presigning(t, q, reqs, len(reqs), observers...)
			bound := results(t, run)
			f.signBatch(t, q, reqs, bound, public)

			free := f.presign(t, q, len(reqs), observers...)
			agreement := f.agree(t, q, reqs, free)
			for i := range reqs {
				reqs[i].Agreement = agreement[q[0]]
			}
			f.signBatch(t, q, reqs, free, public)
		}
	}
}

// signBatch signs every request and lets everybody who has a presignature combine.
func (f *fixture) signBatch(t *testing.T, q []party, reqs []threshold.SignRequest, pres map[party]presignatures, public [][]byte) {
	t.Helper()
	for i, req := range reqs {
		shares := f.sharesOf(t, q, req, pres, i)
		var first []byte
		for p := range pres {
			sig, err := f.combine(p, req, pres[p][i], shares)
			if err != nil {
				t.Fatalf("quorum %v, party %d: %v", q, p, err)
			}
			if first == nil {
				first = sig.Bytes
				outsider(t, public[i], req.Message, sig)
			}
			if !bytes.Equal(first, sig.Bytes) {
				t.Fatal("two signatures from one set of shares")
			}
			if err := (Scheme{}).Verify(f.shares[p].GroupKey, req.Tweaks, req.Message, sig.Bytes); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Goal: many signatures are all right. Method: full batches of a 2-of-3 key, every signature judged from outside, both recovery
// parities seen.
func TestManySignatures(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[1:]
	seen := map[int]int{}
	for round := range 4 {
		reqs := make([]threshold.SignRequest, MaxBatch)
		for i := range reqs {
			reqs[i].Message = digestOf(fmt.Sprint("many", round, i))
		}
		pres := f.presign(t, q, MaxBatch)
		agreement := f.agree(t, q, reqs, pres)[q[0]]
		for i, req := range reqs {
			req.Agreement = agreement
			sig, err := f.combine(q[0], req, pres[q[0]][i], f.sharesOf(t, q, req, pres, i))
			if err != nil {
				t.Fatal(err)
			}
			outsider(t, f.shares[q[0]].GroupKey, req.Message, sig)
			seen[sig.RecoveryID]++
		}
	}
	if seen[0] < 20 || seen[1] < 20 {
		t.Errorf("recovery IDs %v", seen)
	}
}

// Goal: sessions survive a network that loses, repeats, reorders and damages. Method: the rough network, whole signatures.
func TestRoughNetwork(t *testing.T) {
	f := newFixture(t, 5, 3)
	q := []party{f.Committee.Parties[0], f.Committee.Parties[2], f.Committee.Parties[4]}
	for i := range 3 {
		f.Seed = uint64(i)
		reqs := []threshold.SignRequest{{Message: digestOf("rough")}}
		run, _ := f.presigning(t, q, reqs, 1)
		f.Faults.Drop, f.Faults.Duplicate, f.Faults.Delay, f.Faults.Replay, f.Faults.Garbage = 8, 8, 30, 5, 5
		pres := results(t, run)
		f.signBatch(t, q, reqs, pres, [][]byte{f.shares[q[0]].GroupKey})
	}
}

// Goal: Verify takes what an outsider takes, with low s. Method: a good signature, then changes of every byte, high s, and wrong lengths.
func TestVerify(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	reqs := []threshold.SignRequest{{Message: digestOf("verify")}}
	run, _ := f.presigning(t, q, reqs, 1)
	pres := results(t, run)
	sig, err := f.combine(q[0], reqs[0], pres[q[0]][0], f.sharesOf(t, q, reqs[0], pres, 0))
	if err != nil {
		t.Fatal(err)
	}
	key, digest := f.shares[q[0]].GroupKey, reqs[0].Message
	var x Scheme
	if err := x.Verify(key, nil, digest, sig.Bytes); err != nil {
		t.Fatal(err)
	}
	flip := func(b []byte, i int) []byte { b = bytes.Clone(b); b[i] ^= 1; return b }
	for i := range sig.Bytes {
		if x.Verify(key, nil, digest, flip(sig.Bytes, i)) == nil {
			t.Errorf("verifies with byte %d changed", i)
		}
	}
	var s decred.ModNScalar
	s.SetByteSlice(sig.Bytes[32:])
	high := s.Negate().Bytes()
	if x.Verify(key, nil, digest, append(bytes.Clone(sig.Bytes[:32]), high[:]...)) == nil {
		t.Error("verifies with high s")
	}
	tweak := func(b byte) threshold.Tweak { return threshold.Tweak{T: [32]byte{31: b}} }
	for name, err := range map[string]error{
		"another digest":  x.Verify(key, nil, flip(digest, 0), sig.Bytes),
		"short digest":    x.Verify(key, nil, digest[:31], sig.Bytes),
		"another key":     x.Verify(f.shares[q[0]].PublicShares[0], nil, digest, sig.Bytes),
		"no key":          x.Verify(nil, nil, digest, sig.Bytes),
		"short signature": x.Verify(key, nil, digest, sig.Bytes[1:]),
		"zero signature":  x.Verify(key, nil, digest, make([]byte, 64)),
		"tweaked":         x.Verify(key, []threshold.Tweak{tweak(1)}, digest, sig.Bytes),
		"zero tweak":      x.Verify(key, []threshold.Tweak{tweak(0)}, digest, sig.Bytes),
		"x-only tweak":    x.Verify(key, []threshold.Tweak{{T: [32]byte{31: 1}, XOnly: true}}, digest, sig.Bytes),
		"256 tweaks":      x.Verify(key, slices.Repeat([]threshold.Tweak{tweak(1)}, 256), digest, sig.Bytes),
	} {
		if err == nil {
			t.Errorf("%s: verifies", name)
		}
	}
}

// Goal: Verify and decred judge alike. Method: signatures made by decred with ordinary keys, and r, s and digests at the edges of their
// range.
func TestVerifyAgainstDecred(t *testing.T) {
	half, _ := new(big.Int).SetString("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0", 16)
	n, _ := new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
	edges := [][]byte{}
	for _, base := range []*big.Int{new(big.Int), half, n} {
		for d := int64(-2); d <= 2; d++ {
			if x := new(big.Int).Add(base, big.NewInt(d)); x.Sign() >= 0 {
				edges = append(edges, x.FillBytes(make([]byte, 32)))
			}
		}
	}
	edges = append(edges, bytes.Repeat([]byte{0xff}, 32))
	agree := func(key *decred.PublicKey, digest, sig []byte) bool {
		var r, s decred.ModNScalar
		over := r.SetByteSlice(sig[:32]) || s.SetByteSlice(sig[32:])
		want := !over && !s.IsOverHalfOrder() && ecdsa.NewSignature(&r, &s).Verify(digest, key)
		if got := (Scheme{}).Verify(key.SerializeCompressed(), nil, digest, sig) == nil; got != want {
			t.Errorf("digest %x, signature %x: %v, decred %v", digest, sig, got, want)
		}
		return want
	}
	for i := range 24 {
		key := decred.PrivKeyFromBytes(digestOf(fmt.Sprint("key", i)))
		digest := digestOf(fmt.Sprint("digest", i))
		if i < len(edges) {
			digest = edges[i]
		}
		sig := ecdsa.SignCompact(key, digest, true)[1:]
		if !agree(key.PubKey(), digest, sig) {
			t.Errorf("digest %x: a good signature is refused", digest)
		}
		for _, e := range edges {
			agree(key.PubKey(), digest, append(bytes.Clone(e), sig[32:]...))
			agree(key.PubKey(), digest, append(bytes.Clone(sig[:32]), e...))
			agree(key.PubKey(), e, sig)
		}
	}
}

// Goal: a refresh of the key with a new pair-epoch (PROTOCOLS A.3.7): the same key signs with the new state, no old pair state is in the
// new one, and who holds old state cannot complete a session. Method: refresh, set up again, then mix the epochs.
func TestRefreshRerandomisesPairs(t *testing.T) {
	f := newFixture(t, 3, 2)
	old := f.pairs
	shares, err := f.Refresh(Scheme{}, f.shares)
	if err != nil {
		t.Fatal(err)
	}
	fresh := f.pairSetup(t, 2)
	q := f.Committee.Parties[:2]
	for _, p := range f.Committee.Parties {
		if fresh[p].id == old[p].id || fresh[p].id != fresh[q[0]].id || fresh[p].epoch != 2 {
			t.Error("pair-epochs are not told apart")
		}
		after := fresh[p].Bytes().Bytes()
		for _, x := range old[p].pairs {
			for _, state := range [][]byte{x.sender.Bytes().Bytes(), x.receiver.Bytes().Bytes(), x.seed[:]} {
				for i := 34; i+16 <= len(state); i += 16 {
					if bytes.Contains(after, state[i:i+16]) {
						t.Fatalf("party %d: old pair state is in the new one", p)
					}
				}
			}
		}
	}
	f.shares, f.pairs = shares, fresh
	reqs := []threshold.SignRequest{{Message: digestOf("refreshed")}}
	run, _ := f.presigning(t, q, reqs, 1)
	f.signBatch(t, q, reqs, results(t, run), [][]byte{shares[q[0]].GroupKey})

	// C2: the old pair state of one party is noticed in OPEN, and nobody is blamed.
	f.pairs = map[party]*pairState{q[0]: fresh[q[0]], q[1]: old[q[1]]}
	wantRetry(t, f, q, "config-mismatch")
	// So is an old key share.
	f.pairs = fresh
	mixed := newFixture(t, 3, 2).shares
	f.shares = map[party]*threshold.KeyShare{q[0]: shares[q[0]], q[1]: mixed[q[1]]}
	wantRetry(t, f, q, "config-mismatch")
	// Even with a forged record of the pair-epoch, transfers between states of two setups end in a ban, not in a signature.
	f.shares = shares
	forged, err := parsePairState(old[q[1]].Bytes().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	forged.id, forged.epoch = fresh[q[0]].id, 2
	f.pairs = map[party]*pairState{q[0]: fresh[q[0]], q[1]: forged}
	run, _ = f.presigning(t, q, reqs, 1)
	out, err := run.Go()
	if err != nil {
		t.Fatal(err)
	}
	if a := out[q[0]].Abort; a == nil || a.Kind != threshold.Ban {
		t.Errorf("old pair state under a new name: %v", a)
	}
}

func wantRetry(t *testing.T, f *fixture, q []party, check string) {
	t.Helper()
	run, _ := f.presigning(t, q, nil, 1)
	out, err := run.Go()
	if err != nil {
		t.Fatal(err)
	}
	for p, o := range out {
		if o.Abort == nil || o.Abort.Kind != threshold.Retry || o.Abort.Check != check || len(o.Abort.Culprits) > 0 ||
			len(f.pairs[p].Banned()) > 0 {
			t.Errorf("party %d: %v, want a retry for %s", p, o.Abort, check)
		}
	}
}

// Goal: key records are whole, and keys of another kind do not sign. Method: the table of damaged records.
func TestKeyRecords(t *testing.T) {
	f := newFixture(t, 3, 2)
	p := f.Committee.Parties[0]
	k := f.shares[p]
	if k.Kind != threshold.ECDSA.ID {
		t.Errorf("record %+v", k.KeyInfo)
	}
	if err := (Scheme{}).CheckSharing(k.KeyInfo); err != nil {
		t.Error(err)
	}
	wrong := k.KeyInfo
	wrong.GroupKey = wrong.PublicShares[1]
	if (Scheme{}).CheckSharing(wrong) == nil {
		t.Error("shares of another key pass")
	}
	single := k.KeyInfo
	single.PublicShares = slices.Repeat([][]byte{single.GroupKey}, 3)
	if (Scheme{}).CheckSharing(single) == nil {
		t.Error("a sharing in which every party holds the key passes")
	}
	for name, change := range map[string]func(*threshold.KeyInfo, []byte){
		"another scalar":       func(_ *threshold.KeyInfo, s []byte) { s[9] ^= 1 },
		"another party":        func(i *threshold.KeyInfo, _ []byte) { i.Party = f.Committee.Parties[1] },
		"taproot key":          func(i *threshold.KeyInfo, _ []byte) { i.Kind = threshold.BIP340.ID },
		"unknown kind":         func(i *threshold.KeyInfo, _ []byte) { i.Kind = "another" },
		"another public share": func(i *threshold.KeyInfo, _ []byte) { i.PublicShares[2] = i.PublicShares[1] },
	} {
		info, scalar := k.KeyInfo, bytes.Clone(k.Secret())
		info.PublicShares = slices.Clone(info.PublicShares)
		change(&info, scalar)
		s := threshold.NewKeyShare(info, scalar)
		if _, err := (Scheme{}).ParseKeyShare(s.Bytes().Bytes()); err == nil {
			t.Errorf("%s: parses", name)
		}
		if info.Kind == threshold.ECDSA.ID {
			continue
		}
		q := f.Committee.Parties[:2]
		if _, err := f.scheme(p).Presign(f.setup(p, q), []threshold.PresignKey{{Info: info, Share: s}}, f.rand(p)); err == nil {
			t.Errorf("%s: presigns", name)
		}
	}
	foreign := threshold.NewKeyShare(k.KeyInfo, bytes.Clone(k.Secret()))
	foreign.Kind = threshold.BIP340.ID
	if _, err := (Scheme{}).NewSigner(foreign); err == nil {
		t.Error("a share of another kind may sign")
	}
}
