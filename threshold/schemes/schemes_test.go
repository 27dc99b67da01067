package schemes_test

import (
	"strings"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
)

// Goal: every scheme of the list keeps the contract. Method: the suite of thresholdtest.
func TestContract(t *testing.T) {
	for _, s := range schemes.All() {
		if _, ok := s.(threshold.Provisioner); ok {
			continue // presigns only with pair state: threshold/dkls23 tests it
		}
		t.Run(string(s.ID()), func(t *testing.T) { thresholdtest.TestScheme(t, s) })
	}
}

// Goal: requests find their scheme or are told why there is none. Method: a table.
func TestFor(t *testing.T) {
	for _, c := range []struct {
		curve, protocol string
		want            threshold.SchemeID
		says            string
	}{
		{"ed25519", "frost", threshold.FrostEd25519, ""},
		{"ed25519", "", threshold.FrostEd25519, ""},
		{"secp256k1", "frost", threshold.FrostTaproot, ""},
		{"secp256k1", "", schemes.DKLs23.ID(), ""},
		{"secp256k1", "dkls23", schemes.DKLs23.ID(), ""},
		{"secp256k1", "lss", schemes.DKLs23.ID(), ""},
		{"secp256k1", "cggmp21", "", "cggmp21"},
		{"secp256k1", "bls", "", "no protocol"},
		{"ed25519", "cggmp21", "", "no protocol"},
		{"p256", "", "", "unknown curve"},
		{"", "", "", "unknown curve"},
	} {
		s, err := schemes.For(c.curve, c.protocol)
		if c.want == "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s/%s: %v, want %q in it", c.curve, c.protocol, err, c.says)
			}
		} else if err != nil || s.ID() != c.want {
			t.Errorf("%s/%s: %v", c.curve, c.protocol, err)
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
