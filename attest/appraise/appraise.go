package appraise

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/hsm"
)

// Limits of evidence; more is broken.
const (
	nonceMax        = 32
	partMax         = 128 << 10 // bytes of a statement, a signature, a certificate or an extra part
	certificatesMax = 32
	extraMax        = 16
)

// told is what evidence says of a property.
type told uint8

const (
	notTold told = iota
	no
	yes
)

func of(b bool) told {
	if b {
		return yes
	}
	return no
}

// claim is what evidence of one format amounts to.
type claim struct {
	level                              Level // Software, Reported or Proven
	sensitive, neverExtractable, made  told
	sensitiveAs, neverAs, madeAs, from string // what the format calls them, and who tells
}

// judge is one appraisal.
type judge struct {
	ev      hsm.KeyEvidence
	subject Subject
	policy  Policy
	v       Verdict
	short   *Problem // why it is not proven
}

// broken is found in evidence that no policy accepts.
type broken struct{ fact string }

func (b broken) Error() string { return b.fact }

func isBroken(format string, a ...any) error { return broken{fmt.Sprintf(format, a...)} }

// Appraise judges evidence for the subject by the policy. The verdict is complete also where it is Refused; then the error is its Err.
// Any other error is the caller's: a subject without time, or with a nonce that is too long.
func Appraise(ev hsm.KeyEvidence, about Subject, p Policy) (Verdict, error) {
	if about.At.IsZero() || len(about.Nonce) > nonceMax {
		return Verdict{}, errors.New("appraise: the subject has no time, or a nonce of more than 32 bytes")
	}
	j := &judge{ev: ev, subject: about, policy: p, v: Verdict{KeyID: ev.Key.ID, Type: ev.Key.Type, Format: ev.Format, Policy: p.Name,
		Software: ev.Token.SoftwareOnly}}
	j.judge()
	return j.v, j.v.Err()
}

// Missing is the verdict on a key without evidence; why says whose fault it is.
func Missing(keyID string, kind hsm.KeyType, why string, p Policy) (Verdict, error) {
	j := &judge{policy: p, v: Verdict{KeyID: keyID, Type: kind, Policy: p.Name}}
	j.caution("use a token whose driver shows evidence: see `mpcd hsm list`", "no evidence: %s", why)
	j.conclude(None)
	return j.v, j.v.Err()
}

func (j *judge) judge() {
	if err := j.about(); err != nil {
		j.broke(err)
		return
	}
	c, err := j.read()
	if err != nil {
		j.broke(err)
		return
	}
	j.token()
	j.properties(c)
	if j.v.Software && c.level == Reported {
		c.level = Software
	}
	j.conclude(c.level)
}

// about checks that the evidence is for the subject, and of a size that is worth reading.
func (j *judge) about() error {
	ev, want := j.ev, j.subject
	if len(ev.Certificates) > certificatesMax || len(ev.Extra) > extraMax || len(ev.Statement) > partMax || len(ev.Signature) > partMax {
		return isBroken("it is larger than evidence may be")
	}
	for _, c := range ev.Certificates {
		if len(c) > partMax {
			return isBroken("a certificate of %d bytes", len(c))
		}
	}
	for name, b := range ev.Extra {
		if len(b) > partMax {
			return isBroken("part %s of %d bytes", quoted(name), len(b))
		}
	}
	switch {
	case !bytes.Equal(ev.Nonce, want.Nonce):
		return isBroken("it was made for another enrolment: its nonce is %s, not %s", hexHead(ev.Nonce), hexHead(want.Nonce))
	case ev.Key.Type != want.Type:
		return isBroken("it is for a key of type %s, not %s", quoted(string(ev.Key.Type)), quoted(string(want.Type)))
	case want.Type != hsm.KeyAESWrap && !bytes.Equal(ev.PublicKey, want.PublicKey):
		return isBroken("it is for another public key")
	case ev.Key.Extractable && ev.Key.NeverExtracted:
		return isBroken("it calls the key both extractable and never extractable")
	case len(ev.Statement) == 0 != (len(ev.Signature) == 0):
		return isBroken("it has a statement without a signature, or the reverse")
	}
	if want.Type == hsm.KeyAESWrap {
		return nil
	}
	pub, err := hsm.ParsePublicKey(ev.PublicKey)
	if err != nil || hsm.TypeOf(pub) != want.Type {
		return isBroken("its public key is no %s key", want.Type)
	}
	return nil
}

