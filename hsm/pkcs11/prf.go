package pkcs11

import (
	"crypto"
	"crypto/aes"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

// prfTag opens the input of every F, so that the token is never asked for a value that means anything else.
const prfTag = "mpcd/v1/hsm/prf\x01"

// evaluate asks the token for F(salt), which depends on salt and key alone and which nobody can guess who has not the key. The caller
// wipes it.
func (s *session) evaluate(id string, k *key, m method, salt []byte) ([]byte, error) {
	input := append([]byte(prfTag), salt...)
	var value []byte
	var err error
	switch m {
	case wrapAES:
		value, err = s.evaluateAES(k, input)
	case wrapECDH:
		value, err = s.evaluateECDH(k, input)
	case wrapRSA:
		value, err = s.evaluateRSA(k, input)
	default:
		return nil, fmt.Errorf("pkcs11: %w: %v is no hybrid", hsm.ErrIntegrity, m)
	}
	if err != nil {
		return nil, explain(fmt.Sprintf("use wrapping key %q by %v", id, m), err)
	}
	return value, nil
}

// evaluateAES is F(salt) = AES-256-CBC(IV 0, SHA-256(prfTag ‖ salt)), two blocks: a pseudorandom permutation of random points, which are
// not repeated before 2⁶⁴ salts. The token encrypts by CBC, or block by block where it has ECB alone; the value is the same.
func (s *session) evaluateAES(k *key, input []byte) ([]byte, error) {
	point := sha256.Sum256(input)
	cbc, err := s.offers(p11.CKM_AES_CBC, p11.CKF_ENCRYPT)
	if err != nil {
		return nil, err
	}
	if cbc {
		return s.encryptBlocks(p11.NewMechanism(p11.CKM_AES_CBC, make([]byte, aes.BlockSize)), k, point[:])
	}
	ecb := p11.NewMechanism(p11.CKM_AES_ECB, nil)
	first, err := s.encryptBlocks(ecb, k, point[:aes.BlockSize])
	if err != nil {
		return nil, err
	}
	next := make([]byte, aes.BlockSize)
	for i := range next {
		next[i] = first[i] ^ point[aes.BlockSize+i]
	}
	defer secret.Wipe(next)
	second, err := s.encryptBlocks(ecb, k, next)
	if err != nil {
		secret.Wipe(first)
		return nil, err
	}
	defer secret.Wipe(second)
	value := append(make([]byte, 0, 2*aes.BlockSize), first...)
	secret.Wipe(first)
	return append(value, second...), nil
}

func (s *session) encryptBlocks(m *p11.Mechanism, k *key, blocks []byte) ([]byte, error) {
	if err := s.lib.EncryptInit(s.handle, []*p11.Mechanism{m}, k.handle); err != nil {
		return nil, err
	}
	out, err := s.lib.Encrypt(s.handle, blocks)
	if err == nil && len(out) != len(blocks) {
		secret.Wipe(out)
		err = fmt.Errorf("%w: AES of %s gave %d bytes for %d", hsm.ErrUnsupported, s.tok.name(), len(out), len(blocks))
	}
	return out, err
}

// evaluateECDH is F(salt) = x(d·H(salt)) with H a hash to the curve: Naor, Pinkas and Reingold, "Distributed pseudo-random functions and
// KDCs" (EUROCRYPT 1999, §3). Nobody knows the logarithm of H(salt), so the public key is of no help. The token derives a session
// object that may be read, and it is removed at once.
func (s *session) evaluateECDH(k *key, input []byte) ([]byte, error) {
	point, err := hashToP256(input)
	if err != nil {
		return nil, err
	}
	params := p11.NewECDH1DeriveParams(p11.CKD_NULL, nil, point)
	o, err := s.lib.DeriveKey(s.handle, []*p11.Mechanism{p11.NewMechanism(p11.CKM_ECDH1_DERIVE, params)}, k.handle, []*p11.Attribute{
		p11.NewAttribute(p11.CKA_CLASS, p11.CKO_SECRET_KEY),
		p11.NewAttribute(p11.CKA_KEY_TYPE, p11.CKK_GENERIC_SECRET),
		p11.NewAttribute(p11.CKA_TOKEN, false),
		p11.NewAttribute(p11.CKA_SENSITIVE, false),
		p11.NewAttribute(p11.CKA_EXTRACTABLE, true),
		p11.NewAttribute(p11.CKA_VALUE_LEN, 32),
	})
	if err != nil {
		return nil, err
	}
	value, err := s.attribute(o, p11.CKA_VALUE)
	if gone := s.lib.DestroyObject(s.handle, o); err == nil {
		err = gone
	}
	if err == nil && len(value) != 32 {
		err = fmt.Errorf("%w: ECDH of %s gave %d bytes, want 32", hsm.ErrUnsupported, s.tok.name(), len(value))
	}
	if err != nil {
		secret.Wipe(value)
		return nil, err
	}
	return value, nil
}

// hashToP256 is a point of P-256, uncompressed, that depends on input alone and has no known logarithm: the first of x = SHA-256(input ‖
// counter) that is on the curve, with an even y. Input is public, so the time it takes may depend on it. One try fails with chance ½.
func hashToP256(input []byte) ([]byte, error) {
	for counter := range 256 {
		x := sha256.Sum256(append(input[:len(input):len(input)], byte(counter)))
		px, py := elliptic.UnmarshalCompressed(elliptic.P256(), append([]byte{2}, x[:]...))
		if px == nil {
			continue
		}
		point := make([]byte, 65)
		point[0] = 4
		px.FillBytes(point[1:33])
		py.FillBytes(point[33:])
		return point, nil
	}
	return nil, fmt.Errorf("pkcs11: no point of P-256 found")
}

// sha256Info is the DigestInfo before a SHA-256 digest (RFC 8017 §9.2, note 1).
var sha256Info = []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}

// evaluateRSA is F(salt) = the RSASSA-PKCS1-v1_5 signature of salt, which is unique and unforgeable, so its hash is pseudorandom (as in
// RSA-FDH-VRF, RFC 9381 §4). It is checked with the public key. The key must sign nothing else: hence wrapMark.
func (s *session) evaluateRSA(k *key, input []byte) ([]byte, error) {
	pub, ok := k.public.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: its public half is a %T", hsm.ErrKeyType, k.public)
	}
	digest := sha256.Sum256(input)
	value, err := s.signBy(way{mechanism: p11.CKM_RSA_PKCS, parameter: none}, k.handle, append(sha256Info[:len(sha256Info):len(sha256Info)],
		digest[:]...))
	if err != nil {
		return nil, err
	}
	if err := rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], value); err != nil {
		secret.Wipe(value)
		return nil, fmt.Errorf("%w: %s made a wrong signature", hsm.ErrUnavailable, s.tok.name())
	}
	return value, nil
}
