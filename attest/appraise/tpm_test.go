package appraise

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/tpmkey"
)

// says tells whether a problem of the verdict has the words.
func says(v Verdict, words string) bool {
	for _, p := range v.Problems {
		if strings.Contains(p.Fact, words) && p.Next != "" {
			return true
		}
	}
	return false
}

// Goal: what a TPM proves is proven, and the policy "proof" takes it. Method: a forged TPM that does all as it should.
func TestForgedTPM(t *testing.T) {
	f := newForge(t)
	ev := f.evidence()
	v, err := Appraise(ev, subjectOf(t, ev, "nonce"), f.trust(Proof()))
	if err != nil || v.Level != Proven || len(v.Proven) != 5 || len(v.Problems) != 0 || len(v.Reported) != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	if all := fmt.Sprint(v.Proven); !strings.Contains(all, `TPM "id:49465800" "SLB 9670" version "id:0713"`) ||
		!strings.Contains(all, `leads to "CN=maker"`) || !strings.Contains(all, "fixedTPM") {
		t.Errorf("facts %s", all)
	}
}

// Goal: every check of a TPM's statement is made: what is not as it should be is broken, under every policy. Method: a forged TPM that
// signs one wrong thing at a time.
func TestTPMChecks(t *testing.T) {
	other := newKey(t)
	for name, c := range map[string]struct {
		change func(*forge)
		words  string
	}{
		"magic":              {func(f *forge) { f.statement.Magic = 0x12345678 }, "statement"},
		"a quote":            {func(f *forge) { f.statement.Type = tpm2.TPMSTAttestQuote }, "certifies no key"},
		"another nonce":      {func(f *forge) { f.nonce = []byte("yesterday") }, "another enrolment"},
		"a nonce not signed": {func(f *forge) { f.signed = []byte("yesterday") }, "the TPM signed it for another enrolment"},
		"a longer statement": {func(f *forge) { f.tail = []byte{0} }, "not the encoding"},
		"another name":       {func(f *forge) { f.name = func(b []byte) []byte { b[5] ^= 1; return b } }, "about another key"},
		"a short name":       {func(f *forge) { f.name = func(b []byte) []byte { return b[:2] } }, "about another key"},
		"another signer":     {func(f *forge) { f.signs = other }, "did not sign"},
		"another key":        {func(f *forge) { f.shows = other }, "certified another public key"},
		"certifies itself":   {func(f *forge) { f.key, f.own, f.shows = f.ak, f.akKey, f.akKey }, "certified itself"},
		"another endorser":   {func(f *forge) { f.certs = other }, "certificate is of another key"},
		"a key of another curve": {func(f *forge) {
			f.key.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP384,
				Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA,
					&tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})}})
		}, "curve, scheme or policy"},
		"a key of any scheme": {func(f *forge) {
			f.key.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256})
		}, "curve, scheme or policy"},
		"a policy on the key":   {func(f *forge) { f.key.AuthPolicy = tpm2.TPM2BDigest{Buffer: make([]byte, 32)} }, "curve, scheme or policy"},
		"a policy on the AK":    {func(f *forge) { f.ak.AuthPolicy = tpm2.TPM2BDigest{Buffer: make([]byte, 32)} }, "attestation key"},
		"an EK without policy":  {func(f *forge) { f.ek.AuthPolicy = tpm2.TPM2BDigest{} }, "endorsement key"},
		"another hash of names": {func(f *forge) { f.key.NameAlg = tpm2.TPMAlgSHA384 }, "name is not SHA-256"},
		"a point off the curve": {func(f *forge) {
			f.ak.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: []byte{1}}})
		}, "attestation key"},
		"an AK that decrypts":    {func(f *forge) { f.ak = withPoint(tpm2.ECCSRKTemplate, f.akKey) }, "attestation key"},
		"a signing key as EK":    {func(f *forge) { f.ek = withPoint(tpmkey.SigningTemplate(false), f.ekKey) }, "endorsement key"},
		"an unrestricted AK":     {func(f *forge) { f.ak.ObjectAttributes.Restricted = false }, "restricted is false"},
		"a signing wrapping key": {func(f *forge) { f.key.ObjectAttributes.Decrypt = true }, "decrypt is true"},
	} {
		f := newForge(t)
		c.change(f)
		ev := f.evidence()
		v, err := Appraise(ev, subjectOf(t, ev, "nonce"), f.trust(Any()))
		if !errors.Is(err, ErrBroken) || v.Level != Refused || !says(v, c.words) || len(v.Proven)+len(v.Reported) > 0 {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

// Goal: a key or an attestation key with another attribute is refused, and the attribute named; only noDA is free. Method: flip each bit.
func TestTPMAttributes(t *testing.T) {
	for _, a := range attributes {
		for _, which := range []string{"key", "ak", "ek"} {
			f := newForge(t)
			p := map[string]*tpm2.TPMTPublic{"key": &f.key, "ak": &f.ak, "ek": &f.ek}[which]
			b := tpm2.Marshal(*p)
			b[7-a.bit/8] ^= 1 << (a.bit % 8) // type, name algorithm, attributes
			changed, err := tpm2.Unmarshal[tpm2.TPMTPublic](b)
			must(t, err)
			*p = *changed
			ev := f.evidence()
			v, err := Appraise(ev, subjectOf(t, ev, "nonce"), f.trust(Proof()))
			if a.name == "noDA" && which != "ek" {
				if err != nil || v.Level != Proven {
					t.Errorf("%s, noDA: %v", which, err)
				}
				continue
			}
			if !errors.Is(err, ErrBroken) || !says(v, a.name+" is ") {
				t.Errorf("%s, %s: %+v, %v", which, a.name, v, err)
			}
		}
	}
}

// Goal: nothing is proven without a certificate of an endorsement key that leads to a root and is bound to the attestation key; the
// policies hardware and any then say what is missing. Method: take one thing away.
func TestTPMNotProven(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*forge, *hsm.KeyEvidence, *Subject, *Policy)
		make   func(*forge)
		words  string
	}{
		"no binding": {change: func(_ *forge, _ *hsm.KeyEvidence, s *Subject, _ *Policy) { s.Bindings = nil }, words: "not yet bound"},
		"an empty one": {change: func(_ *forge, _ *hsm.KeyEvidence, s *Subject, _ *Policy) { s.Bindings = []Binding{{}} },
			words: "not yet bound"},
		"no roots": {change: func(_ *forge, _ *hsm.KeyEvidence, _ *Subject, p *Policy) { p.TPM = nil }, words: "no roots were given"},
		"no certificate": {change: func(_ *forge, e *hsm.KeyEvidence, _ *Subject, _ *Policy) { e.Certificates = nil },
			words: "no endorsement certificate"},
		"expired": {change: func(_ *forge, _ *hsm.KeyEvidence, s *Subject, _ *Policy) { s.At = now.AddDate(3, 0, 0) }, words: "expired"},
		"not yet": {change: func(_ *forge, _ *hsm.KeyEvidence, s *Subject, _ *Policy) { s.At = now.AddDate(-3, 0, 0) },
			words: "not yet valid"},
		"another root": {change: func(f *forge, _ *hsm.KeyEvidence, _ *Subject, p *Policy) { *p = newForge(f.t).trust(*p) },
			words: "no trusted root"},
		"an authority":  {make: func(f *forge) { f.cert.IsCA, f.cert.BasicConstraintsValid = true, true }, words: "of an authority"},
		"a signing key": {make: func(f *forge) { f.cert.KeyUsage = x509.KeyUsageDigitalSignature }, words: "not for decryption"},
		"another use":   {make: func(f *forge) { f.cert.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{2, 23, 133, 8, 2}} }, words: "another use"},
		"a server's": {make: func(f *forge) {
			f.cert.UnknownExtKeyUsage, f.cert.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}, words: "another use"},
		"no mark at all":  {make: func(f *forge) { f.cert.UnknownExtKeyUsage, f.cert.ExtraExtensions = nil, nil }, words: "names no TPM"},
		"an unclear name": {make: func(f *forge) { f.cert.ExtraExtensions[0].Value = []byte{0x30, 4, 0xa4, 2, 1, 1} }, words: "cannot be read"},
		"an unknown critical extension": {make: func(f *forge) {
			f.cert.ExtraExtensions = append(f.cert.ExtraExtensions, f.cert.ExtraExtensions[0])
			f.cert.ExtraExtensions[1].Id = asn1.ObjectIdentifier{1, 2, 3}
		}, words: "unhandled critical extension"},
	} {
		f := newForge(t)
		if c.make != nil {
			c.make(f)
		}
		ev := f.evidence()
		s := subjectOf(t, ev, "nonce")
		for _, p := range []Policy{f.trust(Proof()), f.trust(Hardware()), f.trust(Any())} {
			ev, s := copyOf(ev), s
			if c.change != nil {
				c.change(f, &ev, &s, &p)
			}
			v, err := Appraise(ev, s, p)
			want := Reported
			if p.Name == "proof" {
				want = Refused
			}
			if v.Level != want || errors.Is(err, ErrPolicy) != (want == Refused) || !says(v, c.words) || len(v.Proven) > 0 {
				t.Errorf("%s, %s: %+v, %v", name, p.Name, v, err)
			}
		}
	}
}

