package enrol

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
)

// Enrolment is what a node tells the operator to be put into the roster: public keys, and nothing secret.
type Enrolment struct {
	Version   int        `json:"version"`
	Cluster   string     `json:"cluster"`
	Node      string     `json:"node"`
	Identity  attest.Hex `json:"identity"`
	Seal      attest.Hex `json:"seal"`
	CosignKey attest.Hex `json:"cosign_key"`
	AttestKey attest.Hex `json:"attest_key"`
	// WitnessKey is the node's ML-DSA-44 key. Versions 1 and 2 have none.
	WitnessKey attest.Hex `json:"witness_key,omitempty"`
	Endpoint   string     `json:"endpoint,omitempty"`
	Facility   string     `json:"facility,omitempty"`
	// Evidence is what the token shows for its keys, made for this enrolment: its nonce is basis. Version 1 has none.
	Evidence []KeyEvidence `json:"evidence,omitempty"`
	// Signature is the identity key's over all of it: the keys were handed out by who holds the identity. WitnessSignature is the witness
	// key's over the same: who handed it out has it.
	Signature        attest.Hex `json:"signature"`
	WitnessSignature attest.Hex `json:"witness_signature,omitempty"`
}

// basis is the hash of everything but the evidence.
func (e Enrolment) basis() []byte {
	fields := [][]byte{[]byte(e.Cluster), []byte(e.Node), e.Identity, e.Seal, e.CosignKey, e.AttestKey, []byte(e.Endpoint), []byte(e.Facility)}
	if e.Version > 2 {
		fields = append(fields, e.WitnessKey) // the hash counts its fields
	}
	h := canon.Hash("mpcd/v1/enrolment", fields...)
	return h[:]
}

// digest is what the identity signs, and the witness key.
func (e Enrolment) digest() []byte {
	if e.Version == 1 {
		return e.basis()
	}
	h := canon.Hash("mpcd/v1/enrolment/evidence", e.basis(), canon.MustMarshal(e.Evidence))
	return h[:]
}

func (e Enrolment) check() error {
	switch {
	case e.Version < 1 || e.Version > 3 || e.Version == 1 && len(e.Evidence) > 0:
		return fault.Usage("enrol the node with this version of mpcd",
			"enrolment of %q has version %d, this program reads 1, 2 with evidence, and 3 with a witness key", e.Node, e.Version)
	case len(e.Identity) != ed25519.PublicKeySize || !ed25519.Verify(ed25519.PublicKey(e.Identity), e.digest(), e.Signature):
		return e.changed("its signature does not verify")
	case e.Version < 3 && len(e.WitnessKey)+len(e.WitnessSignature) > 0:
		return e.changed("it has a witness key, which nobody has signed")
	case e.Version == 3 && transport.VerifyWitness(e.WitnessKey, e.digest(), e.WitnessSignature) != nil:
		return e.changed("its witness key has not signed it")
	}
	return nil
}

func (e Enrolment) changed(why string) error {
	return &fault.Error{Code: fault.CodeIntegrity, Err: fmt.Errorf("the enrolment of %q was changed: %s", e.Node, why),
		Do: "fetch it from the node again"}
}

// ParseEnrolment reads an enrolment and checks that its identity signed it.
func ParseEnrolment(b []byte) (Enrolment, error) {
	var e Enrolment
	if err := json.Unmarshal(b, &e); err != nil {
		return e, fault.Usage("give the files that `mpcd node enroll` printed", "not an enrolment: %w", err)
	}
	if err := e.check(); err != nil {
		return e, err
	}
	return e, e.checkRoles()
}

// ReadEnrolment reads the file of one.
func ReadEnrolment(path string) (Enrolment, error) {
	b, err := durable.ReadFile(path, jsonMax)
	if err != nil {
		return Enrolment{}, err
	}
	e, err := ParseEnrolment(b)
	return e, fault.Doing(path, err)
}

func (e Enrolment) member() attest.RosterNode {
	return attest.RosterNode{ID: e.Node, Identity: e.Identity, Seal: e.Seal, CosignKey: e.CosignKey, AttestKey: e.AttestKey,
		WitnessKey: e.WitnessKey, Endpoint: e.Endpoint, Facility: e.Facility}
}
