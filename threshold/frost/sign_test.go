package frost

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// variant is one of the two schemes with a verifier that none of us wrote.
type variant struct {
	scheme  threshold.Scheme
	message []byte
	outside func(groupKey, message, sig []byte) bool
}

func variants() []variant {
	return []variant{
		{Ed25519, []byte("any number of bytes, here 40 of them ..."), func(k, m, s []byte) bool { return ed25519.Verify(k, m, s) }},
		{Taproot, bytes.Repeat([]byte{0xb7}, 32), func(k, m, s []byte) bool { return btcecVerify(k[1:], m, s) }},
	}
}

func forBoth(t *testing.T, f func(t *testing.T, v variant)) {
	for _, v := range variants() {
		t.Run(string(v.scheme.ID()), func(t *testing.T) { f(t, v) })
	}
}

// Goal: any t of n parties sign, and nobody else is needed. Method: 2-of-3, 3-of-5 and a committee with gaps in its numbers,
// after a real DKG: every t-subset and every larger one signs; the signature satisfies an independent verifier.
func TestEverySubsetSigns(t *testing.T) {
	forBoth(t, func(t *testing.T, v variant) {
		for _, c := range []threshold.Committee{committee(2, partiesTo(3)...), committee(3, partiesTo(5)...), committee(2, 7, 300, 65535)} {
			keys := keygen(t, v.scheme, c, fmt.Sprint("subsets", c.Parties))
			key, subsets := keys[0].KeyInfo, 0
			for size := c.Threshold; size <= c.N(); size++ {
				c.Subsets(size, func(signers []threshold.PartyID) bool {
					pre := presignWith(t, v.scheme, [][]*threshold.KeyShare{keys}, signers, nil, "p")
					req := threshold.SignRequest{Message: v.message}
					shares := sharesOf(t, v.scheme, keys, signers, pre, 0, req)
					req.Pre = pre[len(signers)-1][0]
					for _, z := range shares {
						if err := v.scheme.VerifyShare(key, req, z); err != nil {
							t.Errorf("share of party %d of %v: %v", z.From, signers, err)
						}
					}
					sig, err := v.scheme.Combine(key, req, shares)
					if err != nil {
						t.Fatalf("%v: %v", signers, err)
					}
					if !v.outside(key.GroupKey, v.message, sig.Bytes) || v.scheme.Verify(key.GroupKey, nil, v.message, sig.Bytes) != nil {
						t.Errorf("%v: signature does not verify outside", signers)
					}
					if len(sig.Bytes) != 64 || sig.RecoveryID != -1 {
						t.Errorf("%v: signature of %d bytes, recovery id %d", signers, len(sig.Bytes), sig.RecoveryID)
					}
					subsets++
					return true
				})
			}
			if want := map[int]int{3: 4, 5: 16}[c.N()]; subsets != want {
				t.Errorf("%d subsets signed, want %d", subsets, want)
			}
		}
	})
}

// Goal: fewer than t parties sign nothing, and neither does anybody with the shares of others. Method: presigning refuses
// every quorum that is too small, unordered, repeated or foreign.
func TestQuorumRefused(t *testing.T) {
	forBoth(t, func(t *testing.T, v variant) {
		keys := keygen(t, v.scheme, committee(3, partiesTo(5)...), "quorum")
		c := keys[0].Committee
		for _, q := range [][]threshold.PartyID{{}, {1}, {1, 2}, {2, 1, 3}, {1, 1, 2}, {1, 2, 6}, {0, 1, 2}} {
			_, err := v.scheme.Presign(threshold.Setup{Committee: c, Signers: q, Self: 1},
				[]threshold.PresignKey{{Info: keys[0].KeyInfo, Share: keys[0]}}, seeded("q"))
			if err == nil {
				t.Errorf("quorum %v accepted", q)
			}
		}
	})
}

