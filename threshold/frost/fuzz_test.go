package frost

import (
	"bytes"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
)

// Goal: no commitment bytes make the decoder panic, and what it accepts is the one encoding of two group elements that are
// not the identity. Method: fuzz both variants, seeded with good and known bad encodings.
func FuzzDecodeCommitment(f *testing.F) {
	for _, g := range []group.Group{group.Ed25519, group.Secp256k1} {
		p := g.NewPoint().ScalarBaseMult(g.NewScalar().SetUint64(3)).Bytes()
		f.Add(append(bytes.Clone(p), p...))
		f.Add(make([]byte, 2*g.PointLen()))
	}
	for _, id := range []threshold.SchemeID{threshold.FrostEd25519, threshold.FrostTaproot} {
		for _, b := range badCommitments(id) {
			f.Add(append(bytes.Clone(b), b...))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, g := range []group.Group{group.Ed25519, group.Secp256k1} {
			c, err := decodeCommitment(g, b)
			if err != nil {
				continue
			}
			if !bytes.Equal(append(c.d.Bytes(), c.e.Bytes()...), b) || c.d.IsIdentity() || c.e.IsIdentity() {
				t.Errorf("%s accepts %x", g.Name(), b)
			}
		}
	})
}

// Goal: no share bytes make decoding, VerifyShare or Combine panic, and none but the right one passes. Method: fuzz the
// payload of one share of a real signing, in both variants.
func FuzzSignatureShare(f *testing.F) {
	type real struct {
		v       variant
		key     threshold.KeyInfo
		req     threshold.SignRequest
		share   *threshold.SignatureShare
		payload []byte
	}
	var all []real
	for _, v := range variants() {
		keys := keygen(f, v.scheme, committee(2, partiesTo(3)...), "fuzz")
		signers := []threshold.PartyID{1, 2}
		pre := presignWith(f, v.scheme, [][]*threshold.KeyShare{keys}, signers, nil, "fuzz")
		req := threshold.SignRequest{Message: v.message}
		z := sharesOf(f, v.scheme, keys, signers, pre, 0, req)[1]
		req.Pre = pre[0][0]
		all = append(all, real{v, keys[0].KeyInfo, req, z, bytes.Clone(z.Payload)})
		f.Add(z.Payload)
		f.Add(addOrder(v.scheme.ID(), make([]byte, 64))[32:])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, r := range all {
			z := *r.share
			z.Payload = payload
			if ok := r.v.scheme.VerifyShare(r.key, r.req, &z) == nil; ok != bytes.Equal(payload, r.payload) {
				t.Errorf("%s: payload %x verifies: %v", r.v.scheme.ID(), payload, ok)
			}
		}
	})
}
