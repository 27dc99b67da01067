package frost

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
)

// Goal: RFC 9591 to the letter. Method: both ciphersuites of Appendix E given, through sessions, SignShare and Combine as
// production runs them, with the vector's randomness for the nonces; every intermediate value printed there is compared.

const k1Context = "FROST-secp256k1-SHA256-v1"

// rfcSecp256k1 is FROST(secp256k1, SHA-256), RFC 9591 §6.5. Its signatures are no chain's; it tests rfcScheme.
var rfcSecp256k1 = &rfcScheme{
	id:     "test-rfc9591-secp256k1",
	kind:   threshold.Kind{ID: "test-rfc9591-secp256k1"},
	group:  group.Secp256k1,
	h1:     func(input ...[]byte) group.Scalar { return hashToField(k1Context+"rho", input...) },
	h2:     func(input ...[]byte) group.Scalar { return hashToField(k1Context+"chal", input...) },
	h3:     func(input []byte) group.Scalar { return hashToField(k1Context+"nonce", input) },
	h4:     func(input []byte) []byte { return sha256Of([]byte(k1Context+"msg"), input) },
	h5:     func(input []byte) []byte { return sha256Of([]byte(k1Context+"com"), input) },
	verify: rfcSecp256k1Verify,
}

// rfcSecp256k1Verify is prime_order_verify, Appendix B.
func rfcSecp256k1Verify(groupKey, message, sig []byte) bool {
	g := group.Secp256k1
	y, err1 := g.NewPoint().SetCanonical(groupKey)
	r, err2 := g.NewPoint().SetCanonical(sig[:33])
	z, err3 := g.NewScalar().SetCanonical(sig[33:])
	if err1 != nil || err2 != nil || err3 != nil {
		return false
	}
	c := hashToField(k1Context+"chal", sig[:33], groupKey, message)
	return g.NewPoint().ScalarBaseMult(z).Equal(r.Add(r, g.NewPoint().ScalarMult(c, y)))
}

func sha256Of(parts ...[]byte) []byte {
	h := sha256.Sum256(bytes.Join(parts, nil))
	return h[:]
}

// hashToField is hash_to_field of RFC 9380 §5.2 with expand_message_xmd over SHA-256, L = 48, one element.
func hashToField(dst string, input ...[]byte) group.Scalar {
	dstPrime := append([]byte(dst), byte(len(dst)))
	b0 := sha256Of(make([]byte, 64), bytes.Join(input, nil), []byte{0, 48, 0}, dstPrime)
	b1 := sha256Of(b0, []byte{1}, dstPrime)
	mixed := bytes.Clone(b0)
	for i := range mixed {
		mixed[i] ^= b1[i]
	}
	b2 := sha256Of(mixed, []byte{2}, dstPrime)
	return group.Secp256k1.NewScalar().SetUniform(append(make([]byte, 16), append(b1, b2[:16]...)...))
}

type rfcVector struct {
	Config struct {
		Max string `json:"MAX_PARTICIPANTS"`
	}
	Inputs struct {
		Participants   []threshold.PartyID `json:"participant_list"`
		GroupPublicKey hexBytes            `json:"group_public_key"`
		Message        hexBytes
		Shares         []struct {
			Identifier threshold.PartyID
			Share      hexBytes `json:"participant_share"`
		} `json:"participant_shares"`
	}
	RoundOne struct {
		Outputs []struct {
			Identifier        threshold.PartyID
			HidingRandomness  hexBytes `json:"hiding_nonce_randomness"`
			BindingRandomness hexBytes `json:"binding_nonce_randomness"`
			HidingNonce       hexBytes `json:"hiding_nonce"`
			BindingNonce      hexBytes `json:"binding_nonce"`
			HidingCommitment  hexBytes `json:"hiding_nonce_commitment"`
			BindingCommitment hexBytes `json:"binding_nonce_commitment"`
			BindingFactor     hexBytes `json:"binding_factor"`
		}
	} `json:"round_one_outputs"`
	RoundTwo struct {
		Outputs []struct {
			Identifier threshold.PartyID
			Share      hexBytes `json:"sig_share"`
		}
	} `json:"round_two_outputs"`
	Final struct{ Sig hexBytes } `json:"final_output"`
}