// Goal: a presignature signs once. Method: use it again with the same and another message, after a failure, after Burn, and
// from many goroutines at once; every time but the first is ErrBurnt.
func TestPresignatureBurns(t *testing.T) {
	forBoth(t, func(t *testing.T, v variant) {
		keys := keygen(t, v.scheme, committee(2, partiesTo(3)...), "burn")
		signers := []threshold.PartyID{1, 3}
		batch := [][]*threshold.KeyShare{keys, keys, keys, keys}
		pre := presignWith(t, v.scheme, batch, signers, nil, "burn")[0]
		signer, err := v.scheme.NewSigner(keys[0])
		if err != nil {
			t.Fatal(err)
		}
		sign := func(p *threshold.Presignature, m []byte) error {
			_, err := signer.SignShare(threshold.SignRequest{Message: m, Pre: p})
			return err
		}
		other := bytes.Repeat([]byte{1}, 32)

		if err := sign(pre[0], v.message); err != nil {
			t.Fatal(err)
		}
		for _, m := range [][]byte{v.message, other} {
			if err := sign(pre[0], m); err != threshold.ErrBurnt {
				t.Errorf("second use: %v", err)
			}
		}

		bad := threshold.SignRequest{Message: v.message, Pre: pre[1], Tweaks: []threshold.Tweak{{}}} // zero tweak; none at all for Ed25519
		if _, err := signer.SignShare(bad); err == nil {
			t.Error("bad request signed")
		}
		if err := sign(pre[1], v.message); err != threshold.ErrBurnt {
			t.Errorf("use after a failure: %v", err)
		}

		pre[2].Burn()
		pre[2].Burn()
		if err := sign(pre[2], v.message); err != threshold.ErrBurnt {
			t.Errorf("use after Burn: %v", err)
		}

		results := make(chan error)
		for range 8 {
			go func() { results <- sign(pre[3], v.message) }()
		}
		signed := 0
		for range 8 {
			switch err := <-results; err {
			case nil:
				signed++
			case threshold.ErrBurnt:
			default:
				t.Error(err)
			}
		}
		if signed != 1 {
			t.Errorf("%d of 8 racing uses signed", signed)
		}
	})
}

// Goal: nonces are wiped when they are burnt, taken or never used. Method: look at the scalars behind the presignature.
func TestNoncesWiped(t *testing.T) {
	forBoth(t, func(t *testing.T, v variant) {
		keys := keygen(t, v.scheme, committee(2, partiesTo(3)...), "wipe")
		signers := []threshold.PartyID{1, 2}
		pre := presignWith(t, v.scheme, [][]*threshold.KeyShare{keys, keys}, signers, nil, "wipe")[0]
		burnt, used := pre[0].Nonces.(*noncePair), pre[1].Nonces.(*noncePair)
		d, e := used.d, used.e
		if burnt.d.IsZero() || burnt.e.IsZero() || d.IsZero() || e.IsZero() {
			t.Fatal("nonces are zero")
		}
		pre[0].Burn()
		signer, _ := v.scheme.NewSigner(keys[0])
		if _, err := signer.SignShare(threshold.SignRequest{Message: v.message, Pre: pre[1]}); err != nil {
			t.Fatal(err)
		}
		if !burnt.d.IsZero() || !burnt.e.IsZero() || !d.IsZero() || !e.IsZero() {
			t.Error("nonces survive")
		}
		// The share is the owner's and must be untouched by signing (Taproot negates a copy).
		if _, err := v.scheme.ParseKeyShare(keys[0].Bytes().Bytes()); err != nil {
			t.Error(err)
		}
		p := &presigning{entries: []entry{{nonces: &noncePair{d: d.SetUint64(5), e: e.SetUint64(6)}}}}
		p.erase()
		if !d.IsZero() || !e.IsZero() {
			t.Error("nonces of an aborted session survive")
		}
	})
}

