package appraise

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"math/big"
	"testing"

	"github.com/luxfi/mpcd/hsm"
)

// report is evidence of a driver's report, all good, about a P-256 key; change alters the report.
func report(t testing.TB, format, part string, fields map[string]any, change map[string]any) hsm.KeyEvidence {
	t.Helper()
	all := map[string]any{}
	for k, v := range fields {
		all[k] = v
	}
	for k, v := range change {
		if all[k] = v; v == nil {
			delete(all, k)
		}
	}
	b, err := json.Marshal(all)
	must(t, err)
	return hsm.KeyEvidence{Format: format, Key: hsm.KeyInfo{ID: "k", Type: hsm.KeyP256, Sensitive: true, Local: true, NeverExtracted: true},
		Token: hsm.TokenInfo{Provider: "x", Label: "\x1b[31m"}, PublicKey: pkixOf(t, newKey(t)), Nonce: []byte("nonce"),
		Extra: map[string][]byte{part: b}}
}

var (
	goodAttributes = map[string]any{"CKA_SENSITIVE": true, "CKA_ALWAYS_SENSITIVE": true, "CKA_EXTRACTABLE": false,
		"CKA_NEVER_EXTRACTABLE": true, "CKA_LOCAL": true, "CKA_SIGN": true}
	goodAWS = map[string]any{"arn": "arn:aws:kms:eu-central-1:1:key/1", "account": "1", "region": "eu-central-1", "amazon": true,
		"spec": "ECC_NIST_P256", "usage": "SIGN_VERIFY", "state": "Enabled", "origin": "AWS_KMS", "manager": "CUSTOMER"}
	goodGCP = map[string]any{"name": "projects/p", "state": "ENABLED", "protection_level": "HSM", "algorithm": "EC_SIGN_P256_SHA256",
		"origin": "generated", "google_partition_certificates": 0, "google_card_certificates": 0, "cavium_certificates": 0,
		"software_only": false}
)

type change = map[string]any

