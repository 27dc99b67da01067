package gcpkms

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"

	"github.com/luxfi/mpcd/hsm"
	parts "github.com/luxfi/mpcd/internal/parts/gcpkms"
)

func metadataOf(t *testing.T, e hsm.KeyEvidence) Metadata {
	t.Helper()
	var m Metadata
	if err := json.Unmarshal(e.Extra["metadata"], &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// Goal: the evidence holds what the service shows: the statement with its signature and chain, and the report. Method: verify the
// signature by the chain; compare the report, for signing and wrapping keys.
func TestEvidence(t *testing.T) {
	b := newBed(t)
	e, err := b.AttestKey(b.ctx, p256, []byte("nonce"))
	if err != nil {
		t.Fatal(err)
	}
	m := metadataOf(t, e)
	if m.Name != b.versionName(p256, "1") || m.ProtectionLevel != "HSM" || m.Algorithm != "EC_SIGN_P256_SHA256" || m.Origin != "generated" ||
		m.State != "ENABLED" || m.StatementFormat != "CAVIUM_V2_COMPRESSED" || !m.SoftwareOnly || m.CreateTime == "" ||
		m.GooglePartitionCertificates != 1 || m.GoogleCardCertificates != 1 || m.CaviumCertificates != 0 {
		t.Errorf("%+v", m)
	}
	if e.Format != hsm.EvidenceGCP || string(e.Nonce) != "nonce" || !e.Token.SoftwareOnly || !e.Key.Local || !e.Key.NeverExtracted ||
		!e.Key.Sensitive || e.Key.Extractable || len(e.Certificates) != 2 {
		t.Errorf("%+v", e)
	}
	leaf, err := x509.ParseCertificate(e.Certificates[0])
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(e.Certificates[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := leaf.CheckSignatureFrom(root); err != nil {
		t.Error(err)
	}
	digest := sha256.Sum256(e.Statement)
	if err := rsa.VerifyPKCS1v15(leaf.PublicKey.(*rsa.PublicKey), crypto.SHA256, digest[:], e.Signature); err != nil {
		t.Errorf("the statement's signature: %v", err)
	}
	if !bytes.Contains(e.Statement, []byte("NOT hardware")) {
		t.Error("the test server's statement does not say what it is")
	}
	kek, err := b.AttestKey(b.ctx, string(hsm.KeyAESWrap), nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := metadataOf(t, kek); m.Algorithm != "GOOGLE_SYMMETRIC_ENCRYPTION" || m.Name != b.versionName(string(hsm.KeyAESWrap), "1") ||
		kek.Key.Type != hsm.KeyAESWrap || kek.PublicKey != nil {
		t.Errorf("%+v %+v", m, kek.Key)
	}
	b.make(t, "soft", 12, 5, 1) // EC_SIGN_P256_SHA256, ASYMMETRIC_SIGN, SOFTWARE
	soft, err := b.AttestKey(b.ctx, "soft", nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := metadataOf(t, soft); m.ProtectionLevel != "SOFTWARE" || m.StatementFormat != "" || len(soft.Statement)+len(soft.Signature)+
		len(soft.Certificates) != 0 {
		t.Errorf("%+v, a statement of %d bytes", m, len(soft.Statement))
	}
}

// Goal: keys that came from elsewhere, lie elsewhere or can be exported are told apart; evidence that contradicts what the token knows
// or cannot be read is none. Method: change the service's answer.
func TestEvidenceOrigin(t *testing.T) {
	b := newBed(t)
	if _, err := b.PublicKey(b.ctx, p256); err != nil {
		t.Fatal(err)
	}
	get := func(f func(*kmspb.CryptoKeyVersion)) (hsm.KeyEvidence, error) {
		defer b.server.Inject(parts.Fault{Method: "GetCryptoKeyVersion", Answer: change(f)})()
		return b.AttestKey(b.ctx, p256, nil)
	}
	e, err := get(func(v *kmspb.CryptoKeyVersion) { v.ImportJob = "projects/p/locations/l/keyRings/r/importJobs/j" })
	if err != nil {
		t.Fatal(err)
	}
	if m := metadataOf(t, e); m.Origin != "imported" || !strings.HasSuffix(m.ImportJob, "/j") || e.Key.Local || e.Key.NeverExtracted {
		t.Errorf("%+v %+v", m, e.Key)
	}
	if e, err = get(func(v *kmspb.CryptoKeyVersion) { v.TrustedWrappingEnabled = true }); err != nil || !e.Key.Extractable ||
		e.Key.NeverExtracted {
		t.Errorf("%+v, %v", e.Key, err)
	}
	if info := keyInfo("k", &kmspb.CryptoKeyVersion{ProtectionLevel: kmspb.ProtectionLevel_EXTERNAL}); info.Local || info.NeverExtracted {
		t.Errorf("%+v", info)
	}
	if e, err = get(func(v *kmspb.CryptoKeyVersion) { v.Attestation.Format = 77 }); err != nil || len(e.Statement)+len(e.Signature) != 0 ||
		len(e.Extra["attestation"]) == 0 {
		t.Errorf("an unknown format: %d bytes, %v", len(e.Statement), err)
	}
	for name, f := range map[string]func(*kmspb.CryptoKeyVersion){
		"another algorithm": func(v *kmspb.CryptoKeyVersion) { v.Algorithm = kmspb.CryptoKeyVersion_EC_SIGN_ED25519 },
		"in software":       func(v *kmspb.CryptoKeyVersion) { v.ProtectionLevel = kmspb.ProtectionLevel_SOFTWARE },
		"not gzip":          func(v *kmspb.CryptoKeyVersion) { v.Attestation.Content = []byte("text") },
		"cut": func(v *kmspb.CryptoKeyVersion) {
			v.Attestation.Content = v.Attestation.Content[:len(v.Attestation.Content)/2]
		},
		"short":  func(v *kmspb.CryptoKeyVersion) { v.Attestation.Content = gzipped(t, 256) },
		"a bomb": func(v *kmspb.CryptoKeyVersion) { v.Attestation.Content = gzipped(t, 16<<20) },
		"no PEM": func(v *kmspb.CryptoKeyVersion) { v.Attestation.CertChains.CaviumCerts = []string{"x"} },
		"a private key": func(v *kmspb.CryptoKeyVersion) {
			v.Attestation.CertChains.CaviumCerts = []string{"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"}
		},
		"too many certificates": func(v *kmspb.CryptoKeyVersion) {
			for range certificatesMax {
				c := v.Attestation.CertChains
				c.CaviumCerts = append(c.CaviumCerts, c.GoogleCardCerts[0])
			}
		},
	} {
		if e, err := get(f); err == nil {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func gzipped(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Goal: no attestation makes the reader panic or grow. Method: fuzz its content and a chain.
func FuzzAttestation(f *testing.F) {
	f.Add(gzipped(f, 300), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	f.Fuzz(func(t *testing.T, content []byte, chain string) {
		statement, sig, err := splitStatement(kmspb.KeyOperationAttestation_CAVIUM_V2_COMPRESSED, content)
		if err == nil && (len(sig) != statementSigLen || len(statement) == 0 || len(statement) > statementMax) {
			t.Errorf("%d and %d bytes", len(statement), len(sig))
		}
		if ders, err := decodeCertificates(chain); err == nil && len(ders) > certificatesMax {
			t.Errorf("%d certificates", len(ders))
		}
	})
}

// Goal: the password provider decrypts what gcloud encrypts, and tells every other case apart. Method: encrypt as gcloud does, with the
// client, without additional data; then each error.
func TestPasswords(t *testing.T) {
	b := newBed(t)
	encrypt := func(plain string) string {
		resp, err := b.client.Encrypt(b.ctx, &kmspb.EncryptRequest{Name: b.name(string(hsm.KeyAESWrap)), Plaintext: []byte(plain)})
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(resp.Ciphertext)
	}
	p, err := Passwords(b.ctx, map[string]string{"endpoint": b.server.Endpoint()})
	if err != nil {
		t.Fatal(err)
	}
	key := b.name(string(hsm.KeyAESWrap))
	t.Setenv(encryptedPassword, encrypt("pass wörd")+"\n")
	for _, id := range []string{key, key + versionsPart + "1"} {
		if got, err := p.GetPassword(b.ctx, id); err != nil || got != "pass wörd" {
			t.Errorf("%q, %v", got, err)
		}
	}
	good := encrypt("x")
	for name, c := range map[string]struct {
		value, key string
		want       error
		word       string
	}{
		"short key":   {good, "k", hsm.ErrNoKey, "projects/"},
		"no such key": {good, b.name("none"), hsm.ErrNoKey, "none"},
		"a ring":      {good, parts.KeyRing, hsm.ErrNoKey, "projects/"},
		"unset":       {"", key, nil, "$" + encryptedPassword},
		"not base64":  {"!", key, nil, "not base64"},
		"damaged":     {good[:20] + map[bool]string{true: "A", false: "B"}[good[20] != 'A'] + good[21:], key, hsm.ErrIntegrity, ""},
		"another key": {good, b.name("other"), hsm.ErrIntegrity, ""},
		"empty":       {encrypt(""), key, nil, "is empty"},
		"zero byte":   {encrypt("a\x00b"), key, nil, "not text"},
		"not UTF-8":   {encrypt("\xff"), key, nil, "not text"},
		"endless":     {strings.Repeat("A", encryptedMax+1), key, nil, "characters"},
	} {
		if name == "another key" {
			if err := b.GenerateKey(b.ctx, "other", hsm.KeyAESWrap); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv(encryptedPassword, c.value)
		if got, err := p.GetPassword(b.ctx, c.key); err == nil || got != "" || c.want != nil && !errors.Is(err, c.want) || !says(err, c.word) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, cfg := range []map[string]string{{"endpoint": "example.com:1"}, {"pin-value": "1"}, {"region": "x"}, {"endpoint": ""}} {
		if _, err := Passwords(b.ctx, cfg); !errors.Is(err, hsm.ErrURI) {
			t.Errorf("%v: %v", cfg, err)
		}
	}
}