// Goal: a share is made only for what was presigned. Method: alter one thing of a good request at a time.
func TestSignShareRefuses(t *testing.T) {
	forBoth(t, func(t *testing.T, v variant) {
		c := committee(2, partiesTo(3)...)
		keys, others := keygen(t, v.scheme, c, "refuse"), keygen(t, v.scheme, c, "refuse other")
		stale := keys[0].KeyInfo
		stale.Epoch++
		next := threshold.NewKeyShare(stale, bytes.Clone(keys[0].Secret()))
		signers := []threshold.PartyID{1, 2}
		foreign := variants()[0]
		if v.scheme.ID() == threshold.FrostEd25519 {
			foreign = variants()[1]
		}
		foreignKeys := keygen(t, foreign.scheme, c, "refuse foreign")

		cases := map[string]func(key **threshold.KeyShare, req *threshold.SignRequest, peer *threshold.Presignature){
			"no presignature": func(_ **threshold.KeyShare, r *threshold.SignRequest, _ *threshold.Presignature) { r.Pre = nil },
			"observed":        func(_ **threshold.KeyShare, r *threshold.SignRequest, _ *threshold.Presignature) { r.Pre.Nonces = nil },
			"not prepared": func(_ **threshold.KeyShare, r *threshold.SignRequest, _ *threshold.Presignature) {
				r.Pre.Prepared = nil
			},
			"another key":     func(k **threshold.KeyShare, _ *threshold.SignRequest, _ *threshold.Presignature) { *k = others[0] },
			"another epoch":   func(k **threshold.KeyShare, _ *threshold.SignRequest, _ *threshold.Presignature) { *k = next },
			"no signer":       func(k **threshold.KeyShare, _ *threshold.SignRequest, _ *threshold.Presignature) { *k = keys[2] },
			"another's share": func(k **threshold.KeyShare, _ *threshold.SignRequest, _ *threshold.Presignature) { *k = keys[1] },
			"another's nonces": func(_ **threshold.KeyShare, r *threshold.SignRequest, p *threshold.Presignature) {
				r.Pre.Nonces = p.Nonces
			},
			"own commitment": func(_ **threshold.KeyShare, r *threshold.SignRequest, _ *threshold.Presignature) {
				r.Pre.Commitments[0] = r.Pre.Commitments[1]
			},
			"peer's commitment": func(_ **threshold.KeyShare, r *threshold.SignRequest, _ *threshold.Presignature) {
				r.Pre.Commitments[1] = r.Pre.Commitments[0]
			},
			"missing commitment": func(_ **threshold.KeyShare, r *threshold.SignRequest, _ *threshold.Presignature) {
				r.Pre.Commitments = r.Pre.Commitments[:1]
			},
			"signers": func(_ **threshold.KeyShare, r *threshold.SignRequest, _ *threshold.Presignature) {
				r.Pre.Signers[1] = 3
			},
			"own prepared": func(_ **threshold.KeyShare, r *threshold.SignRequest, _ *threshold.Presignature) { swapPrepared(r.Pre) },
			"tweak of zero": func(_ **threshold.KeyShare, r *threshold.SignRequest, _ *threshold.Presignature) {
				r.Tweaks = make([]threshold.Tweak, 1)
			},
			"corrupt key share": func(k **threshold.KeyShare, _ *threshold.SignRequest, _ *threshold.Presignature) {
				*k = corrupt(keys[0], others[0].Secret())
			},
			"zero key share": func(k **threshold.KeyShare, _ *threshold.SignRequest, _ *threshold.Presignature) {
				*k = corrupt(keys[0], make([]byte, 32))
			},
			"key share too large": func(k **threshold.KeyShare, _ *threshold.SignRequest, _ *threshold.Presignature) {
				*k = corrupt(keys[0], bytes.Repeat([]byte{255}, 32))
			},
			"corrupt nonce": func(_ **threshold.KeyShare, r *threshold.SignRequest, _ *threshold.Presignature) {
				r.Pre.Nonces.(*noncePair).d.SetUint64(7)
			},
		}
		if v.scheme.ID() == threshold.FrostTaproot {
			for _, n := range []int{0, 31, 33, 64} {
				cases[fmt.Sprint("message of ", n, " bytes")] = func(_ **threshold.KeyShare, r *threshold.SignRequest, _ *threshold.Presignature) {
					r.Message = make([]byte, n)
				}
			}
			cases["too many tweaks"] = func(_ **threshold.KeyShare, r *threshold.SignRequest, _ *threshold.Presignature) {
				r.Tweaks = make([]threshold.Tweak, maxTweaks+1)
				for i := range r.Tweaks {
					r.Tweaks[i].T[31] = 1
				}
			}
		}
		for name, alter := range cases {
			pre := presignWith(t, v.scheme, [][]*threshold.KeyShare{keys}, signers, nil, name)
			key, req := keys[0], threshold.SignRequest{Message: v.message, Pre: pre[0][0]}
			alter(&key, &req, pre[1][0])
			signer, err := v.scheme.NewSigner(key)
			if err != nil {
				t.Fatal(err)
			}
			if z, err := signer.SignShare(req); err == nil {
				t.Errorf("%s: signed %x", name, z.Payload)
			}
		}
		if _, err := v.scheme.NewSigner(foreignKeys[0]); err == nil {
			t.Error("signer for a share of another scheme")
		}
		pre := presignWith(t, foreign.scheme, [][]*threshold.KeyShare{foreignKeys}, signers, nil, "foreign")
		signer, _ := v.scheme.NewSigner(keys[0])
		if _, err := signer.SignShare(threshold.SignRequest{Message: v.message, Pre: pre[0][0]}); err == nil {
			t.Error("signed with a presignature of another scheme")
		}
	})
}

