// Goal: hashing to the curve is RFC 9380's. Method: the RFC's own vectors.
package secp256k1

import (
	"encoding/hex"
	"testing"
)

func TestHashToCurveVectors(t *testing.T) {
	const dst = "QUUX-V01-CS02-with-secp256k1_XMD:SHA-256_SSWU_RO_"
	for _, v := range []struct{ msg, x, y string }{
		{"", "c1cae290e291aee617ebaef1be6d73861479c48b841eaba9b7b5852ddfeb1346", "64fa678e07ae116126f08b022a94af6de15985c996c3a91b64c406a960e51067"},
		{"abc", "3377e01eab42db296b512293120c6cee72b6ecf9f9205760bd9ff11fb3cb2c4b", "7f95890f33efebd1044d382a01b1bee0900fb6116f94688d487c6c7b9c8371f6"},
	} {
		p := new(Point).HashToCurve([]byte(v.msg), dst)
		if got := hex.EncodeToString(p.UncompressedBytes()); got != "04"+v.x+v.y {
			t.Errorf("%q: %s", v.msg, got)
		}
	}
}
