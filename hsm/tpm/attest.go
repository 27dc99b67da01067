package tpm

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/tpmkey"
)

// nonceMax is the longest nonce of an appraiser, in bytes.
const nonceMax = 32

// The parts of evidence that are in its Extra.
const (
	ExtraAK  = "ak_public"  // TPM2B_PUBLIC of the attestation key
	ExtraKey = "key_public" // TPMT_PUBLIC of the key: its hash is the name in the statement
	ExtraEK  = "ek_public"  // TPM2B_PUBLIC of the endorsement key
)

// AttestKey lets the TPM certify a key (TPM2_Certify, part 3, 18.2) with a restricted attestation key, which is made at the first
// call: that the key is in this TPM, and what its attributes are. In the evidence
//
//   - Statement is the TPMS_ATTEST; its extraData is the nonce, its attested name is the hash of Extra[ExtraKey];
//   - Signature is the attestation key's over the statement: ECDSA on P-256 with SHA-256, r‖s, 64 bytes;
//   - Certificates is the endorsement key's certificate, then those of its issuers that the TPM holds (NV 0x01c00100 and on);
//   - Extra has the three public areas.
//
// A restricted key signs no statement that the TPM did not make. That it is in the TPM of the certificate, the evidence does not
// show by itself: see Challenge.
func (t *Token) AttestKey(ctx context.Context, keyID string, nonce []byte) (hsm.KeyEvidence, error) {
	if len(nonce) > nonceMax {
		return hsm.KeyEvidence{}, fmt.Errorf("tpm: evidence: a nonce of %d bytes, at most %d", len(nonce), nonceMax)
	}
	info, err := t.Info(ctx)
	if err != nil {
		return hsm.KeyEvidence{}, err
	}
	return run(ctx, t, func(o *op) (hsm.KeyEvidence, error) {
		e, err := o.key(keyID)
		if err != nil {
			return hsm.KeyEvidence{}, err
		}
		ev := hsm.KeyEvidence{Format: hsm.EvidenceTPM, Key: e.info(), Token: info, Nonce: bytes.Clone(nonce),
			Extra: map[string][]byte{ExtraKey: e.Public}}
		if e.ecdsa != nil {
			if ev.PublicKey, err = x509.MarshalPKIXPublicKey(e.ecdsa); err != nil {
				return hsm.KeyEvidence{}, err
			}
		}
		if err := o.certify(e, &ev); err != nil {
			return hsm.KeyEvidence{}, explain(fmt.Sprintf("evidence of key %q", e.ID), err)
		}
		return ev, nil
	})
}

func (o *op) certify(e *entry, ev *hsm.KeyEvidence) error {
	who, err := o.endorsement()
	if err != nil {
		return err
	}
	ak, loadedAK, err := o.attestationKey()
	if err != nil {
		return err
	}
	key, err := o.load(e)
	if err != nil {
		return err
	}
	ev.Certificates = who.certificates
	ev.Extra[ExtraEK] = tpm2.Marshal(tpm2.New2B(*who.public))
	ev.Extra[ExtraAK] = tpm2.Marshal(tpm2.New2B(*ak.public))
	return o.authorized(fmt.Sprintf("key %q", e.ID), e.public, e.name, nil, func(s tpm2.Session) error {
		r, err := tpm2.Certify{ObjectHandle: key.with(s), SignHandle: loadedAK.with(tpm2.PasswordAuth(nil)),
			QualifyingData: tpm2.TPM2BData{Buffer: ev.Nonce}, InScheme: ecdsaScheme()}.Execute(o)
		if err != nil {
			return err
		}
		ev.Statement = r.CertifyInfo.Bytes()
		ev.Signature, err = rawSignature(&r.Signature)
		return err
	})
}

// attestationKey loads the attestation key, and makes it if there is none. It has no authorization value: it signs only what the TPM
// itself states.
func (o *op) attestationKey() (*entry, object, error) {
	e, err := o.lookup(attestationKeys, "")
	if err != nil {
		return nil, object{}, err
	}
	if e == nil {
		if e, err = o.create(kindAK, "", tpmkey.SigningTemplate(true), false); err != nil {
			return nil, object{}, err
		}
	}
	key, err := o.load(e)
	return e, key, err
}

// Quote is what the TPM says of its PCRs.
type Quote struct {
	Statement []byte          // TPMS_ATTEST; its extraData is the nonce
	Signature []byte          // of the attestation key: ECDSA on P-256 with SHA-256, r‖s, 64 bytes
	AK        []byte          // TPM2B_PUBLIC of the attestation key
	Bank      string          // sha256 …
	Values    map[uint][]byte // of the PCRs; their hash is in the statement
}

// Quote states the PCRs of the URI, or 0 to 7 of SHA-256 if it names none (TPM2_Quote, part 3, 18.4). nonce is at most 32 bytes.
func (t *Token) Quote(ctx context.Context, nonce []byte) (Quote, error) {
	if len(nonce) > nonceMax {
		return Quote{}, fmt.Errorf("tpm: quote: a nonce of %d bytes, at most %d", len(nonce), nonceMax)
	}
	sel := t.pcrs
	if len(sel.pcrs) == 0 {
		sel = selection{bank: "sha256", pcrs: []uint{0, 1, 2, 3, 4, 5, 6, 7}}
	}
	return run(ctx, t, func(o *op) (Quote, error) {
		ak, loaded, err := o.attestationKey()
		if err != nil {
			return Quote{}, err
		}
		values, err := o.readPCRs(sel)
		if err != nil {
			return Quote{}, err
		}
		r, err := tpm2.Quote{SignHandle: loaded.with(tpm2.PasswordAuth(nil)), QualifyingData: tpm2.TPM2BData{Buffer: nonce},
			InScheme: ecdsaScheme(), PCRSelect: sel.list(sel.pcrs...)}.Execute(o)
		if err != nil {
			return Quote{}, explain("quote", err)
		}
		q := Quote{Statement: r.Quoted.Bytes(), AK: tpm2.Marshal(tpm2.New2B(*ak.public)), Bank: sel.bank, Values: map[uint][]byte{}}
		if q.Signature, err = rawSignature(&r.Signature); err != nil {
			return Quote{}, explain("quote", err)
		}
		attest, err := r.Quoted.Contents()
		if err != nil {
			return Quote{}, explain("quote", err)
		}
		quoted, err := attest.Attested.Quote()
		if err != nil {
			return Quote{}, explain("quote", err)
		}
		if !bytes.Equal(quoted.PCRDigest.Buffer, digest(values)) {
			return Quote{}, errors.New("tpm: quote: a PCR changed between reading and quoting; ask again")
		}
		for i, n := range sel.pcrs {
			q.Values[n] = values[i]
		}
		return q, nil
	})
}
