package enrol

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/attest/appraise"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
)

// KeyEvidence is what an enrolment holds for one key: evidence, or why there is none.
type KeyEvidence struct {
	Role     string           `json:"role"`
	KeyID    string           `json:"key"`
	Evidence *hsm.KeyEvidence `json:"evidence,omitempty"`
	Missing  string           `json:"missing,omitempty"`
}

// checkRoles refuses an enrolment with two pieces of evidence for one key, or one for a key that a node does not have.
func (e Enrolment) checkRoles() error {
	seen := map[string]bool{}
	for _, k := range e.Evidence {
		if seen[k.Role] || !slices.Contains([]string{host.RoleCosign, host.RoleAttest, host.RoleVault}, k.Role) || k.Evidence != nil &&
			k.Missing != "" {
			return &fault.Error{Code: fault.CodeIntegrity,
				Err: fmt.Errorf("the enrolment of %q has evidence for a key %q that is unknown, or twice", e.Node, k.Role), Do: "enrol the node again"}
		}
		seen[k.Role] = true
	}
	return nil
}

// Verdict is the verdict on one key of a node.
type Verdict struct {
	Node string `json:"node"`
	Role string `json:"role"`
	appraise.Verdict
}

// Appraise judges all keys of an enrolment. The error is why the first that is refused is. The vault's key is not in the roster, and
// PKCS#11 shows nothing for it, so that missing evidence for it is only told.
func (e Enrolment) Appraise(p appraise.Policy, at time.Time, bindings []appraise.Binding) ([]Verdict, error) {
	var all []Verdict
	var first error
	for _, role := range []string{host.RoleCosign, host.RoleAttest, host.RoleVault} {
		v, err := e.appraiseKey(role, p, at, bindings)
		all = append(all, Verdict{e.Node, role, v})
		if err != nil && first == nil {
			first = refusal(e.Node, role, v, err)
		}
	}
	return all, first
}

func (e Enrolment) appraiseKey(role string, p appraise.Policy, at time.Time, bindings []appraise.Binding) (appraise.Verdict, error) {
	k := KeyEvidence{Role: role, Missing: "the enrolment holds none; enrol the node with this version of mpcd"}
	if i := slices.IndexFunc(e.Evidence, func(k KeyEvidence) bool { return k.Role == role }); i >= 0 {
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
