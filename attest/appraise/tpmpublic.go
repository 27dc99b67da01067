package appraise

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-tpm/tpm2"
)

const publicMax = 2048 // bytes of a public area

// parsePublic reads a TPMT_PUBLIC (part 2, 12.2.4) whose name is SHA-256; it must be the only encoding of itself.
func parsePublic(b []byte) (*tpm2.TPMTPublic, error) {
	if len(b) > publicMax {
		return nil, fmt.Errorf("%d bytes, at most %d", len(b), publicMax)
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

// sizedPublic reads a TPM2B_PUBLIC.
func sizedPublic(b []byte) (*tpm2.TPMTPublic, error) {
	if len(b) < 2 || int(binary.BigEndian.Uint16(b)) != len(b)-2 {
		return nil, errors.New("not a TPM2B_PUBLIC")
	}
	return parsePublic(b[2:])
}

// nameOf is the algorithm and hash of a public area (part 1, 16).
func nameOf(public *tpm2.TPMTPublic) ([]byte, error) {
	n, err := tpm2.ObjectName(public)
	if err != nil {
		return nil, err
	}
	return n.Buffer, nil
}

// signTemplate is a P-256 key that signs SHA-256 digests by ECDSA and does nothing else; restricted, it is an attestation key.
func signTemplate(restricted bool) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgECC,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true,
			Restricted: restricted, SignEncrypt: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Scheme:  tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
			CurveID: tpm2.TPMECCNistP256,
		}),
	}
}

// attributes are the bits of TPMA_OBJECT (part 2, 8.3.2).
var attributes = []struct {
	bit  uint
	name string
}{{1, "fixedTPM"}, {2, "stClear"}, {4, "fixedParent"}, {5, "sensitiveDataOrigin"}, {6, "userWithAuth"}, {7, "adminWithPolicy"}, {8, "firmwareLimited"},
	{9, "svnLimited"}, {10, "noDA"}, {11, "encryptedDuplication"}, {16, "restricted"}, {17, "decrypt"}, {18, "sign"}, {19, "x509sign"}}

const noDA = 1 << 10

// sameTemplate tells whether a public area is of the template, but for the key itself and, where it is free, noDA. The error names the
// attributes that differ.
func sameTemplate(public *tpm2.TPMTPublic, template tpm2.TPMTPublic, freeNoDA bool) error {
	got, want := bits(public.ObjectAttributes), bits(template.ObjectAttributes)
	if freeNoDA {
		want = want&^noDA | got&noDA
	}
	if got != want {
		var wrong []string
		for _, a := range attributes {
			if mask := uint32(1) << a.bit; got&mask != want&mask {
				wrong = append(wrong, fmt.Sprintf("%s is %v", a.name, got&mask != 0))
			}
		}
		if len(wrong) == 0 {
			return errors.New("an unknown attribute is set")
		}
		return errors.New(strings.Join(wrong, ", "))
	}
	p := *public
	p.Unique, p.ObjectAttributes = template.Unique, template.ObjectAttributes
	if !bytes.Equal(tpm2.Marshal(p), tpm2.Marshal(template)) {
		return errors.New("algorithm, curve, scheme or policy is another")
	}
	return nil
}

func bits(a tpm2.TPMAObject) uint32 { return binary.BigEndian.Uint32(tpm2.Marshal(a)) }

// pointOf is the point of a key on P-256.
func pointOf(public *tpm2.TPMTPublic) (*ecdsa.PublicKey, error) {
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

// endorsementKey checks that a public area is of a standard endorsement key (TCG EK Credential Profile 2.5, templates L-1 and L-2), and
// gives its key.
func endorsementKey(public *tpm2.TPMTPublic) (crypto.PublicKey, error) {
	switch public.Type {
	case tpm2.TPMAlgECC:
		if err := sameTemplate(public, tpm2.ECCEKTemplate, false); err != nil {
			return nil, err
		}
		return pointOf(public)
	case tpm2.TPMAlgRSA:
		if err := sameTemplate(public, tpm2.RSAEKTemplate, false); err != nil {
			return nil, err
		}
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
