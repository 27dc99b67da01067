package frost

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"filippo.io/edwards25519"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
)

// signing is a signature in the making that a test may spoil.
type signing struct {
	v      variant
	key    threshold.KeyInfo
	req    threshold.SignRequest
	shares []*threshold.SignatureShare
}

func newSigning(t *testing.T, v variant, keys []*threshold.KeyShare, seed string) *signing {
	signers := []threshold.PartyID{1, 3, 4}
	pre := presignWith(t, v.scheme, [][]*threshold.KeyShare{keys}, signers, nil, seed)
	s := &signing{v: v, key: keys[1].KeyInfo, req: threshold.SignRequest{Message: v.message}}
	s.shares = sharesOf(t, v.scheme, keys, signers, pre, 0, s.req)
	s.req.Pre = pre[1][0]
	return s
}

// Goal: Combine names exactly the senders of bad shares, whatever is bad about them, and nobody for our own mistakes.
// Method: spoil a good set of shares in every way, then see whom the abort names; VerifyShare must agree.
func TestCombineBlames(t *testing.T) {
	forBoth(t, func(t *testing.T, v variant) {
		keys := keygen(t, v.scheme, committee(3, partiesTo(5)...), "blame")
		order := addOrder(v.scheme.ID(), make([]byte, 64))[32:] // the order itself
		for name, c := range map[string]struct {
			spoil func(s *signing)
			blame []threshold.PartyID
		}{
			"flipped bit":   {func(s *signing) { s.shares[1].Payload[20] ^= 4 }, []threshold.PartyID{3}},
			"zero":          {func(s *signing) { s.shares[0].Payload = make([]byte, 32) }, []threshold.PartyID{1}},
			"not canonical": {func(s *signing) { s.shares[2].Payload = order }, []threshold.PartyID{4}},
			"all ones":      {func(s *signing) { s.shares[2].Payload = bytes.Repeat([]byte{255}, 32) }, []threshold.PartyID{4}},
			"short":         {func(s *signing) { s.shares[1].Payload = s.shares[1].Payload[:31] }, []threshold.PartyID{3}},
			"long":          {func(s *signing) { s.shares[1].Payload = append(s.shares[1].Payload, 0) }, []threshold.PartyID{3}},
			"empty":         {func(s *signing) { s.shares[1].Payload = nil }, []threshold.PartyID{3}},
			"other presign": {func(s *signing) { s.shares[0].Pre[5] ^= 1 }, []threshold.PartyID{1}},
			"exchanged": {func(s *signing) { a, b := s.shares[0], s.shares[1]; a.Payload, b.Payload = b.Payload, a.Payload },
				[]threshold.PartyID{1, 3}},
			"two, one short": {func(s *signing) { s.shares[0].Payload[3] ^= 1; s.shares[2].Payload = nil }, []threshold.PartyID{1, 4}},
			"shifted":        {shiftShares, []threshold.PartyID{1, 3}},
			"another message": {func(s *signing) {
				s.shares[2] = newSigning(t, otherMessage(v), keys, "blame").shares[2]
				s.shares[2].Pre = s.req.Pre.ID
			}, []threshold.PartyID{4}},
			"missing":  {func(s *signing) { s.shares = s.shares[:2] }, nil},
			"nil":      {func(s *signing) { s.shares[1] = nil }, nil},
			"order":    {func(s *signing) { slices.Reverse(s.shares) }, nil},
			"repeated": {func(s *signing) { s.shares[1] = s.shares[0] }, nil},
			"outsider": {func(s *signing) { s.shares[1].From = 2 }, nil},
		} {
			s := newSigning(t, v, keys, "blame")
			c.spoil(s)
			sig, err := v.scheme.Combine(s.key, s.req, s.shares)
			var abort *threshold.Abort
			switch {
			case name == "shifted" || name == "exchanged":
				// The sum is right, so the signature is: §5.4 verifies it first, and nobody is to blame.
				if err != nil || !v.outside(s.key.GroupKey, v.message, sig.Bytes) {
					t.Errorf("%s: %v", name, err)
				}
			case err == nil || sig.Bytes != nil:
				t.Errorf("%s: combined", name)
			case c.blame == nil:
				if errors.As(err, &abort) {
					t.Errorf("%s: abort %v, want an error that blames nobody", name, abort)
				}
			case !errors.As(err, &abort) || abort.Kind != threshold.Ban || abort.Check != checkShare || !slices.Equal(abort.Culprits, c.blame):
				t.Errorf("%s: %v, want culprits %v", name, err, c.blame)
			}
			for _, z := range s.shares {
				if z == nil || c.blame == nil {
					continue
				}
				if bad := v.scheme.VerifyShare(s.key, s.req, z) != nil; bad != slices.Contains(c.blame, z.From) {
					t.Errorf("%s: VerifyShare of party %d says bad=%v", name, z.From, bad)
				}
			}
		}
		s := newSigning(t, v, keys, "blame")
		if v.scheme.VerifyShare(s.key, s.req, nil) == nil {
			t.Error("VerifyShare accepts nothing")
		}
		s.shares[0].From = 2
		if v.scheme.VerifyShare(s.key, s.req, s.shares[0]) == nil {
			t.Error("VerifyShare accepts a share of no signer")
		}
		// A key record with false public shares makes no culprit of the honest: the signature is right.
		s = newSigning(t, v, keys, "blame")
		s.key.PublicShares = slices.Clone(s.key.PublicShares)
		slices.Reverse(s.key.PublicShares)
		if _, err := v.scheme.Combine(s.key, s.req, s.shares); err != nil {
			t.Error(err)
		}
	})
}

