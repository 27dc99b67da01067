package threshold

import (
	"slices"

	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// KindID names a kind of key. It stands in every record of a key and in the key's own name, so a key that is one thing can never
// pass as another.
type KindID string

// Form is an encoding of a public key outside of the engine.
type Form string

// The forms of public keys.
const (
	FormEd25519      Form = "ed25519"      // 32 bytes (RFC 8032 §5.1.2)
	FormXOnly        Form = "x-only"       // 32 bytes: the x coordinate of a secp256k1 point (BIP 340)
	FormCompressed   Form = "compressed"   // 33 bytes of a secp256k1 point (SEC 1 §2.3.3)
	FormUncompressed Form = "uncompressed" // 65 bytes of the same
)

// Kind says what a key is, whatever protocol signs with it: all that the world outside of the engine has to know to name the key,
// show it and ask it for a signature. Any protocol of the kind takes a share of such a key.
type Kind struct {
	ID      KindID
	Curve   string // as requests name it
	Name    string // what people call such a key
	Signs   string // what people call its signatures
	Purpose string // the algorithm of whoever verifies: keys of two purposes never meet (PROTOCOLS 1.5)
	// Digest is how many bytes the digest has that is signed as it is; 0 where the message itself is signed, of any length.
	Digest int
	// Hashing tells who says how a transaction becomes that digest; empty without Digest.
	Hashing string
	// Recovery tells whether a signature comes with a recovery ID (SEC 1 §4.1.6).
	Recovery bool
	// Forms are the encodings by which outsiders may name the key; the first is the one it is shown in.
	Forms []Form
	// Addresses is the family of addresses that chains derive from the key, as internal/address calls it.
	Addresses string
}

// The kinds of keys.
var (
	// Ed25519 keys make EdDSA signatures (RFC 8032). A group key has 32 bytes, as that RFC encodes it.
	Ed25519 = Kind{ID: "ed25519", Curve: "ed25519", Name: "Ed25519", Signs: "EdDSA", Purpose: "eddsa",
		Forms: []Form{FormEd25519}, Addresses: "ed25519"}
	// BIP340 keys make BIP-340 signatures; each is a Taproot output key without a script path. A group key has 33 bytes (compressed SEC 1).
	BIP340 = Kind{ID: "bip340", Curve: "secp256k1", Name: "Taproot", Signs: "BIP-340", Purpose: "bip340",
		Digest: 32, Hashing: "BIP-341 says", Forms: []Form{FormXOnly, FormCompressed, FormUncompressed}, Addresses: "taproot"}
	// ECDSA keys make ECDSA signatures on secp256k1 (SEC 1 §4.1). A group key has 33 bytes (compressed SEC 1).
	ECDSA = Kind{ID: "ecdsa-secp256k1", Curve: "secp256k1", Name: "ECDSA", Signs: "ECDSA", Purpose: "ecdsa",
		Digest: 32, Hashing: "its chain does", Recovery: true, Forms: []Form{FormUncompressed, FormCompressed}, Addresses: "ecdsa"}
)

// Kinds lists every kind of key.
func Kinds() []Kind { return []Kind{Ed25519, ECDSA, BIP340} }

// KindOf is the kind of that name, the zero Kind if there is none: it has no name, no form and no address.
func KindOf(id KindID) Kind {
	for _, k := range Kinds() {
		if k.ID == id {
			return k
		}
	}
	return Kind{}
}

// Shown is the form in which a key is shown, of a group key of this kind or of any other of its Forms. It is nil for bytes that
// are no key of this kind. A point names the BIP-340 key of its x coordinate (BIP 340, "Public Key Conversion"); 32 bytes never
// name an ECDSA key, of which they would leave the sign open.
func (k Kind) Shown(key []byte) []byte {
	i := slices.IndexFunc(k.Forms, func(f Form) bool { return f.len() == len(key) })
	if i < 0 {
		return nil
	}
	var p secp256k1.Point
	var err error
	switch k.Forms[i] {
	case FormCompressed:
		_, err = p.SetBytes(key)
	case FormUncompressed:
		_, err = p.SetUncompressedBytes(key)
	default:
		return key // as it is; whoever verifies with it judges it
	}
	switch {
	case err != nil:
		return nil
	case k.Forms[0] == FormXOnly:
		return p.XBytes()
	}
	return p.UncompressedBytes()
}

// len is how many bytes the form has.
func (f Form) len() int {
	return map[Form]int{FormEd25519: 32, FormXOnly: 32, FormCompressed: 33, FormUncompressed: 65}[f]
}