// Goal: each report is judged by each of its fields, what is not told is not there, and nothing of a report is proven. Method: a good
// report of each driver, and one thing else at a time; the policies hardware, proof and any.
func TestReports(t *testing.T) {
	const pkcs, aws, gcp = hsm.EvidencePKCS11, hsm.EvidenceAWS, hsm.EvidenceGCP
	imported := func(e *hsm.KeyEvidence) { e.Key.Local, e.Key.NeverExtracted = false, false }
	for name, c := range map[string]struct {
		format   string
		report   change
		evidence func(*hsm.KeyEvidence)
		hardware Level // reached under policy hardware
		any      Level // under policy any
		words    string
	}{
		"pkcs11":          {pkcs, nil, nil, Reported, Reported, ""},
		"pkcs11 software": {pkcs, nil, func(e *hsm.KeyEvidence) { e.Token.SoftwareOnly = true }, Refused, Software, "is software"},
		"pkcs11 readable": {pkcs, change{"CKA_SENSITIVE": false, "CKA_ALWAYS_SENSITIVE": false},
			func(e *hsm.KeyEvidence) { e.Key.Sensitive = false }, Refused, Reported, "not never shown in the clear"},
		"pkcs11 once readable":   {pkcs, change{"CKA_ALWAYS_SENSITIVE": false}, nil, Refused, Reported, "CKA_ALWAYS_SENSITIVE"},
		"pkcs11 always not told": {pkcs, change{"CKA_ALWAYS_SENSITIVE": nil}, nil, Reported, Reported, ""},
		"pkcs11 extractable": {pkcs, change{"CKA_EXTRACTABLE": true, "CKA_NEVER_EXTRACTABLE": false},
			func(e *hsm.KeyEvidence) { e.Key.Extractable, e.Key.NeverExtracted = true, false }, Refused, Reported, "CKA_EXTRACTABLE"},
		"pkcs11 was extractable": {pkcs, change{"CKA_NEVER_EXTRACTABLE": false}, func(e *hsm.KeyEvidence) { e.Key.NeverExtracted = false },
			Refused, Reported, "is not never extractable"},
		"pkcs11 never not told": {pkcs, change{"CKA_NEVER_EXTRACTABLE": nil}, func(e *hsm.KeyEvidence) { e.Key.NeverExtracted = false },
			Refused, Reported, "does not tell whether the key is never extractable"},
		"pkcs11 imported": {pkcs, change{"CKA_LOCAL": false}, func(e *hsm.KeyEvidence) { e.Key.Local = false }, Refused, Reported,
			"is not made in the token"},
		"pkcs11 local not told": {pkcs, change{"CKA_LOCAL": nil}, func(e *hsm.KeyEvidence) { e.Key.Local = false }, Refused, Reported,
			"does not tell whether the key is made in the token"},
		"pkcs11 decrypts too":        {pkcs, change{"CKA_DECRYPT": true}, nil, Reported, Reported, "may do more: CKA_DECRYPT true"},
		"pkcs11 unwraps too":         {pkcs, change{"CKA_UNWRAP": true}, nil, Reported, Reported, "CKA_UNWRAP true"},
		"pkcs11 derives too":         {pkcs, change{"CKA_DERIVE": true}, nil, Reported, Reported, "CKA_DERIVE true"},
		"pkcs11 contradiction":       {pkcs, change{"CKA_EXTRACTABLE": true}, nil, Refused, Refused, "contradict"},
		"pkcs11 another one":         {pkcs, change{"CKA_SENSITIVE": false}, nil, Refused, Refused, "contradict"},
		"pkcs11 summary better":      {pkcs, change{"CKA_LOCAL": false}, nil, Refused, Refused, "summary"},
		"pkcs11 summary sensitive":   {pkcs, change{"CKA_SENSITIVE": nil}, nil, Refused, Refused, "summary"},
		"pkcs11 summary extractable": {pkcs, change{"CKA_EXTRACTABLE": nil}, nil, Refused, Refused, "summary"},
		"pkcs11 summary never":       {pkcs, change{"CKA_NEVER_EXTRACTABLE": false}, nil, Refused, Refused, "summary"},
		"pkcs11 unknown field":       {pkcs, change{"CKA_TRUSTED": true}, nil, Refused, Refused, "unknown"},
		"pkcs11 not a truth":         {pkcs, change{"CKA_LOCAL": "yes"}, nil, Refused, Refused, "cannot be read"},
		"pkcs11 no attributes":       {pkcs, nil, func(e *hsm.KeyEvidence) { e.Extra = nil }, Refused, Refused, "no report"},
		"pkcs11 statement": {pkcs, nil, func(e *hsm.KeyEvidence) { e.Statement, e.Signature = []byte{1}, []byte{1} }, Refused, Refused,
			"signs no evidence"},
		"aws":                     {aws, nil, nil, Reported, Reported, ""},
		"aws cloudhsm":            {aws, change{"origin": "AWS_CLOUDHSM"}, nil, Reported, Reported, ""},
		"aws imported":            {aws, change{"origin": "EXTERNAL", "valid_to": "2027"}, imported, Refused, Reported, "imported"},
		"aws external store":      {aws, change{"origin": "EXTERNAL_KEY_STORE"}, imported, Refused, Reported, "outside of AWS"},
		"aws unknown origin":      {aws, change{"origin": "X"}, imported, Refused, Reported, "does not tell"},
		"aws imported, says made": {aws, change{"origin": "EXTERNAL"}, nil, Refused, Refused, "summary"},
		"aws disabled":            {aws, change{"state": "Disabled"}, nil, Refused, Refused, "Disabled"},
		"aws to be deleted":       {aws, change{"deletion": "2027"}, nil, Refused, Refused, "deleted"},
		"aws multi-region":        {aws, change{"multi_region": "PRIMARY"}, nil, Reported, Reported, "multi-region"},
		"aws managed":             {aws, change{"manager": "AWS"}, nil, Reported, Reported, "managed by"},
		"aws endpoint":            {aws, change{"endpoint": "https://x"}, nil, Reported, Reported, ""},
		"aws not Amazon": {aws, change{"amazon": false}, func(e *hsm.KeyEvidence) { e.Token.SoftwareOnly = true }, Refused, Software,
			"is software"},
		"aws not Amazon, says not so": {aws, change{"amazon": false}, nil, Refused, Refused, "summary"},
		"aws no metadata":             {aws, nil, func(e *hsm.KeyEvidence) { e.Extra = nil }, Refused, Refused, "no report"},
		"aws statement": {aws, nil, func(e *hsm.KeyEvidence) { e.Statement, e.Signature = []byte{1}, []byte{1} }, Refused, Refused,
			"signs no evidence"},
		"gcp":               {gcp, nil, nil, Reported, Reported, ""},
		"gcp single tenant": {gcp, change{"protection_level": "HSM_SINGLE_TENANT"}, nil, Reported, Reported, ""},
		"gcp in software":   {gcp, change{"protection_level": "SOFTWARE"}, nil, Refused, Software, ""},
		"gcp external": {gcp, change{"protection_level": "EXTERNAL", "origin": "external"}, imported, Refused, Reported,
			"outside of Google"},
		"gcp imported":            {gcp, change{"origin": "imported"}, imported, Refused, Reported, "not made in the token"},
		"gcp imported, says made": {gcp, change{"origin": "imported"}, nil, Refused, Refused, "summary"},
		"gcp exportable": {gcp, nil, func(e *hsm.KeyEvidence) { e.Key.Extractable, e.Key.NeverExtracted = true, false }, Refused,
			Reported, "not never extractable"},
		"gcp disabled": {gcp, change{"state": "DISABLED"}, nil, Refused, Refused, "DISABLED"},
		"gcp server here": {gcp, change{"software_only": true}, func(e *hsm.KeyEvidence) { e.Token.SoftwareOnly = true }, Refused,
			Software, "is software"},
		"gcp server here, not so":   {gcp, change{"software_only": true}, nil, Refused, Refused, "summary"},
		"gcp certificates missing":  {gcp, change{"cavium_certificates": 1}, nil, Refused, Refused, "chains"},
		"gcp certificates negative": {gcp, change{"cavium_certificates": 1, "google_card_certificates": -1}, nil, Refused, Refused, "chains"},
		"gcp unsigned statement": {gcp, nil, func(e *hsm.KeyEvidence) { e.Statement, e.Signature = []byte{1}, []byte{1} }, Refused, Refused,
			"without the certificate"},
		"local":            {hsm.EvidenceLocal, nil, nil, Refused, Software, "is software"},
		"unknown":          {"x", nil, nil, Refused, None, "nobody here can read"},
		"another nonce":    {pkcs, nil, func(e *hsm.KeyEvidence) { e.Nonce = []byte("yesterday") }, Refused, Refused, "another enrolment"},
		"no nonce":         {aws, nil, func(e *hsm.KeyEvidence) { e.Nonce = nil }, Refused, Refused, "another enrolment"},
		"another key":      {pkcs, nil, func(e *hsm.KeyEvidence) { e.PublicKey = pkixOf(t, newKey(t)) }, Refused, Refused, "another public key"},
		"another type":     {gcp, nil, func(e *hsm.KeyEvidence) { e.Key.Type = hsm.KeyEd25519 }, Refused, Refused, "of type"},
		"contradiction":    {gcp, nil, func(e *hsm.KeyEvidence) { e.Key.Extractable = true }, Refused, Refused, "both extractable"},
		"half a statement": {gcp, nil, func(e *hsm.KeyEvidence) { e.Statement = []byte{1} }, Refused, Refused, "without a signature"},
		"huge part":        {pkcs, nil, func(e *hsm.KeyEvidence) { e.Extra["x"] = make([]byte, partMax+1) }, Refused, Refused, "bytes"},
		"huge certificate": {pkcs, nil, func(e *hsm.KeyEvidence) { e.Certificates = [][]byte{make([]byte, partMax+1)} }, Refused,
			Refused, "bytes"},
		"huge statement": {pkcs, nil, func(e *hsm.KeyEvidence) { e.Statement, e.Signature = make([]byte, partMax+1), []byte{1} }, Refused,
			Refused, "larger"},
		"many certificates": {pkcs, nil, func(e *hsm.KeyEvidence) { e.Certificates = make([][]byte, certificatesMax+1) }, Refused,
			Refused, "larger"},
	} {
		part, good := "metadata", goodAWS
		switch c.format {
		case pkcs:
			part, good = "attributes", goodAttributes
		case gcp:
			good = goodGCP
		}
		ev := report(t, c.format, part, good, c.report)
		s := Subject{PublicKey: ev.PublicKey, Type: hsm.KeyP256, Nonce: []byte("nonce"), At: now}
		if c.evidence != nil {
			c.evidence(&ev)
		}
		for _, p := range []struct {
			Policy
			want Level
		}{{Hardware(), c.hardware}, {Any(), c.any}, {Proof(), Refused}} {
			v, err := Appraise(ev, s, p.Policy)
			if v.Level != p.want || (err != nil) != (p.want == Refused) || len(v.Proven) > 0 || c.words != "" && !says(v, c.words) &&
				c.format != hsm.EvidenceLocal {
				t.Errorf("%s, policy %s: %v, want %v: %+v, %v", name, p.Name, v.Level, p.want, v, err)
			}
			if c.any == Refused && p.Name == "any" && !errors.Is(err, ErrBroken) && !says(v, "state") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// Goal: the public key is of the type that is asked for. Method: a P-256 key that is called Ed25519 on all sides; bytes that are no key.
func TestKeyType(t *testing.T) {
	ev := report(t, hsm.EvidencePKCS11, "attributes", goodAttributes, nil)
	ev.Key.Type = hsm.KeyEd25519
	s := Subject{PublicKey: ev.PublicKey, Type: hsm.KeyEd25519, Nonce: []byte("nonce"), At: now}
	if v, err := Appraise(ev, s, Any()); !errors.Is(err, ErrBroken) || !says(v, "is no ed25519 key") {
		t.Errorf("%+v, %v", v, err)
	}
	ev.PublicKey, s.PublicKey = nil, nil
	if v, err := Appraise(ev, s, Any()); !errors.Is(err, ErrBroken) {
		t.Errorf("%+v, %v", v, err)
	}
}

// Goal: a statement of a Cloud HSM is proven to be one, if its certificate leads to a root, and no more. Method: a partition of a forged
// authority; another root, another signer, no RSA key.
func TestGoogleStatement(t *testing.T) {
	rootKey, key := newKey(t), must1(rsa.GenerateKey(rand.Reader, 2048))
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "card"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0)}
	root := must1(x509.ParseCertificate(must1(x509.CreateCertificate(rand.Reader, ca, ca, rootKey.Public(), rootKey))))
	leaf := must1(x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore,
		NotAfter: ca.NotAfter}, ca, key.Public(), rootKey))
	ev := report(t, hsm.EvidenceGCP, "metadata", goodGCP, change{"google_partition_certificates": 1, "google_card_certificates": 1,
		"statement_format": "CAVIUM_V2_COMPRESSED"})
	ev.Statement = []byte("statement")
	digest := sha256.Sum256(ev.Statement)
	ev.Signature = must1(rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]))
	ev.Certificates = [][]byte{leaf, root.Raw}
	s := Subject{PublicKey: ev.PublicKey, Type: hsm.KeyP256, Nonce: []byte("nonce"), At: now}
	p := Hardware()
	if v, err := Appraise(ev, s, p); err != nil || v.Level != Reported || len(v.Proven) != 0 {
		t.Errorf("without roots: %+v, %v", v, err)
	}
	p.Google = must1(NewRoots(root))
	if v, err := Appraise(ev, s, p); err != nil || v.Level != Reported || len(v.Proven) != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	p.Google = newForge(t).trust(Any()).TPM
	if v, err := Appraise(ev, s, p); err != nil || len(v.Proven) != 0 || !says(v, "no trusted root") {
		t.Errorf("another root: %+v, %v", v, err)
	}
	ev.Certificates[0] = root.Raw
	if v, err := Appraise(ev, s, p); !errors.Is(err, ErrBroken) {
		t.Errorf("no RSA key: %+v, %v", v, err)
	}
	ev.Certificates[0] = []byte("x")
	if v, err := Appraise(ev, s, p); !errors.Is(err, ErrBroken) {
		t.Errorf("no certificate: %+v, %v", v, err)
	}
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
