package frost

import (
	"crypto/ed25519"
	"crypto/sha512"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
)

// Ed25519 is FROST(Ed25519, SHA-512) of RFC 9591 §6.1, scheme threshold.FrostEd25519.
//
// A group key is 32 bytes (RFC 8032 §5.1.2), a message any number of bytes, a commitment 64 bytes, a signature share 32
// bytes, a signature 64 bytes (RFC 8032 §5.1.6). Keys take no tweaks. Shares are not clamped: the secret is uniform modulo
// the order, and no RFC 8032 seed for it exists.
var Ed25519 threshold.Scheme = &rfcScheme{
	id:     threshold.FrostEd25519,
	kind:   threshold.Ed25519,
	group:  group.Ed25519,
	h1:     func(input ...[]byte) group.Scalar { return edScalar(edHash("rho", input...)) },
	h2:     func(input ...[]byte) group.Scalar { return edScalar(sha512Of(input...)) }, // no prefix: RFC 8032's own challenge
	h3:     edNonce,
	h4:     func(input []byte) []byte { return edHash("msg", input) },
	h5:     func(input []byte) []byte { return edHash("com", input) },
	verify: edVerify,
}

const edContext = "FROST-ED25519-SHA512-v1"

func sha512Of(parts ...[]byte) []byte {
	h := sha512.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// edHash is SHA-512 of the context, a label and public input.
func edHash(label string, input ...[]byte) []byte {
	return sha512Of(append([][]byte{[]byte(edContext + label)}, input...)...)
}

func edScalar(wide []byte) group.Scalar { return group.Ed25519.NewScalar().SetUniform(wide) }

// edNonce is H3. Its input is secret, so it is hashed in one piece from memory that is wiped.
func edNonce(input []byte) group.Scalar {
	var buf [len(edContext) + len("nonce") + 64]byte
	n := copy(buf[:], edContext+"nonce")
	n += copy(buf[n:], input)
	wide := sha512.Sum512(buf[:n])
	clear(buf[:])
	defer clear(wide[:])
	return edScalar(wide[:])
}

// edVerify takes what every verifier takes: RFC 8032 without the cofactor, S below the order, and for A and R neither an encoding that is
// not canonical nor a point of small order. These are the rules of ed25519-dalek's verify_strict, which Solana has; libsodium, which
// Cardano has, refuses the same points, and the ZIP 215 verifier of Polkadot and the ref10 ones of others take more. A point with a part
// of small order beside one of large order is taken, as by all of them.
func edVerify(groupKey, message, sig []byte) bool {
	return len(groupKey) == ed25519.PublicKeySize && len(sig) == ed25519.SignatureSize && group.ProperEd25519(groupKey) &&
		group.ProperEd25519(sig[:32]) && ed25519.Verify(groupKey, message, sig)
}
