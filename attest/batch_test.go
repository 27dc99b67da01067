package attest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
)

var bothKeys = map[string]hsm.KeyType{"p256": hsm.KeyP256, "ed25519": hsm.KeyEd25519}

func testHeader() Header {
	return Header{Kind: KindCosign, Cluster: "test", Node: "node1", Time: testNow.UnixMilli()}
}

var testExpect = Expect{Kind: KindCosign, Cluster: "test", Node: "node1"}

// Goal: one operation of the token attests many leaves, all together and each alone. Method: both key types, many sizes.
func TestAttest(t *testing.T) {
	token := newTestToken(t, bothKeys)
	for id := range bothKeys {
		for _, n := range []int{1, 2, 3, 8, 100} {
			leaves, before := testLeaves(n), token.ops
			made, err := Attest(context.Background(), token, token.key(id), testHeader(), leaves)
			must(t, err)
			if token.ops != before+1 {
				t.Fatalf("%d operations for %d leaves", token.ops-before, n)
			}
			b, err := VerifyBatch(token.key(id).Public, testExpect, leaves, made.Cose)
			must(t, err)
			for i, l := range leaves {
				at, err := Verify(token.key(id).Public, testExpect, l, b.Proof(i))
				must(t, err)
				if !at.Equal(testNow) {
					t.Fatalf("time %v", at)
				}
			}
			if len(made.Cose) > 220 {
				t.Errorf("%s: COSE of %d bytes", id, len(made.Cose))
			}
		}
	}
}

// Goal: any COSE implementation reads ours. Method: go-cose's own verifier over the same bytes.
func TestCoseInterop(t *testing.T) {
	token := newTestToken(t, bothKeys)
	for id, alg := range map[string]cose.Algorithm{"p256": cose.AlgorithmES256, "ed25519": cose.AlgorithmEdDSA} {
		b, err := Attest(context.Background(), token, token.key(id), testHeader(), testLeaves(2))
		must(t, err)
		var m cose.Sign1Message
		must(t, m.UnmarshalCBOR(b.Cose))
		v, err := cose.NewVerifier(alg, token.key(id).Public)
		must(t, err)
		must(t, m.Verify([]byte("mpcd/v1/attest/cosign"), v))
	}
}

