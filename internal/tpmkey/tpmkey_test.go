package tpmkey

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// withPoint is the signing template with a point in it, each coordinate as long as given.
func withPoint(x, y []byte) tpm2.TPMTPublic {
	p := SigningTemplate(true)
	p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: x},
		Y: tpm2.TPM2BECCParameter{Buffer: y}})
	return p
}

func newKey(t testing.TB) (key *ecdsa.PublicKey, x, y []byte) {
	for {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		sec1, err := k.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if sec1[1] == 0 { // one key in 256: the case that is special
			return &k.PublicKey, sec1[1:33], sec1[33:]
		}
	}
}

// Goal: a point is read whether or not the TPM drops leading zeros, and nothing but a point of P-256 is. Method: a key whose x begins
// with a zero, whole and cut; then each way to be none.
func TestPoint(t *testing.T) {
	key, x, y := newKey(t)
	for name, p := range map[string]tpm2.TPMTPublic{"whole": withPoint(x, y), "cut": withPoint(bytes.TrimLeft(x, "\x00"), y)} {
		if got, err := Public(&p); err != nil || !key.Equal(got) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	curve := withPoint(x, y)
	curve.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP384})
	for name, p := range map[string]tpm2.TPMTPublic{
		"off the curve": withPoint(y, x), "too long": withPoint(append([]byte{0}, x...), y), "another curve": curve,
		"no asymmetric key": {Type: tpm2.TPMAlgKeyedHash},
	} {
		if got, err := Public(&p); err == nil {
			t.Errorf("%s: read as %v", name, got)
		}
	}
}

// Goal: Parse and ParseSized read one encoding only, of at most publicMax bytes, whose name is SHA-256. Method: a table, the edges
// among it.
func TestParse(t *testing.T) {
	_, x, y := newKey(t)
	good := tpm2.Marshal(withPoint(x, y))
	other := withPoint(x, y)
	other.NameAlg = tpm2.TPMAlgSHA384
	policy := withPoint(x, y)
	policy.AuthPolicy.Buffer = make([]byte, publicMax-len(good))
	if edge := tpm2.Marshal(policy); len(edge) != publicMax {
		t.Fatalf("the edge is at %d bytes", len(edge))
	}
	for _, c := range []struct {
		name string
		b    []byte
		want string // in the error, "" for none
	}{
		{"good", good, ""},
		{"as long as may be", tpm2.Marshal(policy), ""},
		{"longer", append(tpm2.Marshal(policy), 0), "at most 1024"},
		{"cut", good[:len(good)-1], "ran out of data"},
		{"a byte more", append(bytes.Clone(good), 0), "encoding"},
		{"another hash", tpm2.Marshal(other), "not SHA-256"},
	} {
		sized := append([]byte{byte(len(c.b) >> 8), byte(len(c.b))}, c.b...)
		_, err := Parse(c.b)
		_, errSized := ParseSized(sized)
		for _, err := range []error{err, errSized} {
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
		}
		if _, err := ParseSized(append(sized, 0)); err == nil {
			t.Errorf("%s: a length that is not the rest's", c.name)
		}
	}
}
