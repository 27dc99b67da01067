package enrol

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/attest/appraise"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/parts/swtpm"
)

// tpmNode is a node whose token is a TPM of its own, with an operator, and what the TPM answered.
type tpmNode struct {
	c        host.Config
	e        Enrolment
	operator *Operator
	answer   Answer
	roots    *appraise.Roots
}

// theTPMNode is made once: its TPM is stopped, what it showed stays.
var theTPMNode = sync.OnceValues(func() (n tpmNode, err error) {
	dir, err := os.MkdirTemp("", "tpm")
	if err != nil {
		return n, err
	}
	defer os.RemoveAll(dir)
	s, err := swtpm.Start(dir)
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	cas, err := swtpm.CA()
	if err != nil {
		return n, err
	}
	if n.roots, err = appraise.NewRoots(cas...); err != nil {
		return n, err
	}
	n.c = host.TokenOnly(s.URI())
	n.c.Cluster, n.c.Node, n.c.DataDir, n.c.Password.Provider = "c", "n1", filepath.Join(dir, "data"), "hsm"
	ctx := context.Background()
	if n.e, err = Node(ctx, n.c, host.Options{}, Place{Endpoint: "https://n1"}, true); err != nil {
		return n, err
	}
	if n.operator, err = NewOperator(filepath.Join(dir, "operator"), "c"); err != nil {
		return n, err
	}
	ch, err := n.operator.Challenge(rand.Reader, n.e)
	if err != nil {
		return n, err
	}
	n.answer, err = Respond(ctx, n.c, host.Options{}, ch)
	return n, err
})

func (n tpmNode) policy() appraise.Policy {
	p := appraise.Proof()
	p.TPM, p.Software = n.roots, true
	return p
}