// Goal: each thing a batch says is checked, and refused for its own reason. Method: change one thing at a time.
func TestVerifyRefuses(t *testing.T) {
	token, other := newTestToken(t, bothKeys), newTestToken(t, bothKeys)
	pub := token.key("p256").Public
	leaves := testLeaves(3)
	b, err := Attest(context.Background(), token, token.key("p256"), testHeader(), leaves)
	must(t, err)
	expect := func(f func(*Expect)) Expect {
		e := testExpect
		f(&e)
		return e
	}
	check := func(pub crypto.PublicKey, e Expect, leaves [][]byte, c []byte) error {
		_, all := VerifyBatch(pub, e, leaves, c)
		_, one := Verify(pub, e, leaves[0], Attestation{c, 0, 3, b.Proof(0).Path})
		if (all == nil) != (one == nil) {
			t.Errorf("batch says %v, leaf says %v", all, one)
		}
		return all
	}
	must(t, check(pub, testExpect, leaves, b.Cose))
	wantErr(t, "no signature", check(pub, testExpect, leaves, nil), ErrUnattested)
	wantErr(t, "another key", check(other.key("p256").Public, testExpect, leaves, b.Cose), ErrWrongNode)
	wantErr(t, "another kind of key", check(token.key("ed25519").Public, testExpect, leaves, b.Cose), ErrWrongNode)
	wantErr(t, "node", check(pub, expect(func(e *Expect) { e.Node = "node2" }), leaves, b.Cose), ErrWrongNode)
	wantMisbound(t, "cluster", check(pub, expect(func(e *Expect) { e.Cluster = "other" }), leaves, b.Cose), "cluster")
	wantMisbound(t, "kind", check(pub, expect(func(e *Expect) { e.Kind = KindSettlement }), leaves, b.Cose), "kind")
	wantErr(t, "too early", check(pub, expect(func(e *Expect) { e.NotBefore = testNow.Add(time.Millisecond) }), leaves, b.Cose), ErrStale)
	wantErr(t, "too late", check(pub, expect(func(e *Expect) { e.NotAfter = testNow.Add(-time.Millisecond) }), leaves, b.Cose), ErrStale)
	must(t, check(pub, expect(func(e *Expect) { e.NotBefore, e.NotAfter = testNow, testNow }), leaves, b.Cose))
	if check(pub, Expect{}, leaves, b.Cose) == nil {
		t.Error("verified against no expectation")
	}
	wantErr(t, "changed leaf", check(pub, testExpect, [][]byte{[]byte("x"), leaves[1], leaves[2]}, b.Cose), ErrForged)
	_, err = VerifyBatch(pub, testExpect, leaves[:2], b.Cose)
	wantErr(t, "missing leaf", err, ErrForged)
	_, err = VerifyBatch(pub, testExpect, [][]byte{leaves[1], leaves[0], leaves[2]}, b.Cose)
	wantErr(t, "swapped leaves", err, ErrForged)
	_, err = Verify(pub, testExpect, leaves[0], Attestation{b.Cose, 0, 4, b.Proof(0).Path})
	wantErr(t, "another count", err, ErrForged)
	for i := range b.Cose {
		bad := bytes.Clone(b.Cose)
		bad[i] ^= 1
		if check(pub, testExpect, leaves, bad) == nil {
			t.Errorf("byte %d of %x changed and accepted", i, b.Cose)
		}
	}
	if rsaKey, err := rsa.GenerateKey(rand.Reader, 2048); err != nil || check(rsaKey.Public(), testExpect, leaves, b.Cose) == nil {
		t.Error("RSA key accepted")
	}
}

// Goal: who signs the right root with a wrong count is found out by whoever opens its batch, not by whoever is shown a leaf of it later:
// its proofs convince nobody. Method: headers with the true root and every other count, for cosignatures and for a batch of shares.
func TestRightRootWrongCount(t *testing.T) {
	ctx := context.Background()
	c := newCluster(t)
	intents := []Intent{c.intent("a"), c.intent("b"), c.intent("c")}
	token := c.tokens[0]
	items := c.items(t, 1, c.presign(t, len(intents))[0], intents)
	shares, made, err := SignShares(ctx, token, token.key("attest"), c.header("node1", KindShare, 0), items)
	must(t, err)
	var expected []Statement
	var leaves [][]byte
	for i, it := range items {
		expected = append(expected, NewStatement("test", "node1", it.Key, "", it.Request, it.Intent))
		leaves = append(leaves, shares[i].Statement.Leaf())
	}
	key := token.key("attest")
	want := Expect{Kind: KindShare, Cluster: "test", Node: "node1"}
	for _, count := range []uint32{1, 2, 3, 4, 6} {
		h := made.Header
		h.Count = count
		signed, err := sign1(ctx, token, key, KindShare, canon.MustMarshal(h))
		must(t, err)
		_, all := VerifyBatch(key.Public, want, leaves, signed)
		_, opened := ShareBatch{signed, NewShareBatch(shares, made).Payloads}.Open(key.Public, Window{}, expected)
		_, one := Verify(key.Public, want, leaves[0], Attestation{signed, 0, count, made.Proof(0).Path})
		if int(count) == len(leaves) {
			must(t, errors.Join(all, opened, one))
			continue
		}
		wantErr(t, "all leaves", all, ErrForged)
		wantErr(t, "a batch of shares", opened, ErrForged)
		wantErr(t, "its proof with the true count", func() error {
			_, err := Verify(key.Public, want, leaves[0], Attestation{signed, 0, 3, made.Proof(0).Path})
			return err
		}(), ErrForged)
	}
}

