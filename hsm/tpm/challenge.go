package tpm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/tpmkey"
)

const (
	challengeVersion = 1
	challengeMax     = 4096 // bytes
	challengeSecret  = 32   // bytes
)

// challenge is what an appraiser sends and only the TPM with both keys can open (part 1, 24: credential protection).
type challenge struct {
	Version uint64 `cbor:"1,keyasint"`
	AK      []byte `cbor:"2,keyasint"` // name of the attestation key
	ID      []byte `cbor:"3,keyasint"` // TPMS_ID_OBJECT
	Secret  []byte `cbor:"4,keyasint"` // seed, encrypted to the endorsement key
}

func decodeChallenge(b []byte) (*challenge, error) {
	var c challenge
	if len(b) > challengeMax {
		return nil, fmt.Errorf("tpm: a challenge of %d bytes, at most %d", len(b), challengeMax)
	}
	if err := canon.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("tpm: challenge: %w", err)
	}
	if c.Version != challengeVersion || len(c.ID) > blobMax || len(c.Secret) > blobMax {
		return nil, errors.New("tpm: challenge of an unknown form")
	}
	return &c, nil
}

// Challenge is the appraiser's side of binding the attestation key of evidence to the endorsement key of its certificate. It needs
// no TPM. The appraiser keeps the secret (32 bytes), sends the challenge, and is convinced if Answer returns the secret: then both
// keys are in one TPM. It must also verify the certificate, which is not done here.
//
// Errors: the evidence has no endorsement certificate, the certificate is of another key, or the attestation key could sign what
// the TPM did not make (it is not restricted, or not bound to its TPM).
func Challenge(random io.Reader, ev hsm.KeyEvidence) (challengeBytes, secret []byte, err error) {
	fail := func(err error) ([]byte, []byte, error) { return nil, nil, fmt.Errorf("tpm: challenge: %w", err) }
	if ev.Format != hsm.EvidenceTPM || len(ev.Certificates) == 0 {
		return fail(fmt.Errorf("%w: the evidence has no certificate of an endorsement key", hsm.ErrUnsupported))
	}
	ek, err := tpmkey.ParseSized(ev.Extra[ExtraEK])
	if err != nil {
		return fail(err)
	}
	if err := certifies(ev.Certificates[0], ek); err != nil {
		return fail(err)
	}
	ak, err := tpmkey.ParseSized(ev.Extra[ExtraAK])
	if err != nil {
		return fail(err)
	}
	if want := tpmkey.SigningTemplate(true); !ak.ObjectAttributes.NoDA || !sameKind(*ak, withNoDA(want)) {
		return fail(errors.New("the attestation key is not a restricted signing key bound to its TPM"))
	}
	name, err := tpm2.ObjectName(ak)
	if err != nil {
		return fail(err)
	}
	to, err := tpm2.ImportEncapsulationKey(ek)
	if err != nil {
		return fail(err)
	}
	secret = make([]byte, challengeSecret)
	if _, err := io.ReadFull(random, secret); err != nil {
		return fail(err)
	}
	c := challenge{Version: challengeVersion, AK: name.Buffer}
	if c.ID, c.Secret, err = tpm2.CreateCredential(random, to, name.Buffer, secret); err != nil {
		return fail(err)
	}
	return canon.MustMarshal(c), secret, nil
}

// withNoDA is a template as create makes it for a key without an authorization value.
func withNoDA(p tpm2.TPMTPublic) tpm2.TPMTPublic {
	p.ObjectAttributes.NoDA = true
	return p
}

// Answer opens a challenge (TPM2_ActivateCredential, part 3, 12.5) and returns its secret: proof that the attestation key it is for and
// the endorsement key are in this TPM. ErrIntegrity for a challenge to another TPM or key.
func (t *Token) Answer(ctx context.Context, challengeBytes []byte) ([]byte, error) {
	c, err := decodeChallenge(challengeBytes)
	if err != nil {
		return nil, err
	}
	return run(ctx, t, func(o *op) ([]byte, error) {
		ak, err := o.lookup(attestationKeys, "")
		if err != nil {
			return nil, err
		}
		if ak == nil || !bytes.Equal(ak.name.Buffer, c.AK) {
			return nil, fmt.Errorf("tpm: %w (the challenge is for another attestation key)", hsm.ErrIntegrity)
		}
		secret, err := o.activate(ak, c)
		if malformed(err) || is(err, tpm2.TPMRCFailure) { // which libtpms answers to a seed that is not for its RSA key
			return nil, fmt.Errorf("tpm: %w (the challenge is for another endorsement key, or was changed): %w", hsm.ErrIntegrity, err)
		}
		return secret, explain("answer a challenge", err)
	})
}

func (o *op) activate(ak *entry, c *challenge) ([]byte, error) {
	who, err := o.endorsement()
	if err != nil {
		return nil, err
	}
	ek, _, err := o.loadEK(who.template)
	if err != nil {
		return nil, err
	}
	loadedAK, err := o.load(ak)
	if err != nil {
		return nil, err
	}
	s, _, err := tpm2.PolicySession(o, tpm2.TPMAlgSHA256, 16)
	if err != nil {
		return nil, err
	}
	o.loose = append(o.loose, s.Handle())
	err = o.endorser(func(auth tpm2.AuthHandle) error {
		_, err := tpm2.PolicySecret{AuthHandle: auth, PolicySession: s.Handle(), NonceTPM: s.NonceTPM()}.Execute(o)
		return err
	})
	if err != nil {
		return nil, err
	}
	r, err := tpm2.ActivateCredential{ActivateHandle: loadedAK.with(o.session(nil, hideOut...)), KeyHandle: ek.with(s),
		CredentialBlob: tpm2.TPM2BIDObject{Buffer: c.ID}, Secret: tpm2.TPM2BEncryptedSecret{Buffer: c.Secret}}.Execute(o)
	if err != nil {
		return nil, err
	}
	return r.CertInfo.Buffer, nil
}
