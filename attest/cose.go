package attest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"sync"

	"github.com/veraison/go-cose"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
)

// maxCose bounds a COSE_Sign1 of ours, in bytes: headers, names of 63, a root and a signature.
const maxCose = 512

// aad is the external data of RFC 9052 §4.3, in the signature but not in the message.
func aad(k Kind) []byte { return []byte("mpcd/v1/attest/" + string(k)) }

// algorithm is ES256 for P-256 and EdDSA for Ed25519 (RFC 9053 §2); the public key decides, never the message.
func algorithm(pub crypto.PublicKey) (cose.Algorithm, error) {
	switch hsm.TypeOf(pub) {
	case hsm.KeyP256:
		return cose.AlgorithmES256, nil
	case hsm.KeyEd25519:
		return cose.AlgorithmEdDSA, nil
	}
	return 0, errKeyType
}

// Thumbprint names a public key: the first 16 bytes of SHA-256 over its SubjectPublicKeyInfo (RFC 5280 §4.1). It is the kid
// of every COSE_Sign1.
func Thumbprint(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, errKeyType
	}
	sum := sha256.Sum256(der)
	return sum[:16], nil
}

// headers are the only ones there are: alg and kid, both protected.
func headers(alg cose.Algorithm, kid []byte) cose.Headers {
	return cose.Headers{
		Protected:   cose.ProtectedHeader{cose.HeaderLabelAlgorithm: alg, cose.HeaderLabelKeyID: kid},
		Unprotected: cose.UnprotectedHeader{},
	}
}

// tokenSigner lends a token's key to go-cose. hsm.Signer hashes itself and gives r‖s, which is what COSE wants.
type tokenSigner struct {
	ctx context.Context
	h   hsm.Signer
	id  string
	alg cose.Algorithm
}

func (s tokenSigner) Algorithm() cose.Algorithm { return s.alg }

func (s tokenSigner) Sign(_ io.Reader, content []byte) ([]byte, error) {
	sig, err := s.h.Sign(s.ctx, s.id, content)
	if err != nil {
		return nil, err
	}
	if len(sig) != 64 {
		return nil, fmt.Errorf("attest: the token's signature has %d bytes, want 64", len(sig))
	}
	if s.alg == cose.AlgorithmES256 {
		sig = lowS(sig)
	}
	return sig, nil
}

func sign1(ctx context.Context, h hsm.Signer, key Key, kind Kind, payload []byte) ([]byte, error) {
	alg, err := algorithm(key.Public)
	if err != nil {
		return nil, err
	}
	kid, err := Thumbprint(key.Public)
	if err != nil {
		return nil, err
	}
	out, err := cose.Sign1(nil, tokenSigner{ctx, h, key.ID, alg}, headers(alg, kid), payload, aad(kind))
	if err != nil {
		return nil, fmt.Errorf("attest: sign with key %q: %w", key.ID, err)
	}
	return out, nil
}

// message is a COSE_Sign1 that is well-formed in every byte, its signature not yet judged.
type message struct {
	cose.Sign1Message
	alg    cose.Algorithm
	kid    []byte
	header Header
}

// parse1 reads a COSE_Sign1 as sign1 writes it. Whatever else encodes the same (other headers, unprotected ones, longer
// integers, the second s of ECDSA) is malformed: a receipt has one form.
func parse1(b []byte) (*message, error) {
	if len(b) == 0 {
		return nil, ErrUnattested
	}
	if len(b) > maxCose {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(b), maxCose)
	}
	var m message
	if err := m.UnmarshalCBOR(b); err != nil {
		return nil, fmt.Errorf("%w: not a COSE_Sign1", ErrMalformed)
	}
	alg, err := m.Headers.Protected.Algorithm()
	kid, ok := m.Headers.Protected[cose.HeaderLabelKeyID].([]byte)
	if err != nil || !ok || (alg != cose.AlgorithmES256 && alg != cose.AlgorithmEdDSA) || len(m.Signature) != 64 {
		return nil, fmt.Errorf("%w: want ES256 or EdDSA, a key thumbprint and 64 bytes of signature", ErrMalformed)
	}
	if alg == cose.AlgorithmES256 && !isLowS(m.Signature) {
		return nil, fmt.Errorf("%w: ECDSA signature with the high s", ErrMalformed)
	}
	again, err := (&cose.Sign1Message{Headers: headers(alg, kid), Payload: m.Payload, Signature: m.Signature}).MarshalCBOR()
	if err != nil || !bytes.Equal(again, b) {
		return nil, fmt.Errorf("%w: not the one encoding", ErrMalformed)
	}
	if err := canon.Unmarshal(m.Payload, &m.header); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	if err := m.header.validate(); err != nil {
		return nil, err
	}
	m.alg, m.kid = alg, kid
	return &m, nil
}

