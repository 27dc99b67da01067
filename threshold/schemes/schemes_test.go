package schemes_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkls23"
	"github.com/luxfi/mpcd/threshold/schemes"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
)

// Goal: every scheme of the list keeps the contract, with pair state and a pool where it has them. Method: the suite of thresholdtest.
func TestContract(t *testing.T) {
	for _, s := range schemes.All() {
		traits := thresholdtest.Traits{Convicts: s.ID() != dkls23.ID} // PROTOCOLS A.3.6
		t.Run(string(s.ID()), func(t *testing.T) { thresholdtest.TestScheme(t, s, traits) })
	}
}

// Goal: a key is its kind's, not its maker's: two protocols of one kind sign with one and the same share of every party, before and
// after either of them refreshed it, and neither takes the other's presignatures. Method: FROST and a fixture for Ed25519 keys, which
// keeps the whole contract; the key of one, the signatures of both.
func TestTwoProtocolsOneKey(t *testing.T) {
	frosty, err := schemes.ByID(threshold.FrostEd25519)
	if err != nil {
		t.Fatal(err)
	}
	plain := thresholdtest.Plain{Scheme: frosty}
	t.Run("contract", func(t *testing.T) {
		thresholdtest.TestScheme(t, plain, thresholdtest.Traits{Convicts: true, Unhedged: true})
	})

	w := thresholdtest.NewWorld(7, 3, 2)
	ks, err := w.Keygen(frosty)
	if err != nil {
		t.Fatal(err)
	}
	q, message := w.Committee.Parties[1:], []byte("one key")
	signBoth := func(when string) {
		t.Helper()
		for _, s := range []threshold.Scheme{frosty, plain} {
			sig, err := w.SignWith(s, ks, q, message)
			if err != nil || frosty.Verify(ks[q[0]].GroupKey, nil, message, sig) != nil {
				t.Errorf("%s, %s: %v", when, s.ID(), err)
			}
		}
	}
	signBoth("after keygen")
	for _, s := range []threshold.Scheme{plain, frosty} {
		if ks, err = w.Refresh(s, ks); err != nil {
			t.Fatal(err)
		}
		signBoth("after a refresh by " + string(s.ID()))
	}
	for maker, other := range map[threshold.Scheme]threshold.Scheme{frosty: plain, plain: frosty} {
		pres, err := w.Presign(maker, ks, q)
		if err != nil {
			t.Fatal(err)
		}
		if pres[q[0]].Scheme != maker.ID() {
			t.Errorf("a presignature of %s names %s", maker.ID(), pres[q[0]].Scheme)
		}
		signer, err := other.NewSigner(ks[q[0]])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signer.SignShare(threshold.SignRequest{Message: message, Pre: pres[q[0]]}); err == nil {
			t.Errorf("%s signs with a presignature of %s", other.ID(), maker.ID())
		}
	}
}

// Goal: requests find their scheme or are told why there is none, which field is at fault, and what to ask for. Method: a table.
func TestFor(t *testing.T) {
	for _, c := range []struct {
		curve, protocol string
		want            threshold.SchemeID
		field           string
		known           bool
		says, next      string
	}{
		{curve: "ed25519", protocol: "frost", want: threshold.FrostEd25519},
		{curve: "ed25519", want: threshold.FrostEd25519},
		{curve: "secp256k1", protocol: "frost", want: threshold.FrostTaproot},
		{curve: "secp256k1", want: dkls23.ID},
		{curve: "secp256k1", protocol: "dkls23", want: dkls23.ID},
		{curve: "secp256k1", protocol: "lss", field: "protocol", known: true, says: "no other one answers in its name",
			next: "dkls23 (ECDSA) or frost (Taproot)"},
		{curve: "secp256k1", protocol: "cggmp21", field: "protocol", known: true, says: "no other one answers in its name",
			next: "dkls23 (ECDSA) or frost (Taproot)"},
		{curve: "secp256k1", protocol: "bls", field: "protocol", known: true, says: "not in this build"},
		{curve: "ed25519", protocol: "cggmp21", field: "protocol", known: true, says: "for curve ed25519", next: "frost (Ed25519)"},
		{curve: "ed25519", protocol: "dkls23", field: "protocol", known: true, says: "not in this build"},
		{curve: "ed25519", protocol: "lss", field: "protocol", known: true, says: "protocol lss is not in this build"},
		{curve: "secp256k1", protocol: "DKLS23", field: "protocol", says: "unknown"},
		{curve: "bls12-381", field: "curve", known: true, says: "not in this build", next: "ed25519 or secp256k1"},
		{curve: "p256", field: "curve", says: "unknown", next: "ed25519 or secp256k1"},
		{field: "curve", says: "unknown"},
	} {
		s, err := schemes.For(c.curve, c.protocol)
		var none *threshold.NoSchemeError
		switch {
		case c.want != "":
			if err != nil || s.ID() != c.want {
				t.Errorf("%s/%s: %v", c.curve, c.protocol, err)
			}
		case !errors.As(err, &none) || none.Field != c.field || none.Known != c.known || !strings.Contains(none.What, c.says) ||
			!strings.Contains(none.Next, c.next):
			t.Errorf("%s/%s: %+v, want field %s, known %v, %q and %q", c.curve, c.protocol, err, c.field, c.known, c.says, c.next)
		}
	}
	seen := map[threshold.SchemeID]bool{}
	for _, s := range schemes.All() {
		if got, err := schemes.ByID(s.ID()); err != nil || got.ID() != s.ID() || seen[s.ID()] {
			t.Errorf("%s: %v", s.ID(), err)
		}
		seen[s.ID()] = true
	}
	if _, err := schemes.ByID("none"); err == nil {
		t.Error("an unknown scheme was found")
	}
}