// read reads the evidence by its format.
func (j *judge) read() (claim, error) {
	if !j.policy.accepts(j.ev.Format) {
		j.refuse("use a token that shows another kind, or change the policy", "evidence of format %s is not accepted", quoted(j.ev.Format))
	}
	switch j.ev.Format {
	case hsm.EvidenceTPM:
		return j.tpm()
	case hsm.EvidencePKCS11:
		return j.pkcs11()
	case hsm.EvidenceAWS:
		return j.aws()
	case hsm.EvidenceGCP:
		return j.gcp()
	case hsm.EvidenceLocal:
		j.v.Software = true
		j.report("the key is in a file of the node")
		return claim{level: Software, from: "the driver", sensitive: no, neverExtractable: no, made: of(j.ev.Key.Local)}, nil
	}
	j.caution("use a release of mpcd that knows it", "nobody here can read evidence of format %s", quoted(j.ev.Format))
	return claim{level: None, from: "the evidence"}, nil
}

// token says what the driver reports of the token.
func (j *judge) token() {
	t := j.ev.Token
	j.report("token: provider %s, manufacturer %s, model %s, firmware %s, serial %s", quoted(t.Provider), quoted(t.Manufacturer),
		quoted(t.Model), quoted(t.Firmware), quoted(t.Serial))
	if !j.v.Software {
		return
	}
	const what, next = "the token is software: it keeps its keys where whoever has the host can take them", "use a token of hardware"
	if j.policy.Software {
		j.caution(next, what)
		return
	}
	j.refuse(next+", or --evidence any for a pilot", what)
}

// properties holds the claim against what the policy needs.
func (j *judge) properties(c claim) {
	need := j.policy.Need
	for _, p := range []struct {
		what, as string
		told     told
		needed   bool
	}{
		{"never shown in the clear", c.sensitiveAs, c.sensitive, need.Sensitive},
		{"never extractable", c.neverAs, c.neverExtractable, need.NeverExtractable},
		{"made in the token", c.madeAs, c.made, need.MadeInToken},
	} {
		if p.told == yes || c.level == None {
			continue
		}
		as := ""
		if p.as != "" {
			as = " (" + p.as + ")"
		}
		fact := fmt.Sprintf("the key is not %s%s", p.what, as)
		next := "make the key anew, in the token"
		if p.told == notTold {
			fact = fmt.Sprintf("%s does not tell whether the key is %s%s", c.from, p.what, as)
			next = "have the token tell it, or use one that does"
		}
		if p.needed {
			j.refuse(next, "%s", fact)
		} else {
			j.caution(next, "%s", fact)
		}
	}
}

// conclude sets the level.
func (j *judge) conclude(reached Level) {
	if least := j.policy.least(); reached < least {
		p := Problem{Next: nextFor(least)}
		if j.short != nil && least == Proven {
			p = *j.short
		}
		if p.Fact != "" {
			p.Fact = ": " + p.Fact
		}
		j.refuse(p.Next, "policy %s wants %s evidence, this is: %s%s", quoted(j.policy.Name), least, reached, p.Fact)
	}
	if j.v.Refusal() != nil {
		reached = Refused
	}
	j.v.Level = reached
}

func nextFor(least Level) string {
	if least == Proven {
		return "use a TPM, give the roots of its maker (--tpm-roots) and let it answer a challenge (`mpcd node challenge`)"
	}
	return "use a token of hardware whose driver shows evidence, or --evidence any for a pilot"
}

// broke refuses under every policy. What was said of the key until then is not repeated: nothing of it stands.
func (j *judge) broke(err error) {
	j.v.Proven, j.v.Reported, j.v.Level = nil, nil, Refused
	j.v.Problems = []Problem{{Fact: err.Error(), Next: "enrol the node again; if it comes again, somebody changes what you get", Refuses: true,
		Broken: true}}
}

func (j *judge) report(format string, a ...any) {
	j.v.Reported = append(j.v.Reported, ReportedFact(fmt.Sprintf(format, a...)))
}

func (j *judge) prove(format string, a ...any) {
	j.v.Proven = append(j.v.Proven, ProvenFact(fmt.Sprintf(format, a...)))
}

func (j *judge) caution(next, format string, a ...any) {
	j.v.Problems = append(j.v.Problems, Problem{Fact: fmt.Sprintf(format, a...), Next: next})
}

func (j *judge) refuse(next, format string, a ...any) {
	j.v.Problems = append(j.v.Problems, Problem{Fact: fmt.Sprintf(format, a...), Next: next, Refuses: true})
}

// hexHead is the beginning of bytes.
func hexHead(b []byte) string {
	if len(b) == 0 {
		return "empty"
	}
	return fmt.Sprintf("%x", b[:min(8, len(b))])
}