// swapPrepared puts another commitment than ours in our place, consistently.
func swapPrepared(pre *threshold.Presignature) {
	p := pre.Prepared.(*prepared)
	p.encoded = [][]byte{p.encoded[1], p.encoded[1]}
	pre.Commitments = [][]byte{p.encoded[1], p.encoded[1]}
}

func corrupt(k *threshold.KeyShare, secret []byte) *threshold.KeyShare {
	return threshold.NewKeyShare(k.KeyInfo, bytes.Clone(secret))
}

// Goal: presigning begins only with a key of this kind, committee and party, and a batch that is not empty or too large.
func TestPresignRefuses(t *testing.T) {
	forBoth(t, func(t *testing.T, v variant) {
		c := committee(2, partiesTo(3)...)
		keys, others := keygen(t, v.scheme, c, "presign"), keygen(t, v.scheme, c, "presign other")
		wide := keygen(t, v.scheme, committee(2, partiesTo(4)...), "presign wide")
		setup := threshold.Setup{Committee: c, Signers: []threshold.PartyID{1, 2}, Self: 1}
		good := threshold.PresignKey{Info: keys[0].KeyInfo, Share: keys[0]}
		foreign := good.Info
		foreign.Kind = "another"
		for name, batch := range map[string][]threshold.PresignKey{
			"empty":                      {},
			"too large":                  slices.Repeat([]threshold.PresignKey{good}, MaxBatch+1),
			"no share":                   {{Info: keys[0].KeyInfo}},
			"a peer's share":             {{Info: keys[0].KeyInfo, Share: keys[1]}},
			"a share of another key":     {{Info: keys[0].KeyInfo, Share: others[0]}},
			"a key of another committee": {{Info: wide[0].KeyInfo, Share: wide[0]}},
			"a key of another scheme":    {{Info: foreign, Share: threshold.NewKeyShare(foreign, bytes.Clone(keys[0].Secret()))}},
			"a bad key after a good one": {good, {Info: keys[0].KeyInfo, Share: others[0]}},
		} {
			if _, err := v.scheme.Presign(setup, batch, seeded(name)); err == nil {
				t.Errorf("%s accepted", name)
			}
		}
		if _, err := v.scheme.Presign(setup, []threshold.PresignKey{good}, bytes.NewReader(make([]byte, 31))); err == nil {
			t.Error("presigned without randomness")
		}
	})
}

// Goal: parties who presign for different keys find out before a nonce is used. Method: one of two gets another key.
func TestPresignContext(t *testing.T) {
	forBoth(t, func(t *testing.T, v variant) {
		c := committee(2, partiesTo(3)...)
		a, b := keygen(t, v.scheme, c, "context a"), keygen(t, v.scheme, c, "context b")
		signers := []threshold.PartyID{1, 2}
		one := presignSessions(t, v.scheme, [][]*threshold.KeyShare{a}, signers, nil, "context")
		two := presignSessions(t, v.scheme, [][]*threshold.KeyShare{b}, signers, nil, "context")
		_, err := run([]*threshold.Session[[]*threshold.Presignature]{one[0], two[1]}, signers, nil)
		abort, ok := err.(*threshold.Abort)
		if !ok || abort.Kind != threshold.Retry || len(abort.Culprits) != 0 {
			t.Errorf("got %v, want a retry that blames nobody", err)
		}
	})
}

