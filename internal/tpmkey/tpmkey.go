package tpmkey

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// publicMax bounds a public area, in bytes: the longest of a standard template, RSA with 4096 bits, has less than 600.
const publicMax = 1024

// Parse reads a TPMT_PUBLIC (part 2, 12.2.4) of at most 1,024 bytes whose name is SHA-256; it must be the only encoding of itself.
func Parse(b []byte) (*tpm2.TPMTPublic, error) {
	if len(b) > publicMax {
		return nil, fmt.Errorf("a public area of %d bytes, at most %d", len(b), publicMax)
	}
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](b)
	if err != nil {
		return nil, err
	}
	if public.NameAlg != tpm2.TPMAlgSHA256 {
		return nil, errors.New("its name is not SHA-256")
	}
	if !bytes.Equal(tpm2.Marshal(*public), b) {
		return nil, errors.New("not the encoding of a public area")
	}
	return public, nil
}

// ParseSized reads a TPM2B_PUBLIC (part 2, 12.2.5): two bytes of length, and what Parse reads.
func ParseSized(b []byte) (*tpm2.TPMTPublic, error) {
	if len(b) < 2 || int(binary.BigEndian.Uint16(b)) != len(b)-2 {
		return nil, errors.New("not a TPM2B_PUBLIC")
	}
	return Parse(b[2:])
}

// Public is the key of a public area as the standard library has it: *rsa.PublicKey or, on P-256, *ecdsa.PublicKey.
func Public(public *tpm2.TPMTPublic) (crypto.PublicKey, error) {
	switch public.Type {
	case tpm2.TPMAlgECC:
		return Point(public)
	case tpm2.TPMAlgRSA:
		params, err := public.Parameters.RSADetail()
		if err != nil {
			return nil, err
		}
		n, err := public.Unique.RSA()
		if err != nil {
			return nil, err
		}
		return tpm2.RSAPub(params, n)
	}
	return nil, errors.New("neither RSA nor ECC")
}

// Point is the point of a key on P-256. An error for other keys, and for what is no point of the curve.
func Point(public *tpm2.TPMTPublic) (*ecdsa.PublicKey, error) {
	params, err := public.Parameters.ECCDetail()
	if err != nil {
		return nil, err
	}
	p, err := public.Unique.ECC()
	if err != nil {
		return nil, err
	}
	if params.CurveID != tpm2.TPMECCNistP256 || len(p.X.Buffer) > 32 || len(p.Y.Buffer) > 32 {
		return nil, errors.New("not a key on P-256")
	}
	sec1 := make([]byte, 65) // SEC 1 §2.3.3; a TPM may drop leading zeros
	sec1[0] = 4
	copy(sec1[33-len(p.X.Buffer):], p.X.Buffer)
	copy(sec1[65-len(p.Y.Buffer):], p.Y.Buffer)
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), sec1)
}

// SigningTemplate is a P-256 key that never leaves its TPM, signs SHA-256 digests by ECDSA and does nothing else. Restricted, it is an
// attestation key: it signs only what its TPM says (part 1, 25.2).
func SigningTemplate(restricted bool) tpm2.TPMTPublic {
	scheme := tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})
	return tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgECC,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true,
			Restricted: restricted, SignEncrypt: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Scheme:  tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: scheme},
			CurveID: tpm2.TPMECCNistP256,
		}),
	}
}
