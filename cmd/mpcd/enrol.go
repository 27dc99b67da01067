package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
)

// enrolment is what a node tells the operator to be put into the roster: public keys, and nothing secret.
type enrolment struct {
	Version   int        `json:"version"`
	Cluster   string     `json:"cluster"`
	Node      string     `json:"node"`
	Identity  attest.Hex `json:"identity"`
	Seal      attest.Hex `json:"seal"`
	CosignKey attest.Hex `json:"cosign_key"`
	AttestKey attest.Hex `json:"attest_key"`
	Endpoint  string     `json:"endpoint,omitempty"`
	Facility  string     `json:"facility,omitempty"`
	// Evidence is what the token shows for its keys, made for this enrolment: its nonce is basis. Version 1 has none.
	Evidence []keyEvidence `json:"evidence,omitempty"`
	// Signature is the identity key's over all of it: the keys were handed out by who holds the identity.
	Signature attest.Hex `json:"signature"`
}

// basis is the hash of everything but the evidence.
func (e enrolment) basis() []byte {
	h := canon.Hash("mpcd/v1/enrolment", []byte(e.Cluster), []byte(e.Node), e.Identity, e.Seal, e.CosignKey, e.AttestKey, []byte(e.Endpoint), []byte(e.Facility))
	return h[:]
}

// digest is what the identity signs.
func (e enrolment) digest() []byte {
	if e.Version == 1 {
		return e.basis()
	}
	h := canon.Hash("mpcd/v1/enrolment/evidence", e.basis(), canon.MustMarshal(e.Evidence))
	return h[:]
}

func (e enrolment) check() error {
	if e.Version != 1 && e.Version != 2 || e.Version == 1 && len(e.Evidence) > 0 {
		return fault.Usage("enrol the node with this version of mpcd", "enrolment of %q has version %d, this program reads 1 and, with evidence, 2", e.Node, e.Version)
	}
	if len(e.Identity) != ed25519.PublicKeySize || !ed25519.Verify(ed25519.PublicKey(e.Identity), e.digest(), e.Signature) {
		return &fault.Error{Code: fault.CodeIntegrity, Err: fmt.Errorf("the enrolment of %q was changed: its signature does not verify", e.Node), Do: "fetch it from the node again"}
	}
	return nil
}

func parseEnrolment(b []byte) (enrolment, error) {
	var e enrolment
	if err := json.Unmarshal(b, &e); err != nil {
		return e, fault.Usage("give the files that `mpcd node enroll` printed", "not an enrolment: %w", err)
	}
	if err := e.check(); err != nil {
		return e, err
	}
	return e, e.checkRoles()
}

// jsonMax is the largest file of JSON that is read, in bytes.
const jsonMax = 1 << 20

func readEnrolment(path string) (enrolment, error) {
	b, err := durable.ReadFile(path, jsonMax)
	if err != nil {
		return enrolment{}, err
	}
	e, err := parseEnrolment(b)
	return e, fault.Doing(path, err)
}

func (e enrolment) member() attest.RosterNode {
	return attest.RosterNode{ID: e.Node, Identity: e.Identity, Seal: e.Seal, CosignKey: e.CosignKey, AttestKey: e.AttestKey, Endpoint: e.Endpoint, Facility: e.Facility}
}

// enrol prepares a node, and returns what the operator needs of it; with what the token shows for its keys if evidence is wanted.
func enrol(ctx context.Context, c host.Config, o host.Options, endpoint, facility string, evidence bool) (e enrolment, err error) {
	p, err := host.Prepare(ctx, c, o)
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	e = enrolment{Version: 1, Cluster: c.Cluster, Node: string(c.Node), Identity: attest.Hex(p.Peer.Identity), Seal: p.Peer.HPKE, Endpoint: endpoint, Facility: facility}
	if e.CosignKey, err = p.RosterKey(ctx, c.HSM.CosignKey); err != nil {
		return e, err
	}
	if e.AttestKey, err = p.RosterKey(ctx, c.HSM.AttestKey); err != nil {
		return e, err
	}
	if evidence {
		e.Version = 2
		if e.Evidence, err = showEvidence(ctx, p.Tokens, e.basis()); err != nil {
			return e, fault.Doing("ask the token for evidence", err)
		}
	}
	e.Signature = p.Identity.Sign(e.digest())
	return e, nil
}
