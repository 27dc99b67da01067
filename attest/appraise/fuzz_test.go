package appraise

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/tpmkey"
)

// Goal: no evidence that a stranger sends makes the appraisal panic, and none is proven that no TPM of the roots made. Method: fuzz its
// JSON, from good evidence of each format; only the unchanged proof is proven.
func FuzzAppraise(f *testing.F) {
	forged := newForge(f)
	proof := forged.evidence()
	policy := forged.trust(Any())
	google := report(f, hsm.EvidenceGCP, "metadata", goodGCP, nil)
	for _, ev := range []hsm.KeyEvidence{proof, google, report(f, hsm.EvidencePKCS11, "attributes", goodAttributes, nil),
		report(f, hsm.EvidenceAWS, "metadata", goodAWS, nil)} {
		b, err := json.Marshal(ev)
		must(f, err)
		f.Add(b)
	}
	binding := bind(f, proof)
	f.Fuzz(func(t *testing.T, b []byte) {
		var ev hsm.KeyEvidence
		if json.Unmarshal(b, &ev) != nil {
			return
		}
		v, err := Appraise(ev, Subject{PublicKey: ev.PublicKey, Type: ev.Key.Type, Nonce: ev.Nonce, At: now, Bindings: []Binding{binding}},
			policy)
		if len(ev.Nonce) <= nonceMax && (err != nil) != (v.Level == Refused) {
			t.Errorf("%v with %v", v.Level, err)
		}
		if v.Level == Proven && !bytes.Equal(ev.Statement, proof.Statement) || v.Level != Proven && len(v.Proven) > 0 &&
			ev.Format == hsm.EvidenceTPM {
			t.Errorf("proven: %+v", v)
		}
	})
}

// Goal: no bytes make the readers of a TPM's structures panic, and what is read is the one encoding of itself. Method: fuzz, from good
// ones.
func FuzzTPM(f *testing.F) {
	ev := newForge(f).evidence()
	for _, b := range [][]byte{ev.Statement, ev.Extra[extraKey], ev.Extra[extraAK], tpm2.Marshal(tpm2.RSAEKTemplate),
		tpm2.Marshal(tpm2.ECCEKTemplate)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseStatement(b); err == nil && !bytes.Equal(tpm2.Marshal(*s), b) {
			t.Error("a second encoding of a statement")
		}
		if p, err := tpmkey.ParseSized(b); err == nil && !bytes.Equal(sized(tpm2.Marshal(*p)), b) {
			t.Error("a second encoding of a sized public area")
		}
		p, err := tpmkey.Parse(b)
		if err != nil {
			return
		}
		if !bytes.Equal(tpm2.Marshal(*p), b) {
			t.Error("a second encoding of a public area")
		}
		_, _ = endorsementKey(p)
		_, _ = tpmkey.Point(p)
	})
}

// Goal: no alternative name makes the reader panic. Method: fuzz, from a TPM's.
func FuzzTPMNames(f *testing.F) {
	f.Add(tpmName(f))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = parseTPMNames(b) })
}

// Goal: a report that is read is the JSON of what was read, whoever wrote it. Method: fuzz; write what was read, read it again.
func FuzzReport(f *testing.F) {
	for _, m := range []map[string]any{goodAttributes, goodAWS, goodGCP} {
		b, err := json.Marshal(m)
		must(f, err)
		f.Add(b)
	}
	f.Add([]byte(`{"arn":"a","arn":"b"}`))
	f.Add([]byte(`{"ARN":"a"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m awsMetadata
		if parseReport(b, &m) == nil {
			var again awsMetadata
			text, err := json.Marshal(m)
			if err != nil || parseReport(text, &again) != nil || again != m {
				t.Errorf("%q reads as %+v, then %+v", b, m, again)
			}
		}
		_ = parseReport(b, new(tokenAttributes))
		_ = parseReport(b, new(gcpMetadata))
	})
}

// Goal: no file makes the reader of roots panic. Method: fuzz, from a certificate.
func FuzzRoots(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseRoots(b); err == nil && r.Len() == 0 {
			t.Error("roots without a root")
		}
	})
}

// Goal: a report is strict. Method: what encoding/json lets pass.
func TestReportIsStrict(t *testing.T) {
	for _, bad := range []string{``, `[]`, `null`, `{`, `{"arn":"a"`, `{"arn":"a","arn":"b"}`, `{"ARN":"a"}`, `{"arn":null}`, `{"arn":{}}`,
		`{"arn":[1]}`, `{"x":1}`, `{"arn":"a"} x`, `{"arn":"a"}{}`, `{"arn":1}`, `{"":1}`} {
		if err := parseReport([]byte(bad), new(awsMetadata)); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}
