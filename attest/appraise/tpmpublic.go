package appraise

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/internal/tpmkey"
)

// nameOf is the algorithm and hash of a public area (part 1, 16).
func nameOf(public *tpm2.TPMTPublic) ([]byte, error) {
	n, err := tpm2.ObjectName(public)
	if err != nil {
		return nil, err
	}
	return n.Buffer, nil
}

// attributes are the bits of TPMA_OBJECT (part 2, 8.3.2).
var attributes = []struct {
	bit  uint
	name string
}{{1, "fixedTPM"}, {2, "stClear"}, {4, "fixedParent"}, {5, "sensitiveDataOrigin"}, {6, "userWithAuth"}, {7, "adminWithPolicy"},
	{8, "firmwareLimited"}, {9, "svnLimited"}, {10, "noDA"}, {11, "encryptedDuplication"}, {16, "restricted"}, {17, "decrypt"}, {18, "sign"},
	{19, "x509sign"}}

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

// endorsementKey checks that a public area is of a standard endorsement key (TCG EK Credential Profile 2.5, templates L-1 and L-2), and
// gives its key.
func endorsementKey(public *tpm2.TPMTPublic) (crypto.PublicKey, error) {
	template := tpm2.ECCEKTemplate
	if public.Type == tpm2.TPMAlgRSA {
		template = tpm2.RSAEKTemplate
	}
	if err := sameTemplate(public, template, false); err != nil {
		return nil, err
	}
	return tpmkey.Public(public)
}
