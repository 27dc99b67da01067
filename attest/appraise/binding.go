package appraise

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
)

// challengeSecret is the length of a challenge's secret, in bytes, as package hsm/tpm has it.
const challengeSecret = 32

// Expected is what an appraiser keeps of a challenge: which keys of a TPM it was for, and the hash of the answer. It is not secret, since
// the answer is 32 random bytes; whoever can change it decides what is believed.
type Expected struct {
	AK     attest.Hash `cbor:"1,keyasint" json:"ak"`            // SHA-256 of the attestation key's TPM2B_PUBLIC
	EK     attest.Hash `cbor:"2,keyasint" json:"ek"`            // SHA-256 of the endorsement key's
	Answer attest.Hash `cbor:"3,keyasint" json:"answer_sha256"` // under a tag of its own
}

// Expect notes a challenge (made with package hsm/tpm) to the TPM of the evidence, and its secret of 32 bytes.
func Expect(ev hsm.KeyEvidence, secret []byte) (Expected, error) {
	if len(secret) != challengeSecret {
		return Expected{}, fmt.Errorf("appraise: the secret of a challenge has %d bytes, not %d", len(secret), challengeSecret)
	}
	ak, ek, err := pairOf(ev)
	return Expected{AK: ak, EK: ek, Answer: answerHash(secret)}, err
}

// Check compares the answer, in constant time. ErrBroken if it is another.
func (e Expected) Check(answer []byte) (Binding, error) {
	h := answerHash(answer)
	if subtle.ConstantTimeCompare(h[:], e.Answer[:]) != 1 {
		return Binding{}, fmt.Errorf("appraise: %w: the answer is not the challenge's secret", ErrBroken)
	}
	return Binding{ak: e.AK, ek: e.EK}, nil
}

// Binding says that an attestation key and an endorsement key are in one TPM, as Expected.Check found. The zero value binds nothing.
type Binding struct{ ak, ek attest.Hash }

func (b Binding) of(ev hsm.KeyEvidence) bool {
	ak, ek, err := pairOf(ev)
	return err == nil && b == Binding{ak, ek}
}

// SameTPM tells whether two pieces of evidence are by the same attestation key and endorsement key, so that one challenge serves both.
func SameTPM(a, b hsm.KeyEvidence) bool {
	ak, ek, err := pairOf(a)
	return err == nil && Binding{ak, ek}.of(b)
}

// pairOf names the TPM that evidence is from.
func pairOf(ev hsm.KeyEvidence) (ak, ek attest.Hash, err error) {
	if ev.Format != hsm.EvidenceTPM || len(ev.Extra[extraAK]) == 0 || len(ev.Extra[extraEK]) == 0 {
		return ak, ek, errors.New("appraise: not evidence of a TPM")
	}
	return sha256.Sum256(ev.Extra[extraAK]), sha256.Sum256(ev.Extra[extraEK]), nil
}

func answerHash(secret []byte) attest.Hash {
	return canon.Hash("mpcd/v1/appraise/answer", secret)
}
