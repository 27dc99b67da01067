package frost

import (
	"bytes"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// Goal: what binds a signer's two nonces to one signing depends on the key, the message, the signers and every commitment: with less,
// whoever runs many sessions at once forges (ROS, ePrint 2020/945). Method: RFC 9591's binding factors and BIP 445's coefficient with each
// input changed by itself.
func TestBindingFactors(t *testing.T) {
	signers := []threshold.PartyID{1, 3}
	c := committee(2, partiesTo(3)...)
	message, other := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)

	keys := keygen(t, Ed25519, c, "binding")
	pre := presignWith(t, Ed25519, [][]*threshold.KeyShare{keys}, signers, nil, "binding")[0][0]
	scheme := Ed25519.(*rfcScheme)
	rho := func(message []byte, change func(key *threshold.KeyInfo, p *prepared, pre *threshold.Presignature)) []byte {
		key, altered, p := keys[0].KeyInfo, *pre, pre.Prepared.(*prepared)
		fresh := &prepared{quorum: p.quorum, key: p.key, commitments: p.commitments, encoded: slices.Clone(p.encoded)}
		change(&key, fresh, &altered)
		altered.Prepared, altered.Commitments = fresh, fresh.encoded
		_, x, err := scheme.request(key, threshold.SignRequest{Message: message, Pre: &altered})
		if err != nil {
			t.Fatal(err)
		}
		if x.rho[0].Equal(x.rho[1]) {
			t.Error("two signers have one binding factor")
		}
		return x.rho[0].Bytes()
	}
	same := func(*threshold.KeyInfo, *prepared, *threshold.Presignature) {}
	differ := func(want []byte, others map[string][]byte) {
		t.Helper()
		for name, got := range others {
			if bytes.Equal(got, want) {
				t.Errorf("%s does not count", name)
			}
		}
	}
	differ(rho(message, same), map[string][]byte{
		"the message": rho(other, same),
		"the key": rho(message, func(key *threshold.KeyInfo, p *prepared, _ *threshold.Presignature) {
			key.GroupKey = keys[0].PublicShares[0]
			p.key = &signingKey{kind: p.key.kind, groupKey: key.GroupKey, epoch: p.key.epoch}
		}),
		"the other's commitment": rho(message,
			func(_ *threshold.KeyInfo, p *prepared, _ *threshold.Presignature) { p.encoded[1] = p.encoded[0] }),
	})

	taprootKeys := keygen(t, Taproot, c, "binding")
	p := presignWith(t, Taproot, [][]*threshold.KeyShare{taprootKeys}, signers, nil, "binding")[0][0].Prepared.(*prepared)
	context := p.key.detail.(*signerSet)
	coefficient := func(c *signerSet, sums *nonceSums, message []byte, tweaks ...threshold.Tweak) []byte {
		v, err := newSessionValues(c, sums, tweaks, message)
		if err != nil {
			t.Fatal(err)
		}
		return v.b.Bytes()
	}
	others := *context
	others.serialized = append(slices.Clone(context.serialized[:11]), 9)
	sums := &nonceSums{r1: *secp256k1.NewGenerator(), r2: p.sums.r2,
		encoded: slices.Concat(secp256k1.NewGenerator().Bytes(), p.sums.encoded[33:])}
	differ(coefficient(context, p.sums, message), map[string][]byte{
		"the message":         coefficient(context, p.sums, other),
		"the signers":         coefficient(&others, p.sums, message),
		"the aggregate nonce": coefficient(context, sums, message),
		"the tweaked key":     coefficient(context, p.sums, message, threshold.Tweak{T: [32]byte{31: 1}}),
	})
}

// Goal: what is kept of the request last seen answers that request only. Method: an observer, whose presignature has seen none, combines
// another message, then the signed one, another tweak (which only Taproot has), and the signed one again.
func TestRequestRemembered(t *testing.T) {
	forBoth(t, func(t *testing.T, v variant) {
		signers := []threshold.PartyID{1, 3}
		keys := keygen(t, v.scheme, committee(2, partiesTo(3)...), "remembered")
		pre := presignWith(t, v.scheme, [][]*threshold.KeyShare{keys}, signers, []threshold.PartyID{2}, "remembered")
		req := threshold.SignRequest{Message: v.message}
		shares := sharesOf(t, v.scheme, keys, signers, pre, 0, req)
		req.Pre = pre[2][0]
		another, tweaked := req, req
		another.Message = bytes.Repeat([]byte{0x11}, 32)
		tweaked.Tweaks = []threshold.Tweak{{T: [32]byte{31: 1}}}
		for i, r := range []threshold.SignRequest{another, req, tweaked, req} {
			sig, err := v.scheme.Combine(keys[0].KeyInfo, r, shares)
			if good := i%2 == 1; (err == nil) != good || (sig.Bytes != nil) != good {
				t.Errorf("request %d: %v", i, err)
			}
		}
	})
}
