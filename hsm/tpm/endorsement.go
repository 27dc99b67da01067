package tpm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/tpmkey"
)

// Where a TPM keeps the certificates of its endorsement key (TCG EK Credential Profile 2.5, 2.2.1.4 and 2.2.1.5), and the keys' usual
// persistent handles.
const (
	nvCertRSA2048 = tpm2.TPMHandle(0x01c00002)
	nvCertP256    = tpm2.TPMHandle(0x01c0000a)
	nvIssuers     = tpm2.TPMHandle(0x01c00100)
	issuersMax    = 8

	ekFirst, ekLast = tpm2.TPMHandle(0x81010000), tpm2.TPMHandle(0x8101ffff)
)

// ekKind is one of the standard endorsement keys.
type ekKind struct {
	cert     tpm2.TPMHandle
	template tpm2.TPMTPublic
}

// ekKinds are those that are looked for, the fastest first (templates L-2 and L-1 of the profile).
var ekKinds = []ekKind{{nvCertP256, tpm2.ECCEKTemplate}, {nvCertRSA2048, tpm2.RSAEKTemplate}}

// endorsement is what a TPM shows to say which TPM it is.
type endorsement struct {
	public       *tpm2.TPMTPublic
	template     tpm2.TPMTPublic
	certificates [][]byte // the key's, then issuers; none if the TPM has none
}

// endorsement finds the endorsement key that the TPM has a certificate of, or the P-256 one without.
func (o *op) endorsement() (*endorsement, error) {
	if o.t.endorse != nil {
		return o.t.endorse, nil
	}
	who := &endorsement{template: ekKinds[0].template}
	for _, k := range ekKinds {
		b, err := o.readNV(k.cert)
		if unreadable(err) {
			continue // not there, or not for us to read
		}
		if err != nil {
			return nil, err
		}
		certs := derSequences(b)
		if len(certs) == 0 {
			continue
		}
		who.template, who.certificates = k.template, certs[:1]
		break
	}
	_, public, err := o.loadEK(who.template)
	if err != nil {
		return nil, fmt.Errorf("endorsement key: %w", err)
	}
	o.tidy() // a TPM may have room for three objects, and others are to come
	who.public = public
	if len(who.certificates) > 0 {
		if err := certifies(who.certificates[0], public); err != nil {
			return nil, err
		}
		issuers, err := o.issuers()
		if err != nil {
			return nil, err
		}
		who.certificates = append(who.certificates, issuers...)
	}
	o.t.endorse = who
	return who, nil
}

// issuers reads the certificates that some TPMs hold beside their own.
func (o *op) issuers() ([][]byte, error) {
	handles, err := o.handles(nvIssuers, issuersMax)
	if err != nil {
		return nil, err
	}
	var certs [][]byte
	for _, h := range handles {
		if h < nvIssuers || h >= nvIssuers+0x100 {
			continue
		}
		b, err := o.readNV(h)
		if err != nil && !unreadable(err) {
			return nil, err
		}
		certs = append(certs, derSequences(b)...)
	}
	return certs, nil
}

// loadEK gives the endorsement key of the template: one that is persistent, or made anew, which takes seconds for RSA.
func (o *op) loadEK(template tpm2.TPMTPublic) (object, *tpm2.TPMTPublic, error) {
	handles, err := o.handles(ekFirst, 64)
	if err != nil {
		return object{}, nil, err
	}
	for _, h := range slices.DeleteFunc(handles, func(h tpm2.TPMHandle) bool { return h < ekFirst || h > ekLast }) {
		r, err := tpm2.ReadPublic{ObjectHandle: h}.Execute(o)
		if err != nil {
			return object{}, nil, err
		}
		public, err := r.OutPublic.Contents()
		if err != nil {
			return object{}, nil, err
		}
		if sameKind(*public, template) {
			return object{h, r.Name}, public, nil
		}
	}
	var made *tpm2.CreatePrimaryResponse
	err = o.endorser(func(auth tpm2.AuthHandle) error {
		var err error
		made, err = tpm2.CreatePrimary{PrimaryHandle: auth, InPublic: tpm2.New2B(template)}.Execute(o)
		return err
	})
	if err != nil {
		return object{}, nil, err
	}
	o.loose = append(o.loose, made.ObjectHandle)
	public, err := made.OutPublic.Contents()
	return object{made.ObjectHandle, made.Name}, public, err
}

// sameKind tells whether a public area is of the template, but for the key itself.
func sameKind(public, template tpm2.TPMTPublic) bool {
	public.Unique = template.Unique
	return bytes.Equal(tpm2.Marshal(public), tpm2.Marshal(template))
}

// derSequences cuts certificates out of an NV index, which may be longer than they are.
func derSequences(b []byte) [][]byte {
	var all [][]byte
	for len(b) > 0 && b[0] == 0x30 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(b, &v)
		if err != nil {
			break
		}
		all = append(all, v.FullBytes)
		b = rest
	}
	return all
}

// certifies tells whether the certificate is of the endorsement key.
func certifies(der []byte, public *tpm2.TPMTPublic) error {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("tpm: %w: the certificate of the endorsement key: %w", hsm.ErrUnsupported, err)
	}
	key, err := tpmkey.Public(public)
	if err != nil {
		return err
	}
	if k, ok := key.(interface{ Equal(crypto.PublicKey) bool }); !ok || !k.Equal(cert.PublicKey) {
		return fmt.Errorf("tpm: %w: the endorsement key of the standard template is not the one of its certificate", hsm.ErrUnsupported)
	}
	return nil
}

var (
	_ interface{ Equal(crypto.PublicKey) bool } = (*rsa.PublicKey)(nil)
	_ interface{ Equal(crypto.PublicKey) bool } = (*ecdsa.PublicKey)(nil)
)