// keyShares makes the key records of the vector.
func (v *rfcVector) keyShares(s *rfcScheme) map[threshold.PartyID]*threshold.KeyShare {
	info := threshold.KeyInfo{Kind: s.kind.ID, Epoch: 1, Committee: committee(2, partiesTo(3)...), GroupKey: v.Inputs.GroupPublicKey}
	for _, p := range v.Inputs.Shares {
		x, err := s.group.NewScalar().SetCanonical(p.Share)
		if err != nil {
			panic(err)
		}
		info.PublicShares = append(info.PublicShares, s.group.NewPoint().ScalarBaseMult(x).Bytes())
	}
	out := map[threshold.PartyID]*threshold.KeyShare{}
	for _, p := range v.Inputs.Shares {
		info.Party = p.Identifier
		out[p.Identifier] = threshold.NewKeyShare(info, bytes.Clone(p.Share))
	}
	return out
}

func testRFC9591(t *testing.T, s *rfcScheme, file string) {
	var v rfcVector
	load(t, file, &v)
	keys := v.keyShares(s)
	signers := v.Inputs.Participants
	var sessions []*threshold.Session[[]*threshold.Presignature]
	for i, p := range signers {
		out := v.RoundOne.Outputs[i]
		x := s.suite()
		x.nonces = func(share *threshold.KeyShare, _ []byte, _ io.Reader) (d, e group.Scalar, err error) { // nothing mixed in
			return s.generate(share, &[2][32]byte{[32]byte(out.HidingRandomness), [32]byte(out.BindingRandomness)})
		}
		session, err := presign(x, threshold.Setup{Committee: keys[p].Committee, Signers: signers, Self: p},
			[]threshold.PresignKey{{Info: keys[p].KeyInfo, Share: keys[p]}}, rand.NewChaCha8([32]byte{byte(p)}))
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, session)
	}
	pre, err := run(sessions, signers, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal := func(what string, got, want []byte) {
		t.Helper()
		if !bytes.Equal(got, want) {
			t.Errorf("%s is %x, want %x", what, got, want)
		}
	}
	ran := 0
	var shares []*threshold.SignatureShare
	for i, p := range signers {
		out := v.RoundOne.Outputs[i]
		nonces := pre[i][0].Nonces.(*noncePair)
		equal("hiding nonce", nonces.d.Bytes(), out.HidingNonce)
		equal("binding nonce", nonces.e.Bytes(), out.BindingNonce)
		equal("commitment", pre[1-i][0].Commitments[i], append(bytes.Clone(out.HidingCommitment), out.BindingCommitment...))
		signer, err := s.NewSigner(keys[p])
		if err != nil {
			t.Fatal(err)
		}
		z, err := signer.SignShare(threshold.SignRequest{Message: v.Inputs.Message, Pre: pre[i][0]})
		if err != nil {
			t.Fatal(err)
		}
		request := pre[i][0].Prepared.(*prepared).last.Load().(*rfcRequest)
		equal("binding factor", request.rho[i].Bytes(), out.BindingFactor)
		equal("signature share", z.Payload, v.RoundTwo.Outputs[i].Share)
		shares = append(shares, z)
		ran++
	}
	sig, err := s.Combine(keys[signers[0]].KeyInfo, threshold.SignRequest{Message: v.Inputs.Message, Pre: pre[0][0]}, shares)
	if err != nil {
		t.Fatal(err)
	}
	equal("signature", sig.Bytes, v.Final.Sig)
	assertCases(t, ran, 2)
	for _, k := range keys {
		if _, err := s.ParseKeyShare(k.Bytes().Bytes()); err != nil {
			t.Errorf("key share of the vector: %v", err)
		}
	}
}

func TestRFC9591Ed25519(t *testing.T) {
	testRFC9591(t, Ed25519.(*rfcScheme), "rfc9591/frost-ed25519-sha512.json")
}

func TestRFC9591Secp256k1(t *testing.T) {
	testRFC9591(t, rfcSecp256k1, "rfc9591/frost-secp256k1-sha256.json")
}
