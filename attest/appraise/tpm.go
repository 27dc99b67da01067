package appraise

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/tpmkey"
)

// The parts of a TPM's evidence that are in its Extra: package hsm/tpm writes them.
const (
	extraAK  = "ak_public"  // TPM2B_PUBLIC of the attestation key
	extraKey = "key_public" // TPMT_PUBLIC of the key: its hash is the name in the statement
	extraEK  = "ek_public"  // TPM2B_PUBLIC of the endorsement key
)

// tpmEvidence is a TPM's evidence, read. That its parts fit together has been checked; whose they are has not.
type tpmEvidence struct {
	statement *tpm2.TPMSAttest
	key, ak   *tpm2.TPMTPublic
	ek        *tpm2.TPMTPublic
	akName    []byte
}

// tpm judges TPM2_Certify (TPM 2.0 part 3, 18.2). What it finds is proven if the certificate leads to a root and the keys are bound;
// else the same facts are a report.
func (j *judge) tpm() (claim, error) {
	e, err := readTPM(j.ev)
	if err != nil {
		return claim{}, err
	}
	if k := j.ev.Key; !k.Sensitive || k.Extractable || !k.Local || !k.NeverExtracted {
		return claim{}, isBroken("the statement is not what the summary says")
	}
	facts, err := j.certified(e)
	if err != nil {
		return claim{}, err
	}
	endorsed, more, err := j.endorsed(e)
	if err != nil {
		return claim{}, err
	}
	facts = append(facts, more...)
	c := claim{level: Reported, from: "the statement", sensitive: yes, neverExtractable: yes, made: yes}
	if !endorsed {
		j.report("the driver shows a statement of a TPM; whose it is, is not proven. It says:")
		for _, f := range facts {
			j.report("%s", f)
		}
		return c, nil
	}
	c.level = Proven
	for _, f := range facts {
		j.prove("%s", f)
	}
	return c, nil
}

// readTPM reads all parts. Errors are of evidence that is broken.
func readTPM(ev hsm.KeyEvidence) (*tpmEvidence, error) {
	var e tpmEvidence
	var err error
	if e.key, err = tpmkey.Parse(ev.Extra[extraKey]); err != nil {
		return nil, isBroken("the public area of the key: %v", err)
	}
	if e.ak, err = tpmkey.ParseSized(ev.Extra[extraAK]); err != nil {
		return nil, isBroken("the public area of the attestation key: %v", err)
	}
	if e.ek, err = tpmkey.ParseSized(ev.Extra[extraEK]); err != nil {
		return nil, isBroken("the public area of the endorsement key: %v", err)
	}
	if e.akName, err = nameOf(e.ak); err != nil {
		return nil, isBroken("the attestation key: %v", err)
	}
	if e.statement, err = parseStatement(ev.Statement); err != nil {
		return nil, isBroken("the statement: %v", err)
	}
	return &e, nil
}

// parseStatement reads a TPMS_ATTEST (part 2, 10.12.8) of type TPM_ST_ATTEST_CERTIFY.
func parseStatement(b []byte) (*tpm2.TPMSAttest, error) {
	s, err := tpm2.Unmarshal[tpm2.TPMSAttest](b)
	if err != nil {
		return nil, err
	}
	switch {
	case s.Magic != tpm2.TPMGeneratedValue:
		return nil, errors.New("not made by a TPM: its magic number is another")
	case s.Type != tpm2.TPMSTAttestCertify:
		return nil, errors.New("it certifies no key")
	case !bytes.Equal(tpm2.Marshal(*s), b):
		return nil, errors.New("not the encoding of a statement")
	}
	return s, nil
}

// certified checks statement, signature and attributes. It returns what follows if the attestation key is a TPM's.
func (j *judge) certified(e *tpmEvidence) ([]string, error) {
	ak, err := e.akKey()
	if err != nil {
		return nil, err
	}
	if ok, err := hsm.Verify(ak, j.ev.Statement, j.ev.Signature); err != nil || !ok {
		return nil, isBroken("the attestation key did not sign the statement")
	}
	if !bytes.Equal(e.statement.ExtraData.Buffer, j.subject.Nonce) {
		return nil, isBroken("the TPM signed it for another enrolment: it signed nonce %s, not %s", hexHead(e.statement.ExtraData.Buffer),
			hexHead(j.subject.Nonce))
	}
	body, err := e.statement.Attested.Certify()
	if err != nil {
		return nil, isBroken("the statement: %v", err)
	}
	name, err := nameOf(e.key)
	if err != nil || !bytes.Equal(body.Name.Buffer, name) {
		return nil, isBroken("the statement is about another key")
	}
	if bytes.Equal(name, e.akName) {
		return nil, isBroken("the attestation key certified itself")
	}
	return j.keyFacts(e)
}

// keyFacts checks what the certified key is.
func (j *judge) keyFacts(e *tpmEvidence) ([]string, error) {
	want, what := tpmkey.SigningTemplate(false), "signs with ECDSA on P-256 and does nothing else"
	if j.subject.Type == hsm.KeyAESWrap {
		want, what = tpm2.ECCSRKTemplate, "unseals what was wrapped, and does nothing else"
	}
	if err := sameTemplate(e.key, want, true); err != nil {
		return nil, isBroken("the key is not one that this program makes: %v", err)
	}
	if j.subject.Type != hsm.KeyAESWrap {
		pub, err := tpmkey.Point(e.key)
		if err != nil {
			return nil, isBroken("the key: %v", err)
		}
		if der, err := x509.MarshalPKIXPublicKey(pub); err != nil || !bytes.Equal(der, j.subject.PublicKey) {
			return nil, isBroken("the TPM certified another public key")
		}
	}
	guesses := "wrong values for its authorization are counted and lock it"
	if e.key.ObjectAttributes.NoDA {
		guesses = "it needs no authorization value, or wrong ones are not counted (noDA)"
	}
	return []string{
		fmt.Sprintf("the key was made in the TPM, is bound to it and cannot leave it (fixedTPM, fixedParent, sensitiveDataOrigin); it %s", what),
		guesses,
		fmt.Sprintf("the TPM certified it for this enrolment, by attestation key %s, which signs only what the TPM itself states",
			hex.EncodeToString(e.akName[2:10])),
	}, nil
}

// akKey checks that the attestation key is restricted and bound to its TPM.
func (e *tpmEvidence) akKey() (*ecdsa.PublicKey, error) {
	if err := sameTemplate(e.ak, tpmkey.SigningTemplate(true), true); err != nil {
		return nil, isBroken("the attestation key is not a restricted signing key bound to its TPM: %v", err)
	}
	pub, err := tpmkey.Point(e.ak)
	if err != nil {
		return nil, isBroken("the attestation key: %v", err)
	}
	return pub, nil
}
