// Goal: hashing to the curve is RFC 9380's. Method: the RFC's own vectors, for the whole and for the map alone; then the inputs that the
// vectors miss, held to the curve equation.
package secp256k1

import (
	"encoding/hex"
	"math/rand"
	"strings"
	"testing"
)

// rfc9380 is appendix J.8.1.
var rfc9380 = []struct{ msg, p string }{
	{"", "c1cae290e291aee617ebaef1be6d73861479c48b841eaba9b7b5852ddfeb134664fa678e07ae116126f08b022a94af6de15985c996c3a91b64c406a960e51067"},
	{"abc", "3377e01eab42db296b512293120c6cee72b6ecf9f9205760bd9ff11fb3cb2c4b" +
		"7f95890f33efebd1044d382a01b1bee0900fb6116f94688d487c6c7b9c8371f6"},
	{"abcdef0123456789", "bac54083f293f1fe08e4a70137260aa90783a5cb84d3f35848b324d0674b0e3a4436476085d4c3c4508b60fcf4389c40176adce756b398bd" +
		"ee27bca19758d828"},
	{"q128_" + strings.Repeat("q", 128), "e2167bc785333a37aa562f021f1e881defb853839babf52a7f72b102e41890e9f2401dd95cc35867ffed4f367cd56476" +
		"3719fbc6a53e969fb8496a1e6685d873"},
	{"a512_" + strings.Repeat("a", 512), "e3c8d35aaaf0b9b647e88a0a0a7ee5d5bed5ad38238152e4e6fd8c1f8cb7c9988446eeb6181bf12f56a9d24e262221cc" +
		"2f0c4725c7e3803024b5888ee5823aa6"},
}

func TestHashToCurveVectors(t *testing.T) {
	for _, v := range rfc9380 {
		p := new(Point).HashToCurve([]byte(v.msg), "QUUX-V01-CS02-with-secp256k1_XMD:SHA-256_SSWU_RO_")
		if got := hex.EncodeToString(p.UncompressedBytes()); got != "04"+v.p {
			t.Errorf("%q: %s", v.msg, got)
		}
	}
}

// TestMapToCurveVectors holds the map to u and Q of the same appendix: u0 of "" and u0 of "abc".
func TestMapToCurveVectors(t *testing.T) {
	for u, q := range map[string]string{
		"6b0f9910dd2ba71c78f2ee9f04d73b5f4c5f7fc773a701abea1e573cab002fb3": "74519ef88b32b425a095e4ebcc84d81b64e9e2c2675340a720bb1a1857b99f1e" +
			"c174fa322ab7c192e11748beed45b508e9fdb1ce046dee9c2cd3a2a86b410936",
		"128aab5d3679a1f7601e3bdf94ced1f43e491f544767e18a4873f397b08a2b61": "07dd9432d426845fb19857d1b3a91722436604ccbbbadad8523b8fc38a5322d7" +
			"604588ef5138cffe3277bbd590b8550bcbe0e523bbaf1bed4014a467122eb33f",
	} {
		b, _ := hex.DecodeString(u)
		x, err := new(FieldElement).SetBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(new(Point).mapToCurve(x).UncompressedBytes()); got != "04"+q {
			t.Errorf("u = %s: %s", u, got)
		}
	}
}

// TestMapToCurveEdges takes the inputs that divide by zero in the textbook form, u = 0 and u² = 1/11, and random ones of both parities.
func TestMapToCurveEdges(t *testing.T) {
	var zero, one, exceptional FieldElement
	one.SetOne()
	exceptional.Invert(&mapRootOf11)
	inputs := []FieldElement{zero, one, exceptional, *new(FieldElement).Negate(&exceptional)}
	rng := rand.New(rand.NewSource(1))
	for range 64 {
		inputs = append(inputs, FieldElement{[4]uint64{rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64()}})
	}
	for i := range inputs {
		p := new(Point).mapToCurve(&inputs[i])
		if _, err := new(Point).SetUncompressedBytes(p.UncompressedBytes()); err != nil {
			t.Errorf("input %d: %v", i, err)
		}
		neg := new(Point).mapToCurve(new(FieldElement).Negate(&inputs[i]))
		if inputs[i].IsZero() == 0 && neg.Equal(new(Point).Negate(p)) != 1 {
			t.Errorf("input %d: the map is not odd", i) // sgn0 of RFC 9380, section 6.6.2
		}
	}
}

// TestIsogenyKernel sends a root of the denominator to the identity, as RFC 9380, section 6.6.3 asks. (Its x is in the field: the
// denominator of x is a square.)
func TestIsogenyKernel(t *testing.T) {
	var x0, half, one, y FieldElement
	half.Invert(half.SetUint64(2))
	x0.Negate(x0.Mul(&isoXDen[1], &half))
	one.SetOne()
	y.SetOne()
	if new(Point).fromIsogenous(&x0, &one, &y).IsIdentity() != 1 {
		t.Error("the kernel does not go to the identity")
	}
}

func TestHashToCurveTagLength(t *testing.T) {
	for _, n := range []int{0, 256} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a tag of %d bytes is taken", n)
				}
			}()
			new(Point).HashToCurve(nil, strings.Repeat("x", n))
		}()
	}
	new(Point).HashToCurve(nil, strings.Repeat("x", 255))
}

func BenchmarkHashToCurve(b *testing.B) {
	var p Point
	for b.Loop() {
		p.HashToCurve([]byte("message"), "benchmark")
	}
}
