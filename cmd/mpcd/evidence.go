package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/attest/appraise"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
)

// keyEvidence is what an enrolment holds for one key: evidence, or why there is none.
type keyEvidence struct {
	Role     string           `json:"role"`
	KeyID    string           `json:"key"`
	Evidence *hsm.KeyEvidence `json:"evidence,omitempty"`
	Missing  string           `json:"missing,omitempty"`
}

// showEvidence asks the tokens to show evidence for each key. A token that shows none is no error; one that fails is.
func showEvidence(ctx context.Context, t *host.Tokens, nonce []byte) ([]keyEvidence, error) {
	var all []keyEvidence
	for _, key := range t.Keys() {
		k := keyEvidence{Role: key.Role, KeyID: key.ID}
		if a, ok := hsm.As[hsm.KeyAttester](key.In); ok {
			ev, err := a.AttestKey(ctx, key.ID, nonce)
			switch {
			case errors.Is(err, hsm.ErrUnsupported), key.Role == host.RoleVault && errors.Is(err, hsm.ErrKeyType):
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
	var read []keyEvidence
	return read, json.Unmarshal(b, &read)
}

// checkRoles refuses an enrolment with two pieces of evidence for one key, or one for a key that a node does not have.
func (e enrolment) checkRoles() error {
	seen := map[string]bool{}
	for _, k := range e.Evidence {
		if seen[k.Role] || !slices.Contains([]string{host.RoleCosign, host.RoleAttest, host.RoleVault}, k.Role) || k.Evidence != nil && k.Missing != "" {
			return &fault.Error{Code: fault.CodeIntegrity, Err: fmt.Errorf("the enrolment of %q has evidence for a key %q that is unknown, or twice", e.Node, k.Role), Do: "enrol the node again"}
		}
		seen[k.Role] = true
	}
	return nil
}

// keyVerdict is the verdict on one key of a node.
type keyVerdict struct {
	Node string `json:"node"`
	Role string `json:"role"`
	appraise.Verdict
}

// appraise judges all keys of an enrolment. The error is why the first that is refused is. The vault's key is not in the roster, and
// PKCS#11 shows nothing for it, so that missing evidence for it is only told.
func (e enrolment) appraise(p appraise.Policy, at time.Time, bindings []appraise.Binding) ([]keyVerdict, error) {
	var all []keyVerdict
	var first error
	for _, role := range []string{host.RoleCosign, host.RoleAttest, host.RoleVault} {
		v, err := e.appraiseKey(role, p, at, bindings)
		all = append(all, keyVerdict{e.Node, role, v})
		if err != nil && first == nil {
			first = refusal(e.Node, role, v, err)
		}
	}
	return all, first
}

func (e enrolment) appraiseKey(role string, p appraise.Policy, at time.Time, bindings []appraise.Binding) (appraise.Verdict, error) {
	k := keyEvidence{Role: role, Missing: "the enrolment holds none; enrol the node with this version of mpcd"}
	if i := slices.IndexFunc(e.Evidence, func(k keyEvidence) bool { return k.Role == role }); i >= 0 {
		k = e.Evidence[i]
	}
	subject := appraise.Subject{Type: hsm.KeyAESWrap, Nonce: e.basis(), At: at, Bindings: bindings}
	if role != host.RoleVault {
		subject.PublicKey = map[string]attest.Hex{host.RoleCosign: e.CosignKey, host.RoleAttest: e.AttestKey}[role]
		pub, err := attest.ParsePublicKey(subject.PublicKey)
		if err != nil {
			return appraise.Verdict{KeyID: k.KeyID, Policy: p.Name}, err
		}
		subject.Type = hsm.TypeOf(pub)
	}
	if k.Evidence == nil {
		if role == host.RoleVault {
			p.Least = appraise.None
		}
		return appraise.Missing(k.KeyID, subject.Type, k.Missing, p)
	}
	return appraise.Appraise(*k.Evidence, subject, p)
}

// refusal is a refused key as a fault.
func refusal(node, role string, v appraise.Verdict, err error) error {
	f := &fault.Error{Code: fault.CodeDenied, What: fmt.Sprintf("key %s of node %q", role, node), Err: err, Do: "enrol the node again"}
	if errors.Is(err, appraise.ErrBroken) {
		f.Code = fault.CodeIntegrity
	}
	if r := v.Refusal(); r != nil {
		f.Do = r.Next
	}
	return f
}

// printFindings writes a row for each key.
func printFindings(w io.Writer, all []keyVerdict) {
	row(w, "NODE", "KEY", "EVIDENCE", "OF", "TOKEN")
	for _, f := range all {
		token, of := "", f.Format
		if f.Software {
			token = "SOFTWARE"
		}
		if of == "" {
			of = "-"
		}
		row(w, f.Node, f.Role, f.Level, of, token)
	}
}

// explainFindings writes what is proven and what is reported of each key, apart.
func explainFindings(w io.Writer, all []keyVerdict) {
	for _, f := range all {
		row(w)
		row(w, fmt.Sprintf("%s, key %s (%s): %s", f.Node, f.Role, f.Type, f.Level))
		for _, x := range f.Proven {
			row(w, "  proven:   "+string(x))
		}
		for _, x := range f.Reported {
			row(w, "  reported: "+string(x))
		}
		for _, x := range f.Problems {
			row(w, "  problem:  "+x.Fact)
			row(w, "    do:     "+x.Next)
		}
	}
}

// warnings are what stands against the keys: what is no hardware, and what is missing.
func warnings(o *output, all []keyVerdict) {
	for _, f := range all {
		for _, x := range f.Problems {
			o.note("warning: node %q, key %s (%s): %s; %s", f.Node, f.Role, f.Level, x.Fact, x.Next)
		}
	}
}