// Goal: a signature of one kind never passes as another, even if its payload says so. Method: a payload that lies about its kind.
func TestKindIsSigned(t *testing.T) {
	token := newTestToken(t, bothKeys)
	hdr := testHeader()
	hdr.Version, hdr.Root, hdr.Count, hdr.Kind = HeaderVersion, leafHash([]byte("x")), 1, KindSettlement
	c, err := sign1(context.Background(), token, token.key("p256"), KindCosign, canon.MustMarshal(hdr))
	must(t, err)
	for _, k := range []Kind{KindCosign, KindSettlement} {
		e := testExpect
		e.Kind = k
		if _, err := VerifyBatch(token.key("p256").Public, e, [][]byte{[]byte("x")}, c); err == nil {
			t.Errorf("accepted as %s", k)
		}
	}
}

// Goal: an attestation has one form. Method: everything that means the same to a lax COSE reader.
func TestOneEncoding(t *testing.T) {
	token := newTestToken(t, bothKeys)
	key := token.key("p256")
	leaves := testLeaves(1)
	b, err := Attest(context.Background(), token, key, testHeader(), leaves)
	must(t, err)
	var m cose.Sign1Message
	must(t, m.UnmarshalCBOR(b.Cose))
	highS := bytes.Clone(m.Signature)
	new(big.Int).Sub(p256Order, new(big.Int).SetBytes(highS[32:])).FillBytes(highS[32:])
	withHeader, err := (&cose.Sign1Message{Headers: cose.Headers{Protected: m.Headers.Protected,
		Unprotected: cose.UnprotectedHeader{int64(99): "x"}}, Payload: m.Payload, Signature: m.Signature}).MarshalCBOR()
	must(t, err)
	for name, bad := range map[string][]byte{
		"high s":             bytes.Replace(b.Cose, m.Signature, highS, 1),
		"unprotected header": withHeader,
		"trailing byte":      append(bytes.Clone(b.Cose), 0),
		"no tag":             b.Cose[1:],
		"long length":        append([]byte{0xd2, 0x98, 0x04}, b.Cose[2:]...),
		"long":               append(bytes.Clone(b.Cose), make([]byte, maxCose)...),
	} {
		_, err := VerifyBatch(key.Public, testExpect, leaves, bad)
		wantErr(t, name, err, ErrMalformed)
	}
	// Signed by the right key, but with other protected headers or a header field too many.
	payload, err := canon.Marshal(b.Header)
	must(t, err)
	sign := func(h cose.Headers, payload []byte) []byte {
		c, err := cose.Sign1(nil, tokenSigner{context.Background(), token, key.ID, cose.AlgorithmES256}, h, payload, aad(KindCosign))
		must(t, err)
		return c
	}
	kid, err := Thumbprint(key.Public)
	must(t, err)
	more := headers(cose.AlgorithmES256, kid)
	more.Protected[cose.HeaderLabelContentType] = "application/cbor"
	noKid := cose.Headers{Protected: cose.ProtectedHeader{cose.HeaderLabelAlgorithm: cose.AlgorithmES256}}
	var fields map[int]any
	must(t, cbor.Unmarshal(payload, &fields))
	fields[8] = "more"
	longKid := headers(cose.AlgorithmES256, make([]byte, maxCose))
	header := func(f func(*Header)) []byte {
		h := b.Header
		f(&h)
		return sign(headers(cose.AlgorithmES256, kid), canon.MustMarshal(h))
	}
	other, err := (&cose.Sign1Message{Headers: headers(cose.AlgorithmES384, kid), Payload: payload, Signature: m.Signature}).MarshalCBOR()
	must(t, err)
	shorter, err := (&cose.Sign1Message{Headers: headers(cose.AlgorithmES256, kid), Payload: payload,
		Signature: m.Signature[:40]}).MarshalCBOR()
	must(t, err)
	for name, bad := range map[string][]byte{
		"algorithm":    other,
		"signature":    shorter,
		"long kid":     sign(longKid, payload),
		"version":      header(func(h *Header) { h.Version = 2 }),
		"kind":         header(func(h *Header) { h.Kind = "x" }),
		"cluster":      header(func(h *Header) { h.Cluster = "" }),
		"node":         header(func(h *Header) { h.Node = strings.Repeat("n", 64) }),
		"count 0":      header(func(h *Header) { h.Count = 0 }),
		"count":        header(func(h *Header) { h.Count = MaxLeaves + 1 }),
		"time":         header(func(h *Header) { h.Time = 0 }),
		"more headers": sign(more, payload),
		"no kid":       sign(noKid, payload),
		"more fields":  sign(headers(cose.AlgorithmES256, kid), canon.MustMarshal(fields)),
		"no payload":   sign(headers(cose.AlgorithmES256, kid), []byte{}),
	} {
		_, err := VerifyBatch(key.Public, testExpect, leaves, bad)
		wantErr(t, name, err, ErrMalformed)
	}
}