// Goal: signers of two drafts of BIP 445 make no shares that give no signature: they refuse each other before a nonce is used. Method: one
// of two presigns as the draft before did, whose name was not in the context.
func TestPresignOfAnotherDraft(t *testing.T) {
	keys := keygen(t, Taproot, committee(2, partiesTo(3)...), "draft")
	signers := []threshold.PartyID{1, 2}
	sessions := presignSessions(t, Taproot, [][]*threshold.KeyShare{keys}, signers, nil, "draft")
	before := taproot{}.suite()
	before.draft = ""
	setup := threshold.Setup{Ceremony: canon.Hash("test", []byte("draft")), Committee: keys[1].Committee, Signers: signers, Self: 2}
	other, err := presign(before, setup, []threshold.PresignKey{{Info: keys[1].KeyInfo, Share: keys[1]}}, seeded("draft"))
	if err != nil {
		t.Fatal(err)
	}
	sessions[1] = other
	_, err = run(sessions, signers, nil)
	abort, ok := err.(*threshold.Abort)
	if !ok || abort.Kind != threshold.Retry || abort.Check != "config-mismatch" || len(abort.Culprits) != 0 {
		t.Errorf("got %v, want config-mismatch that blames nobody", err)
	}
}

// Goal: an observer learns the commitments, combines, and cannot sign; batches may mix keys. Method: two keys in one
// session of two signers and one observer; the observer combines both signatures; entries cannot be exchanged.
func TestObserverAndMixedBatch(t *testing.T) {
	forBoth(t, func(t *testing.T, v variant) {
		c := committee(2, partiesTo(3)...)
		keys := [][]*threshold.KeyShare{keygen(t, v.scheme, c, "mixed a"), keygen(t, v.scheme, c, "mixed b")}
		signers := []threshold.PartyID{1, 3}
		pre := presignWith(t, v.scheme, keys, signers, []threshold.PartyID{2}, "mixed")
		observed := pre[2]
		for k, key := range keys {
			req := threshold.SignRequest{Message: v.message}
			shares := sharesOf(t, v.scheme, key, signers, pre, k, req)
			req.Pre = observed[k]
			sig, err := v.scheme.Combine(key[1].KeyInfo, req, shares)
			if err != nil {
				t.Fatal(err)
			}
			if !v.outside(key[0].GroupKey, v.message, sig.Bytes) || v.outside(keys[1-k][0].GroupKey, v.message, sig.Bytes) {
				t.Error("signature is not exactly this key's")
			}
			if req.Pre.ID != pre[0][k].ID || req.Pre.Session != pre[1][k].Session || req.Pre.Nonces != nil {
				t.Error("observer's presignature differs")
			}
			if _, err := v.scheme.Combine(keys[1-k][1].KeyInfo, req, shares); err == nil {
				t.Error("combined for another key")
			}
			req.Pre = observed[1-k]
			if _, err := v.scheme.Combine(key[1].KeyInfo, req, shares); err == nil {
				t.Error("combined with another presignature")
			}
		}
	})
}

