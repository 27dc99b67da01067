package gcpkms

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/luxfi/mpcd/hsm"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// spkiSecp256k1 is the generator's subject public key info as OpenSSL writes it.
const spkiSecp256k1 = "3056301006072a8648ce3d020106052b8104000a03420004" +
	"79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798" +
	"483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"

// Goal: the one form is read, compressed or not, and no other. Method: the generator's known bytes; a table of what is wrong.
func TestParseSecp256k1(t *testing.T) {
	good := unhex(t, spkiSecp256k1)
	compressed := unhex(t, "3036301006072a8648ce3d020106052b8104000a032200"+
		"0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
	want := hsm.Secp256k1PublicKey(compressed[len(compressed)-33:])
	for _, der := range [][]byte{good, compressed} {
		pub, back, err := parsePublicKey(pemOf(der))
		if err != nil || pub != want || !bytes.Equal(back, der) {
			t.Errorf("%x: %v, %v", der, pub, err)
		}
	}
	change := func(i int, to byte) []byte { c := bytes.Clone(good); c[i] = to; return c }
	for name, der := range map[string][]byte{
		"not on the curve":      change(len(good)-1, 0xb9),
		"hybrid":                change(23, 6),
		"point of length 64":    append(change(1, 0x55)[:1:1], append([]byte{0x55}, good[2:len(good)-1]...)...),
		"behind it":             append(bytes.Clone(good), 0),
		"cut":                   good[:len(good)-1],
		"unused bits":           change(22, 1),
		"infinity":              unhex(t, "3016301006072a8648ce3d020106052b8104000a03020000"),
		"more in the sequence":  append(append(unhex(t, "305830"), good[3:]...), 5, 0),
		"more of the algorithm": append(unhex(t, "3058301206072a8648ce3d020106052b8104000a0500"), good[20:]...),
		"P-384":                 unhex(t, "301606072a8648ce3d020106052b810400220302"),
		"empty":                 {},
	} {
		if pub, _, err := parsePublicKey(pemOf(der)); err == nil {
			t.Errorf("%s: %v", name, pub)
		}
	}
	for name, text := range map[string]string{
		"no PEM": "x", "empty": "", "behind it": pemOf(good) + "x", "another block": pemOf(good) + pemOf(good),
		"another type": string(pem.EncodeToMemory(&pem.Block{Type: "EC PUBLIC KEY", Bytes: good})),
		"headers":      string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: good, Headers: map[string]string{"a": "b"}})),
		"long":         pemOf(good) + string(make([]byte, pemMax)),
	} {
		if pub, _, err := parsePublicKey(text); err == nil {
			t.Errorf("%s: %v", name, pub)
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(p384.Public())
	if err != nil {
		t.Fatal(err)
	}
	if pub, _, err := parsePublicKey(pemOf(der)); err == nil {
		t.Errorf("P-384: %T", pub)
	}
}

// Goal: DER becomes r‖s, and only DER. Method: a table.
func TestRawSignature(t *testing.T) {
	one, zero := "0000000000000000000000000000000000000000000000000000000000000001",
		"0000000000000000000000000000000000000000000000000000000000000000"
	high := "ff" + zero[2:]
	for in, want := range map[string]string{
		"3006020101020101":                    one + one,
		"3006020100020101":                    zero + one, // in range for the form; no signature verifies with it
		"3026022100" + high + "020101":        high + one,
		"3026020101022100" + high:             one + high,
		"":                                    "",
		"30":                                  "",
		"300602010102010100":                  "", // behind it
		"300702010102010100":                  "", // behind the numbers
		"3009020101020101020101":              "", // three numbers
		"30810602010102" + "0101":             "", // length not minimal
		"30070202000102" + "0101":             "", // number not minimal
		"30060201ff020101":                    "", // negative
		"30060201010201ff":                    "",
		"3003020101":                          "",
		"3027022201" + zero + "00" + "020101": "", // more than 256 bits
		"30260221" + "01" + zero + "020101":   "", // 257 bits
		"3026020101022101" + zero:             "",
		"3106020101020101":                    "", // a set
		"30800201010201010000":                "", // BER
		"3006030101020101":                    "", // a bit string
	} {
		raw, err := rawSignature(unhex(t, in))
		if (err == nil) != (want != "") || hex.EncodeToString(raw) != want {
			t.Errorf("%s: %x, %v, want %s", in, raw, err, want)
		}
	}
}

// Goal: no text makes the parser panic, and an accepted key is one of those that the driver knows, with its DER. Method: fuzz DER
// inside PEM, and the text itself.
func FuzzParsePublicKey(f *testing.F) {
	f.Add(unhex(f, spkiSecp256k1), "")
	f.Add([]byte{}, pemOf(unhex(f, spkiSecp256k1)))
	p, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(p.Public())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der, pemOf(der))
	f.Fuzz(func(t *testing.T, der []byte, text string) {
		for _, s := range []string{pemOf(der), text} {
			pub, back, err := parsePublicKey(s)
			if err != nil {
				continue
			}
			if _, isRSA := pub.(*rsa.PublicKey); !isRSA && hsm.TypeOf(pub) == "" {
				t.Errorf("accepted a %T", pub)
			}
			if k1, ok := pub.(hsm.Secp256k1PublicKey); ok {
				if _, err := secp256k1.ParsePubKey([]byte(k1)); err != nil || len(k1) != 33 {
					t.Errorf("accepted point %x: %v", k1, err)
				}
			}
			if again, _, err := parsePublicKey(pemOf(back)); err != nil || !equalKeys(again, pub) {
				t.Errorf("its DER does not say the same: %v", err)
			}
		}
	})
}

func equalKeys(a, b any) bool {
	if e, ok := a.(interface{ Equal(x any) bool }); ok {
		return e.Equal(b)
	}
	x, errX := hsm.MarshalPublicKey(a)
	y, errY := hsm.MarshalPublicKey(b)
	return errX != nil && errY != nil || bytes.Equal(x, y)
}

// Goal: no bytes make the decoder panic, and what it accepts is the one DER of its two numbers. Method: fuzz, and encode again.
func FuzzRawSignature(f *testing.F) {
	f.Add(unhex(f, "3006020101020101"))
	f.Add(unhex(f, "3026022100ff00000000000000000000000000000000000000000000000000000000000000020101"))
	f.Fuzz(func(t *testing.T, der []byte) {
		raw, err := rawSignature(der)
		if err != nil {
			return
		}
		var b cryptobyte.Builder
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, n := range [][]byte{raw[:32], raw[32:]} {
				b.AddASN1(cbasn1.INTEGER, func(b *cryptobyte.Builder) {
					n = bytes.TrimLeft(n, "\x00")
					if len(n) == 0 || n[0] >= 0x80 {
						b.AddUint8(0)
					}
					b.AddBytes(n)
				})
			}
		})
		if again, err := b.Bytes(); err != nil || !bytes.Equal(again, der) {
			t.Errorf("%x is also %x, %v", der, again, err)
		}
	})
}
