package enrol

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
)

// Node prepares a node, which must not run, and returns what the operator needs of it; with what the token shows for its keys if evidence
// is wanted. It may be repeated: what is there is kept.
func Node(ctx context.Context, c host.Config, o host.Options, at Place, evidence bool) (e Enrolment, err error) {
	if at.Endpoint != "" {
		if _, err := at.endpoint(); err != nil {
			return e, err
		}
	}
	p, err := host.Prepare(ctx, c, o)
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	e = Enrolment{Version: 3, Cluster: c.Cluster, Node: string(c.Node), Identity: attest.Hex(p.Peer.Identity), Seal: p.Peer.HPKE,
		WitnessKey: p.Peer.WitnessKey, Endpoint: at.Endpoint, Facility: at.Facility}
	if e.CosignKey, err = p.RosterKey(ctx, c.HSM.CosignKey); err != nil {
		return e, err
	}
	if e.AttestKey, err = p.RosterKey(ctx, c.HSM.AttestKey); err != nil {
		return e, err
	}
	if evidence {
		if e.Evidence, err = showEvidence(ctx, p.Tokens, e.basis()); err != nil {
			return e, fault.Doing("ask the token for evidence", err)
		}
	}
	e.Signature, e.WitnessSignature = p.Identity.Sign(e.digest()), p.Identity.SignWitness(e.digest())
	if evidence { // it is for an operator
		p.Record(ctx, "node.enroll", map[string]string{"identity": e.Identity.String(), "endpoint": e.Endpoint})
	}
	return e, nil
}

// showEvidence asks the tokens to show evidence for each key. A token that shows none is no error; one that fails is.
func showEvidence(ctx context.Context, t *host.Tokens, nonce []byte) ([]KeyEvidence, error) {
	var all []KeyEvidence
	for _, key := range t.Keys() {
		k := KeyEvidence{Role: key.Role, KeyID: key.ID}
		if a, ok := hsm.As[hsm.KeyAttester](key.In); ok {
			ev, err := a.AttestKey(ctx, key.ID, nonce)
			switch {
			case key.Role == host.RoleVault && errors.Is(err, hsm.ErrKeyType):
				k.Missing = fmt.Sprintf("tokens of provider %s show evidence for keys that sign, and this one wraps", key.In.Provider())
			case errors.Is(err, hsm.ErrUnsupported):
				k.Missing = fmt.Sprintf("the %s shows none for this key: %v", key.In.Provider(), err)
			case err != nil:
				return nil, err
			default:
				k.Evidence = &ev
			}
		} else {
			k.Missing = fmt.Sprintf("tokens of provider %s show none", key.In.Provider())
		}
		all = append(all, k)
	}
	// What is signed is what will be read: JSON has no bytes that are not UTF-8, which a token's label may have.
	b, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	var read []KeyEvidence
	return read, json.Unmarshal(b, &read)
}