// Goal: openssl accepts what the scheme calls an Ed25519 signature. Method: the command line, on files.
func TestOpenSSLVerifies(t *testing.T) {
	v := variants()[0]
	keys := keygen(t, v.scheme, committee(2, partiesTo(3)...), "openssl")
	signers := []threshold.PartyID{2, 3}
	pre := presignWith(t, v.scheme, [][]*threshold.KeyShare{keys}, signers, nil, "openssl")
	req := threshold.SignRequest{Message: v.message}
	shares := sharesOf(t, v.scheme, keys, signers, pre, 0, req)
	req.Pre = pre[0][0]
	sig, err := v.scheme.Combine(keys[0].KeyInfo, req, shares)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// SubjectPublicKeyInfo of RFC 8410 is 12 fixed bytes and the key.
	der := append([]byte{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}, keys[0].GroupKey...)
	verify := func(message []byte) error {
		out, err := exec.Command("openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", write("key", der),
			"-sigfile", write("sig", sig.Bytes), "-in", write("message", message)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if err := verify(v.message); err != nil {
		t.Error(err)
	}
	if verify(append(bytes.Clone(v.message), 0)) == nil {
		t.Error("openssl accepts another message")
	}
}

// Goal: Verify judges as an outsider would. Method: alter signature, message, key and tweaks of a good one.
func TestVerifyRefuses(t *testing.T) {
	forBoth(t, func(t *testing.T, v variant) {
		keys := keygen(t, v.scheme, committee(2, partiesTo(3)...), "verify")
		signers := []threshold.PartyID{1, 2}
		pre := presignWith(t, v.scheme, [][]*threshold.KeyShare{keys}, signers, nil, "verify")
		req := threshold.SignRequest{Message: v.message}
		shares := sharesOf(t, v.scheme, keys, signers, pre, 0, req)
		req.Pre = pre[0][0]
		sig, err := v.scheme.Combine(keys[0].KeyInfo, req, shares)
		if err != nil {
			t.Fatal(err)
		}
		key := keys[0].GroupKey
		flip := func(b []byte, i int) []byte { c := bytes.Clone(b); c[i] ^= 1; return c }
		for name, bad := range map[string]error{
			"R":             v.scheme.Verify(key, nil, v.message, flip(sig.Bytes, 1)),
			"s":             v.scheme.Verify(key, nil, v.message, flip(sig.Bytes, 40)),
			"s plus order":  v.scheme.Verify(key, nil, v.message, addOrder(v.scheme.ID(), sig.Bytes)),
			"short":         v.scheme.Verify(key, nil, v.message, sig.Bytes[:63]),
			"long":          v.scheme.Verify(key, nil, v.message, append(bytes.Clone(sig.Bytes), 0)),
			"empty":         v.scheme.Verify(key, nil, v.message, nil),
			"message":       v.scheme.Verify(key, nil, flip(v.message, 3), sig.Bytes),
			"scheme":        combineAs(v.scheme, keys[0].KeyInfo, req, shares),
			"short message": v.scheme.Verify(key, nil, v.message[:31], sig.Bytes),
			"key":           v.scheme.Verify(flip(key, 9), nil, v.message, sig.Bytes),
			"short key":     v.scheme.Verify(key[2:], nil, v.message, sig.Bytes),
			"no key":        v.scheme.Verify(nil, nil, v.message, sig.Bytes),
			"tweak":         v.scheme.Verify(key, []threshold.Tweak{{T: [32]byte{31: 1}}}, v.message, sig.Bytes),
			"tweak of zero": v.scheme.Verify(key, []threshold.Tweak{{}}, v.message, sig.Bytes),
		} {
			if bad == nil {
				t.Errorf("altered %s accepted", name)
			}
		}
	})
}

// combineAs combines with a key record that claims another kind.
func combineAs(s threshold.Scheme, key threshold.KeyInfo, req threshold.SignRequest, shares []*threshold.SignatureShare) error {
	key.Kind = "another"
	_, err := s.Combine(key, req, shares)
	return err
}

// addOrder adds the group order to s, which a lax verifier would reduce away. For secp256k1 the sum may not fit; then the
// order itself stands in.
func addOrder(id threshold.SchemeID, sig []byte) []byte {
	out := bytes.Clone(sig)
	if id == threshold.FrostTaproot {
		neg := new(secp256k1.Scalar).Negate(new(secp256k1.Scalar).SetOne()).Bytes()
		neg[31]++ // n-1 ends in 0x40
		copy(out[32:], neg)
		return out
	}
	order := []byte{0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 31: 0x10}
	carry := 0
	for i := range order {
		carry += int(out[32+i]) + int(order[i])
		out[32+i] = byte(carry)
		carry >>= 8
	}
	return out
}

// Goal: nonces that nobody took are burnt when their session ends; those that were taken are not. Method: end a session after its result,
// taken and not; the nonces are looked at inside the session.
func TestNoncesNobodyTook(t *testing.T) {
	forBoth(t, func(t *testing.T, v variant) {
		c := committee(2, partiesTo(2)...)
		ks := keygen(t, v.scheme, c, "nobody")
		for _, take := range []bool{true, false} {
			var sessions [2]*threshold.Session[[]*threshold.Presignature]
			var opens [2][]threshold.Message
			for i, k := range ks {
				var err error
				if sessions[i], err = v.scheme.Presign(threshold.Setup{Committee: c, Self: k.Party},
					[]threshold.PresignKey{{Info: k.KeyInfo, Share: k}}, seeded(fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
				if opens[i], err = sessions[i].Start(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := sessions[0].Step(opens[1][0]); err != nil {
				t.Fatal(err)
			}
			inside := reflect.ValueOf(sessions[0]).Elem().FieldByName("result")
			if inside.Len() != 1 {
				t.Fatal("no result")
			}
			n := (*threshold.Presignature)(inside.Index(0).UnsafePointer()).Nonces.(*noncePair)
			if take {
				sessions[0].Result()
			}
			sessions[0].Erase()
			if n.burnt.Load() == take {
				t.Errorf("result taken %v: burnt %v", take, n.burnt.Load())
			}
		}
	})
}
