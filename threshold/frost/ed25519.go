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

// edVerify is RFC 8032 verification by crypto/ed25519: cofactorless, S below the order, as Solana's.
func edVerify(groupKey, message, sig []byte) bool {
	return len(groupKey) == ed25519.PublicKeySize && ed25519.Verify(groupKey, message, sig)
}
