package appraise

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/hsm"
)

// Goal: policies are what their names say, and an empty one is strict. Method: name them; appraise a good report and a proof by each.
func TestPolicies(t *testing.T) {
	for _, name := range PolicyNames {
		if p, err := Named(name); err != nil || p.Name != name {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if _, err := Named("none"); err == nil || !strings.Contains(err.Error(), "hardware") {
		t.Errorf("an unknown policy: %v", err)
	}
	f := newForge(t)
	proof, rep := f.evidence(), report(t, hsm.EvidencePKCS11, "attributes", goodAttributes, nil)
	software := rep
	software.Token.SoftwareOnly = true
	pkcs11Only := func(p Policy) Policy { p.Formats = []string{hsm.EvidencePKCS11}; return p }
	for name, c := range map[string]struct {
		ev   hsm.KeyEvidence
		p    Policy
		want Level
	}{
		"a report for an empty policy":         {rep, Policy{}, Refused},
		"a proof for an empty policy":          {proof, Policy{}, Refused},
		"a proof for one with roots":           {proof, f.trust(Policy{}), Proven},
		"a proof that is not accepted":         {proof, pkcs11Only(f.trust(Any())), Refused},
		"a report that is accepted":            {rep, pkcs11Only(Hardware()), Reported},
		"a report for proof":                   {rep, f.trust(Proof()), Refused},
		"a proof for hardware":                 {proof, f.trust(Hardware()), Proven},
		"a report of software, least software": {software, Policy{Least: Software, Software: true}, Software},
		"the same, least reported":             {software, Policy{Least: Reported, Software: true}, Refused},
	} {
		v, err := Appraise(c.ev, subjectOf(t, c.ev, "nonce"), c.p)
		if v.Level != c.want || errors.Is(err, ErrPolicy) != (c.want == Refused) {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

// Goal: no evidence passes under the policy any alone, and is told. Method: each policy.
func TestMissing(t *testing.T) {
	for _, p := range []Policy{Any(), Hardware(), Proof(), {}} {
		v, err := Missing("k", hsm.KeyP256, "the token shows none", p)
		if (p.Name == "any") != (err == nil) || !says(v, "the token shows none") ||
			(err == nil) != (v.Level == None) || err != nil && !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %+v, %v", p.Name, v, err)
		}
	}
}

// Goal: a subject that nothing can be held against is the caller's mistake. Method: no time; a long nonce.
func TestSubject(t *testing.T) {
	ev := newForge(t).evidence()
	s := subjectOf(t, ev, "nonce")
	for _, change := range []func(*Subject){func(s *Subject) { s.At = time.Time{} }, func(s *Subject) { s.Nonce = make([]byte, 33) }} {
		s := s
		change(&s)
		if v, err := Appraise(ev, s, Any()); err == nil || errors.Is(err, ErrBroken) || v.KeyID != "" {
			t.Errorf("%+v, %v", v, err)
		}
	}
}

// Goal: what is broken is told before what the policy wants, and a verdict reads well. Method: a verdict with both; its JSON.
func TestVerdict(t *testing.T) {
	v := Verdict{KeyID: "a\x1bb", Problems: []Problem{{Fact: "caution"}, {Fact: "policy", Refuses: true},
		{Fact: "bytes", Refuses: true, Broken: true}}}
	if err := v.Err(); !errors.Is(err, ErrBroken) || strings.Contains(err.Error(), "\x1b") || !strings.HasSuffix(err.Error(), "bytes") {
		t.Errorf("%v", err)
	}
	b, err := json.Marshal(Verdict{Level: Proven})
	if err != nil || !strings.Contains(string(b), `"level":"proven"`) {
		t.Errorf("%s, %v", b, err)
	}
	if Level(9).String() != "level 9" || quoted(strings.Repeat("x", 100)) != `"`+strings.Repeat("x", 80)+`"…` {
		t.Error("an unknown level, or a long text")
	}
}

// Goal: a file of roots holds certificates, one of them self-signed, and nothing else. Method: each wrong file.
func TestRoots(t *testing.T) {
	f := newForge(t)
	ev := f.evidence()
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	leaf := block("CERTIFICATE", ev.Certificates[0])
	// Its issuer has its name, but signed with another key than its own.
	namesake := must1(x509.CreateCertificate(rand.Reader, f.authority, f.authority, &f.own.PublicKey, f.root))
	for name, text := range map[string]string{
		"a namesake's": block("CERTIFICATE", namesake), "empty": "", "text": "hello", "a key": block("PRIVATE KEY", []byte{1}),
		"no certificate": block("CERTIFICATE", []byte{1}), "none self-signed": leaf, "text behind": leaf + "hello",
		"too many": strings.Repeat(leaf, rootsMax+1),
	} {
		if r, err := ParseRoots([]byte(text)); err == nil {
			t.Errorf("%s: %d roots", name, r.Len())
		}
	}
	if r := f.trust(Any()).TPM; r.Len() != 1 {
		t.Errorf("%d roots", r.Len())
	}
}