// Goal: a key usage alone, or a name alone, marks an endorsement certificate, as makers' certificates differ. Method: one without the
// other.
func TestEndorsementMarks(t *testing.T) {
	for name, change := range map[string]func(*forge){
		"use alone":  func(f *forge) { f.cert.ExtraExtensions = nil },
		"name alone": func(f *forge) { f.cert.UnknownExtKeyUsage, f.cert.KeyUsage = nil, 0 },
	} {
		f := newForge(t)
		change(f)
		ev := f.evidence()
		if v, err := Appraise(ev, subjectOf(t, ev, "nonce"), f.trust(Proof())); err != nil || v.Level != Proven {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

// Goal: a key in software, with an attestation key in software, is not proven by the certificate of a real TPM whose challenge was
// answered. Method: put certificate and endorsement key of one TPM into the evidence of another, with the binding of the first.
func TestStolenCertificate(t *testing.T) {
	honest, thief := newForge(t), newForge(t)
	real, fake := honest.evidence(), thief.evidence()
	fake.Certificates, fake.Extra[extraEK] = real.Certificates, real.Extra[extraEK]
	s := subjectOf(t, fake, "nonce")
	s.Bindings = []Binding{bind(t, real)}
	v, err := Appraise(fake, s, honest.trust(Proof()))
	if !errors.Is(err, ErrPolicy) || !says(v, "not yet bound") || len(v.Proven) > 0 {
		t.Errorf("%+v, %v", v, err)
	}
	// The same attestation key beside another endorsement key: not the pair that answered.
	moved := copyOf(real)
	other := thief.evidence()
	moved.Certificates, moved.Extra[extraEK] = other.Certificates, other.Extra[extraEK]
	s = subjectOf(t, moved, "nonce")
	s.Bindings = []Binding{bind(t, real)}
	if v, err := Appraise(moved, s, thief.trust(Proof())); !errors.Is(err, ErrPolicy) || !says(v, "not yet bound") {
		t.Errorf("%+v, %v", v, err)
	}
	// The challenge is for the pair: an answer for the thief's attestation key can only come from a TPM that has both.
	if b := bind(t, real); b.of(fake) || !b.of(real) || SameTPM(real, fake) || !SameTPM(real, real) {
		t.Error("a binding of another pair")
	}
}

// Goal: an answer counts only if it is the secret. Method: change each byte, and the length.
func TestAnswer(t *testing.T) {
	ev := newForge(t).evidence()
	secret := make([]byte, challengeSecret)
	_, _ = rand.Read(secret)
	e, err := Expect(ev, secret)
	must(t, err)
	for i := range secret {
		bad := append([]byte{}, secret...)
		bad[i] ^= 1
		if b, err := e.Check(bad); !errors.Is(err, ErrBroken) || b != (Binding{}) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	for _, bad := range [][]byte{nil, secret[:31], append([]byte{0}, secret...)} {
		if _, err := e.Check(bad); err == nil {
			t.Errorf("an answer of %d bytes", len(bad))
		}
		if _, err := Expect(ev, bad); err == nil {
			t.Errorf("a secret of %d bytes", len(bad))
		}
	}
	if _, err := Expect(hsm.KeyEvidence{Format: hsm.EvidencePKCS11}, secret); err == nil {
		t.Error("a challenge to a token that is no TPM")
	}
}