// check judges the signature with a public key; the algorithm is the message's own.
func (m *message) check(kind Kind, pub crypto.PublicKey) error {
	v := checker{alg: m.alg, pub: pub}
	if err := m.Verify(aad(kind), &v); err != nil {
		if v.err != nil {
			return v.err
		}
		return ErrForged
	}
	return nil
}

// checker lends hsm.Verify to go-cose.
type checker struct {
	alg cose.Algorithm
	pub crypto.PublicKey
	err error
}

func (c *checker) Algorithm() cose.Algorithm { return c.alg }

func (c *checker) Verify(content, signature []byte) error {
	ok, err := hsm.Verify(c.pub, content, signature)
	if err != nil {
		c.err = err
		return err
	}
	if !ok {
		return ErrForged
	}
	return nil
}

// verify1 judges a COSE_Sign1 with a pinned public key and returns its payload.
func verify1(pub crypto.PublicKey, kind Kind, b []byte) (Header, error) {
	alg, err := algorithm(pub)
	if err != nil {
		return Header{}, err
	}
	kid, err := Thumbprint(pub)
	if err != nil {
		return Header{}, err
	}
	m, err := parse1(b)
	if err != nil {
		return Header{}, err
	}
	if m.header.Kind != kind {
		return Header{}, misbound("kind")
	}
	if m.alg != alg || !bytes.Equal(m.kid, kid) {
		return Header{}, fmt.Errorf("%w: signed with another key than the pinned one", ErrWrongNode)
	}
	return m.header, m.check(kind, pub)
}

// p256HalfOrder is ⌊n/2⌋. ECDSA accepts s and n-s alike; taking the lower gives a signature one form (as BIP-62 does).
var (
	p256Order     = elliptic.P256().Params().N
	p256HalfOrder = new(big.Int).Rsh(p256Order, 1)
)

func isLowS(sig []byte) bool { return new(big.Int).SetBytes(sig[32:]).Cmp(p256HalfOrder) <= 0 }

func lowS(sig []byte) []byte {
	if isLowS(sig) {
		return sig
	}
	out := bytes.Clone(sig)
	new(big.Int).Sub(p256Order, new(big.Int).SetBytes(sig[32:])).FillBytes(out[32:])
	return out
}

// parsed has keys that were read, by their encoding: the few of a roster and an authority are read for every signature. Who changes what
// ParsePublicKey returns changes it for all.
var parsed struct {
	sync.RWMutex
	m map[string]crypto.PublicKey
}

// parsedMost is how many keys are kept; then it begins anew.
const parsedMost = 1024

// ParsePublicKey reads a PKIX DER public key (RFC 5280 §4.1): P-256, or Ed25519 that is no point of small order.
func ParsePublicKey(der []byte) (crypto.PublicKey, error) {
	parsed.RLock()
	pub := parsed.m[string(der)]
	parsed.RUnlock()
	if pub != nil {
		return pub, nil
	}
	pub, err := parsePublicKey(der)
	if err != nil {
		return nil, err
	}
	parsed.Lock()
	defer parsed.Unlock()
	if len(parsed.m) >= parsedMost || parsed.m == nil {
		parsed.m = map[string]crypto.PublicKey{}
	}
	parsed.m[string(der)] = pub
	return pub, nil
}

func parsePublicKey(der []byte) (crypto.PublicKey, error) {
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("attest: not a PKIX public key")
	}
	switch p := pub.(type) {
	case *ecdsa.PublicKey:
		if p.Curve == elliptic.P256() {
			return p, nil
		}
	case ed25519.PublicKey:
		return p, CheckEd25519(p)
	}
	return nil, errKeyType
}

// MarshalPublicKey writes what ParsePublicKey reads.
func MarshalPublicKey(pub crypto.PublicKey) ([]byte, error) {
	if _, err := algorithm(pub); err != nil {
		return nil, err
	}
	return x509.MarshalPKIXPublicKey(pub)
}

// checkKey refuses a key that is none of ours, or nobody's. Keys are told apart by their bytes, so one key must not have two forms; x509 is
// as strict today.
func checkKey(der Hex) error {
	pub, err := ParsePublicKey(der)
	if err != nil {
		return err
	}
	if again, err := MarshalPublicKey(pub); err != nil || string(again) != string(der) {
		return errors.New("not the one encoding of its public key")
	}
	return nil
}
