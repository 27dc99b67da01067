package gcpkms

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/luxfi/mpcd/hsm"
)

const pemMax = 4096 // longest public key text, in bytes; RSA-4096 has 800

var (
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1} // RFC 5480 §2.1.1
	oidSecp256k1   = asn1.ObjectIdentifier{1, 3, 132, 0, 10}       // SEC 2 §2.4.1
)

var errEncoding = errors.New("not of the one form that is read here")

// parsePublicKey reads a subject public key info (RFC 5280 §4.1.2.7) in PEM (RFC 7468 §13), and nothing around it: one of the keys
// that hsm.PublicKeyer tells, or an RSA key of any length. It also returns the DER.
func parsePublicKey(text string) (crypto.PublicKey, []byte, error) {
	if len(text) > pemMax {
		return nil, nil, fmt.Errorf("public key of %d bytes: %w", len(text), errEncoding)
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" || len(block.Headers) > 0 || len(rest) > 0 {
		return nil, nil, fmt.Errorf("public key is not PEM: %w", errEncoding)
	}
	if pub, ok, err := parseSecp256k1(block.Bytes); ok {
		return pub, block.Bytes, err
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("public key: %w", errEncoding)
	}
	if _, isRSA := pub.(*rsa.PublicKey); !isRSA && hsm.TypeOf(pub) == "" {
		return nil, nil, fmt.Errorf("public key of type %T: %w", pub, errEncoding)
	}
	return pub, block.Bytes, nil
}

// parseSecp256k1 reads the subject public key info of a point of secp256k1, for which crypto/x509 has no curve (RFC 5480 §2). ok
// is false if the DER is of another kind of key.
func parseSecp256k1(der []byte) (pub hsm.Secp256k1PublicKey, ok bool, err error) {
	in := cryptobyte.String(der)
	var info, alg cryptobyte.String
	var kind, curve asn1.ObjectIdentifier
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) || !info.ReadASN1(&alg, cbasn1.SEQUENCE) || !alg.ReadASN1ObjectIdentifier(&kind) ||
		!kind.Equal(oidECPublicKey) || !alg.ReadASN1ObjectIdentifier(&curve) || !curve.Equal(oidSecp256k1) {
		return "", false, nil
	}
	var point []byte
	if !alg.Empty() || !info.ReadASN1BitStringAsBytes(&point) || !info.Empty() || !in.Empty() {
		return "", true, fmt.Errorf("public key on secp256k1: %w", errEncoding)
	}
	if n := len(point); n != 33 && n != 65 || n == 65 && point[0] != 4 { // no hybrid form (SEC 1 §2.3.3)
		return "", true, fmt.Errorf("public key on secp256k1: %w", errEncoding)
	}
	p, err := secp256k1.ParsePubKey(point)
	if err != nil {
		return "", true, fmt.Errorf("public key on secp256k1: not a point: %w", errEncoding)
	}
	return hsm.Secp256k1PublicKey(p.SerializeCompressed()), true, nil
}

// rawSignature turns an ECDSA signature in DER (RFC 3279 §2.2.3) into r‖s, 64 bytes. Only DER is read: no BER, nothing behind it, no
// number that is negative or longer than 256 bits.
func rawSignature(der []byte) ([]byte, error) {
	in := cryptobyte.String(der)
	var seq cryptobyte.String
	var r, s big.Int
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() || !seq.ReadASN1Integer(&r) || !seq.ReadASN1Integer(&s) || !seq.Empty() {
		return nil, fmt.Errorf("ECDSA signature is not DER: %w", errEncoding)
	}
	if r.Sign() < 0 || s.Sign() < 0 || r.BitLen() > 256 || s.BitLen() > 256 {
		return nil, fmt.Errorf("ECDSA signature is out of range: %w", errEncoding)
	}
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	return raw, nil
}
