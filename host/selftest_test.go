package host

import (
	"encoding/hex"
	"testing"
)

// Goal: the self-test passes here, and fails for arithmetic that accepts or refuses wrongly. Method: known answers with a bit
// changed in key, message and signature.
func TestSelfTest(t *testing.T) {
	if err := selfTest(); err != nil {
		t.Fatal(err)
	}
	flip := func(s string) string {
		b := unhex(s)
		b[0] ^= 1
		return hex.EncodeToString(b)
	}
	for _, k := range knownAnswers {
		for _, bad := range []knownAnswer{
			{k.scheme, k.source, flip(k.key), k.message, k.sig}, {k.scheme, k.source, k.key, flip(k.message), k.sig}, {k.scheme, k.source, k.key,
				k.message, flip(k.sig)},
		} {
			if bad.run() == nil {
				t.Errorf("%s: a changed known answer passes", k.source)
			}
		}
	}
	all := knownAnswers
	defer func() { knownAnswers = all }()
	knownAnswers = all[:1]
	if selfTest() == nil {
		t.Error("a scheme without a known answer passes")
	}
}