// resigned is a stranger's enrolment: what he changes, he signs with an identity of his own.
func resigned(t *testing.T, e Enrolment, change func(*Enrolment)) Enrolment {
	t.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var out Enrolment
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	id, peer, err := transport.NewIdentity("n", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	out.Identity, out.WitnessKey = attest.Hex(peer.Identity), peer.WitnessKey
	change(&out)
	out.Signature, out.WitnessSignature = id.Sign(out.digest()), id.SignWitness(out.digest())
	if err := out.check(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Goal: nobody enrols with the evidence of another, or with yesterday's: his signature is good, his evidence is not. Method: take over
// the enrolment of a node with a TPM, with an identity of one's own, and repair it step by step.
func TestReplayedEvidence(t *testing.T) {
	n, err := theTPMNode()
	if err != nil {
		t.Fatal(err)
	}
	bindings, err := n.answer.bindings(n.operator.Root(), n.e)
	if err != nil {
		t.Fatal(err)
	}
	all, err := n.e.Appraise(n.policy(), time.Now(), bindings)
	if err != nil || len(all) != 3 || all[0].Level != appraise.Proven || all[1].Level != appraise.Proven || all[2].Level != appraise.Proven {
		t.Fatalf("%+v, %v", all, err)
	}
	soft, err := Node(t.Context(), testNode(t, "soft"), host.Options{}, Place{}, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Enrolment)
		words  string
	}{
		"as it is":      {func(e *Enrolment) {}, "another enrolment"},
		"another node":  {func(e *Enrolment) { e.Node = "n2" }, "another enrolment"},
		"the new nonce": {func(e *Enrolment) { renonce(e) }, "the TPM signed it for another enrolment"},
		"software keys": {func(e *Enrolment) { e.CosignKey, e.AttestKey = soft.CosignKey, soft.AttestKey; renonce(e) }, "another public key"},
		"software keys, and their names": {func(e *Enrolment) {
			e.CosignKey, e.AttestKey = soft.CosignKey, soft.AttestKey
			e.Evidence[0].Evidence.PublicKey, e.Evidence[1].Evidence.PublicKey = soft.CosignKey, soft.AttestKey
			renonce(e)
		}, "another enrolment"},
		"one key for another": {func(e *Enrolment) {
			e.Evidence[0].Evidence, e.Evidence[1].Evidence = e.Evidence[1].Evidence, e.Evidence[0].Evidence
			renonce(e)
		}, "another public key"},
		"the vault's key": {func(e *Enrolment) { e.Evidence[0].Evidence = e.Evidence[2].Evidence; renonce(e) }, "of type"},
	} {
		e := resigned(t, n.e, c.change)
		for _, p := range []appraise.Policy{n.policy(), appraise.Any()} {
			_, err := e.Appraise(p, time.Now(), bindings)
			if !errors.Is(err, appraise.ErrBroken) || codeOf(err) != fault.CodeIntegrity || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	none := resigned(t, n.e, func(e *Enrolment) { e.Evidence = nil })
	for _, p := range []appraise.Policy{n.policy(), appraise.Hardware()} {
		if _, err := none.Appraise(p, time.Now(), bindings); !errors.Is(err, appraise.ErrPolicy) || codeOf(err) != fault.CodeDenied {
			t.Errorf("no evidence, policy %s: %v", p.Name, err)
		}
	}
	if all, err := none.Appraise(appraise.Any(), time.Now(), nil); err != nil || all[0].Level != appraise.None {
		t.Errorf("no evidence, policy any: %+v, %v", all, err)
	}
}

func renonce(e *Enrolment) {
	for _, k := range e.Evidence {
		k.Evidence.Nonce = e.basis()
	}
}

// Goal: the evidence is under the enrolment's signature, and so is that there is none. Method: change, drop and add; claim the version
// without evidence.
func TestEvidenceIsSigned(t *testing.T) {
	n, err := theTPMNode()
	if err != nil {
		t.Fatal(err)
	}
	if n.e.Version != 3 || n.e.check() != nil || len(n.answer.Answers) != 1 {
		t.Fatalf("%+v", n.e)
	}
	for name, change := range map[string]func(*Enrolment){
		"statement":     func(e *Enrolment) { e.Evidence[0].Evidence.Statement[20] ^= 1 },
		"token":         func(e *Enrolment) { e.Evidence[0].Evidence.Token.SoftwareOnly = false },
		"extra":         func(e *Enrolment) { e.Evidence[0].Evidence.Extra["x"] = nil },
		"dropped":       func(e *Enrolment) { e.Evidence = e.Evidence[1:] },
		"none":          func(e *Enrolment) { e.Evidence = nil },
		"role":          func(e *Enrolment) { e.Evidence[0].Role = host.RoleVault },
		"missing":       func(e *Enrolment) { e.Evidence[0].Missing = "x" },
		"key ID":        func(e *Enrolment) { e.Evidence[0].KeyID = "x" },
		"version":       func(e *Enrolment) { e.Version = 1 },
		"old, and none": func(e *Enrolment) { e.Version, e.Evidence = 1, nil },
		"before":        func(e *Enrolment) { e.Version = 2 },
		"newer":         func(e *Enrolment) { e.Version = 4 },
	} {
		bad := resigned(t, n.e, func(*Enrolment) {})
		bad.Identity, bad.Signature, bad.WitnessKey, bad.WitnessSignature = n.e.Identity, n.e.Signature, n.e.WitnessKey, n.e.WitnessSignature
		if err := bad.check(); err != nil {
			t.Fatal(err)
		}
		change(&bad)
		if bad.check() == nil {
			t.Errorf("changed %s passes", name)
		}
	}
	for name, change := range map[string]func(*Enrolment){
		"twice":    func(e *Enrolment) { e.Evidence[1].Role = host.RoleCosign },
		"unknown":  func(e *Enrolment) { e.Evidence[1].Role = "root" },
		"and none": func(e *Enrolment) { e.Evidence[1].Missing = "x" },
	} {
		b, err := json.Marshal(resigned(t, n.e, change))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseEnrolment(b); err == nil || codeOf(err) != fault.CodeIntegrity {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goal: an answer is the one to a challenge of this operator, for this enrolment. Method: exchange, change, drop and repeat its parts.
func TestAnswerIsBound(t *testing.T) {
	n, err := theTPMNode()
	if err != nil {
		t.Fatal(err)
	}
	root := n.operator.Root()
	other, err := NewOperator(filepath.Join(t.TempDir(), "o"), "c")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Answer){
		"the secret":         func(a *Answer) { a.Answers[0][5] ^= 1 },
		"no answer":          func(a *Answer) { a.Answers = nil },
		"one too many":       func(a *Answer) { a.Answers = append(a.Answers, a.Answers[0]) },
		"the expected hash":  func(a *Answer) { a.Challenge.Tokens[0].Expected.Answer[0] ^= 1 },
		"the TPM":            func(a *Answer) { a.Challenge.Tokens[0].Expected.AK[0] ^= 1 },
		"its endorsement":    func(a *Answer) { a.Challenge.Tokens[0].Expected.EK[0] ^= 1 },
		"the challenge":      func(a *Answer) { a.Challenge.Tokens[0].Challenge[9] ^= 1 },
		"no token":           func(a *Answer) { a.Challenge.Tokens, a.Answers = nil, nil },
		"the node":           func(a *Answer) { a.Challenge.Node = "n2" },
		"the cluster":        func(a *Answer) { a.Challenge.Cluster = "d" },
		"the enrolment":      func(a *Answer) { a.Challenge.Enrolment[0] ^= 1 },
		"the version":        func(a *Answer) { a.Challenge.Version = 2 },
		"the operator":       func(a *Answer) { resign(&a.Challenge, other) },
		"another enrolment":  func(a *Answer) { a.Challenge.Enrolment[0] ^= 1; resign(&a.Challenge, n.operator) },
		"a node's name only": func(a *Answer) { a.Challenge.Node = "n2"; resign(&a.Challenge, n.operator) },
	} {
		b, err := json.Marshal(n.answer)
		if err != nil {
			t.Fatal(err)
		}
		var a Answer
		if err := json.Unmarshal(b, &a); err != nil {
			t.Fatal(err)
		}
		if _, err := a.bindings(root, n.e); err != nil {
			t.Fatal(err)
		}
		change(&a)
		if _, err := a.bindings(root, n.e); err == nil {
			t.Errorf("%s changed: it binds", name)
		}
	}
}

func resign(c *Challenge, a *Operator) {
	c.Root = attest.Hex(a.Root())
	c.Signature = ed25519.Sign(a.root, c.digest())
}

// Goal: one challenge serves all keys of a TPM, tokens that are none get none, and a cluster's operator challenges its nodes alone.
// Method: two evidences of one TPM, a token beside it, another cluster.
func TestChallengeTokens(t *testing.T) {
	n, err := theTPMNode()
	if err != nil {
		t.Fatal(err)
	}
	e := resigned(t, n.e, func(e *Enrolment) { e.Evidence[2].Evidence.Format = hsm.EvidencePKCS11 })
	c, err := n.operator.Challenge(rand.Reader, e)
	if err != nil || len(c.Tokens) != 1 || c.Check(n.operator.Root()) != nil {
		t.Errorf("%d challenges, %v", len(c.Tokens), err)
	}
	if again, err := n.operator.Challenge(rand.Reader, e); err != nil || bytes.Equal(again.Tokens[0].Challenge, c.Tokens[0].Challenge) ||
		again.Tokens[0].Expected == c.Tokens[0].Expected {
		t.Errorf("the same challenge twice: %v", err)
	}
	if _, err := n.operator.Challenge(rand.Reader, resigned(t, n.e, func(e *Enrolment) { e.Cluster = "d" })); err == nil {
		t.Error("a node of another cluster is challenged")
	}
	if _, err := n.operator.Challenge(rand.Reader, resigned(t, n.e, func(e *Enrolment) { e.Evidence = nil })); err == nil {
		t.Error("a node without evidence is challenged")
	}
}

// Goal: enrolments of the version before evidence are still read, and pass under the policy any alone. Method: one that was kept.
func TestEnrolmentBeforeEvidence(t *testing.T) {
	e, err := ReadEnrolment("testdata/enrolment_v1.json")
	if err != nil {
		t.Fatal(err)
	}
	if all, err := e.Appraise(appraise.Any(), time.Now(), nil); err != nil || all[0].Level != appraise.None {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := e.Appraise(appraise.Hardware(), time.Now(), nil); !errors.Is(err, appraise.ErrPolicy) {
		t.Errorf("%v", err)
	}
	e.Evidence = []KeyEvidence{{Role: host.RoleCosign}}
	if e.check() == nil {
		t.Error("evidence that nobody signed passes")
	}
}

// Goal: a token that shows nothing for the vault's key, as PKCS#11, is no reason to refuse; one that shows too little is. Method:
// drop the evidence; change it.
func TestVaultEvidence(t *testing.T) {
	n, err := theTPMNode()
	if err != nil {
		t.Fatal(err)
	}
	bindings, err := n.answer.bindings(n.operator.Root(), n.e)
	if err != nil {
		t.Fatal(err)
	}
	e := n.e
	e.Evidence = slices.Clone(e.Evidence)
	shown := *e.Evidence[2].Evidence
	e.Evidence[2] = KeyEvidence{Role: host.RoleVault, Missing: "none"}
	if all, err := e.Appraise(n.policy(), time.Now(), bindings); err != nil || all[2].Level != appraise.None {
		t.Errorf("%+v, %v", all, err)
	}
	shown.Certificates = nil
	e.Evidence[2] = KeyEvidence{Role: host.RoleVault, Evidence: &shown}
	if all, err := e.Appraise(n.policy(), time.Now(), bindings); !errors.Is(err, appraise.ErrPolicy) || all[0].Level != appraise.Proven ||
		all[2].Level != appraise.Refused {
		t.Errorf("%+v, %v", all, err)
	}
}

// Goal: what a stranger sends as an answer or a judgement never panics, and binds nothing. Method: fuzz both readers, from good ones.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"challenge":{"version":1,"tokens":[{"challenge":"0x00","expected":{"ak":"0x00"}}]},"answers":["0x00"]}`))
	f.Add([]byte(`{"enrolment":{"version":2,"evidence":[{"role":"cosign","evidence":{"format":"tpm2-certify"}}]}}`))
	root := make(ed25519.PublicKey, 32)
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var a Answer
		if readJSON(path, &a) == nil {
			if got, err := a.bindings(root, Enrolment{}); err == nil {
				t.Errorf("%d bindings", len(got))
			}
		}
		if j, err := ReadJudgement(path); err == nil && j.Enrolment.check() != nil {
			t.Error("taken without a check")
		}
	})
}