// Goal: nothing wrong leaves the node. Method: a broken token, another key than the roster's, and headers that no one reads.
func TestAttestRefuses(t *testing.T) {
	ctx := context.Background()
	token, other := newTestToken(t, bothKeys), newTestToken(t, bothKeys)
	attest := func(key Key, f func(*Header), leaves [][]byte) error {
		h := testHeader()
		f(&h)
		_, err := Attest(ctx, token, key, h, leaves)
		return err
	}
	same := func(*Header) {}
	key := token.key("p256")
	must(t, attest(key, same, testLeaves(1)))
	wantErr(t, "roster's key is another", attest(Key{"p256", other.key("p256").Public}, same, testLeaves(1)), ErrForged)
	for name, err := range map[string]error{
		"no leaves":      attest(key, same, nil),
		"too many":       attest(key, same, make([][]byte, MaxLeaves+1)),
		"kind":           attest(key, func(h *Header) { h.Kind = "x" }, testLeaves(1)),
		"node":           attest(key, func(h *Header) { h.Node = "" }, testLeaves(1)),
		"cluster":        attest(key, func(h *Header) { h.Cluster = "No Such" }, testLeaves(1)),
		"time":           attest(key, func(h *Header) { h.Time = 0 }, testLeaves(1)),
		"no public key":  attest(Key{ID: "p256"}, same, testLeaves(1)),
		"secp256k1":      attest(Key{"p256", hsm.Secp256k1PublicKey("x")}, same, testLeaves(1)),
		"no key in it":   attest(Key{"none", key.Public}, same, testLeaves(1)),
		"wrong key type": attest(Key{"ed25519", key.Public}, same, testLeaves(1)),
	} {
		if err == nil {
			t.Errorf("%s accepted", name)
		}
	}
	must(t, attest(key, same, make([][]byte, MaxLeaves)))
	token.short = true
	if err := attest(key, same, testLeaves(1)); err == nil || !strings.Contains(err.Error(), "64") {
		t.Errorf("short signature: %v", err)
	}
	token.fail = errors.New("token on fire")
	wantErr(t, "broken token", attest(key, same, testLeaves(1)), token.fail)
}

// Goal: hex has one form. Method: texts that a lax reader takes.
func TestHex(t *testing.T) {
	var h Hex
	var sum Hash
	must(t, h.UnmarshalText([]byte("0x0aff")))
	must(t, sum.UnmarshalText([]byte(sum.String())))
	for _, bad := range []string{"", "0aff", "0X0aff", "0x0aFF", "0x0af", "0xzz", " 0x00"} {
		if h.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q accepted", bad)
		}
	}
	for _, bad := range []string{"0x", "0x00", sum.String() + "00", sum.String()[2:], sum.String()[:65] + "A"} {
		if sum.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("hash %q accepted", bad)
		}
	}
}