func otherMessage(v variant) variant {
	v.message = bytes.Repeat([]byte{0x11}, 32)
	return v
}

// shiftShares adds one to the first share and takes it from the second.
func shiftShares(s *signing) {
	g := group.Ed25519
	if s.v.scheme.ID() == threshold.FrostTaproot {
		g = group.Secp256k1
	}
	one := g.NewScalar().SetUint64(1)
	for i, f := range []func(a, b group.Scalar) group.Scalar{g.NewScalar().Add, g.NewScalar().Sub} {
		z, err := g.NewScalar().SetCanonical(s.shares[i].Payload)
		if err != nil {
			panic(err)
		}
		s.shares[i].Payload = f(z, one).Bytes()
	}
}

// badCommitments are encodings that no honest party sends, by name; each replaces one of the two points.
func badCommitments(id threshold.SchemeID) map[string][]byte {
	if id == threshold.FrostTaproot {
		return map[string][]byte{
			"identity":       make([]byte, 33),
			"x not on curve": append([]byte{2}, append(make([]byte, 31), 5)...),
			"x not below p":  append([]byte{2}, bytes.Repeat([]byte{255}, 32)...),
			"tag 4":          append([]byte{4}, bytes.Repeat([]byte{1}, 32)...),
		}
	}
	order4 := make([]byte, 32)
	torsion, _ := new(edwards25519.Point).SetBytes(order4)
	mixed := new(edwards25519.Point).Add(torsion, edwards25519.NewGeneratorPoint()).Bytes()
	identity := edwards25519.NewIdentityPoint().Bytes()
	negativeZero := bytes.Clone(identity)
	negativeZero[31] |= 0x80
	notCanonical := append([]byte{0xee}, bytes.Repeat([]byte{0xff}, 31)...) // y = p+1 is 1
	notCanonical[31] = 0x7f
	return map[string][]byte{
		"identity":       identity,
		"identity, x=-0": negativeZero,
		"y not below p":  notCanonical,
		"order 4":        order4,
		"mixed order":    mixed,
		"not on curve":   append([]byte{2}, make([]byte, 31)...),
	}
}

// Goal: a commitment that is no canonical point of the prime-order group, other than the identity, ends the session and
// names its sender, before any share is made. Method: replace either point of party 2's OPEN, in either entry of a batch.
func TestCommitmentsRefused(t *testing.T) {
	forBoth(t, func(t *testing.T, v variant) {
		keys := keygen(t, v.scheme, committee(2, partiesTo(3)...), "commitments")
		signers := []threshold.PartyID{1, 2}
		for name, bad := range badCommitments(v.scheme.ID()) {
			for place := range 4 {
				sessions := presignSessions(t, v.scheme, [][]*threshold.KeyShare{keys, keys}, signers, nil, "commitments")
				_, err := run(sessions, signers, func(m *threshold.Message) {
					if m.From == 2 && m.Round == 0 {
						copy(m.Body[64+place*len(bad):], bad)
					}
				})
				abort, ok := err.(*threshold.Abort)
				if !ok || abort.Kind != threshold.Proven || abort.Check != "frost-commitment" || !slices.Equal(abort.Culprits, []threshold.PartyID{2}) {
					t.Errorf("%s in place %d: %v", name, place, err)
				}
			}
		}
	})
}
