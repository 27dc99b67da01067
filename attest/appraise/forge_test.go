package appraise

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"maps"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/tpmkey"
)

// now is the time of all appraisals in tests.
var now = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// forge is a TPM in software whose every part a test can change before it is signed.
type forge struct {
	t                   testing.TB
	root, ekKey, akKey  *ecdsa.PrivateKey
	own                 *ecdsa.PrivateKey
	ek, ak, key         tpm2.TPMTPublic
	statement           tpm2.TPMSAttest
	cert, authority     *x509.Certificate
	nonce, signed       []byte              // of the evidence, and of the statement
	tail                []byte              // behind the statement
	name                func([]byte) []byte // of the key in the statement
	signs, shows, certs *ecdsa.PrivateKey   // who signs the statement; whose key is shown as public key; whose is certified
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return k
}

// withPoint puts a key into a template.
func withPoint(p tpm2.TPMTPublic, k *ecdsa.PrivateKey) tpm2.TPMTPublic {
	b, err := k.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: b[1:33]},
		Y: tpm2.TPM2BECCParameter{Buffer: b[33:]}})
	return p
}

// newForge is a TPM that does all as it should.
func newForge(t testing.TB) *forge {
	f := &forge{t: t, root: newKey(t), ekKey: newKey(t), akKey: newKey(t), own: newKey(t), nonce: []byte("nonce"), signed: []byte("nonce"),
		name: func(b []byte) []byte { return b }}
	f.ek, f.ak, f.key = withPoint(tpm2.ECCEKTemplate, f.ekKey), withPoint(tpmkey.SigningTemplate(true), f.akKey),
		withPoint(tpmkey.SigningTemplate(false), f.own)
	f.signs, f.shows, f.certs = f.akKey, f.own, f.ekKey
	f.statement = tpm2.TPMSAttest{Magic: tpm2.TPMGeneratedValue, Type: tpm2.TPMSTAttestCertify}
	f.cert = &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageKeyAgreement, UnknownExtKeyUsage: []asn1.ObjectIdentifier{oidEKCertificate},
		ExtraExtensions: []pkix.Extension{{Id: oidSubjectAltName, Critical: true, Value: tpmName(t)}}}
	f.authority = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "maker"}, NotBefore: now.AddDate(-2, 0, 0),
		NotAfter: now.AddDate(2, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	return f
}

// tpmName is the alternative name of an endorsement certificate: TPM "id:49465800", "SLB 9670", version "id:0713".
func tpmName(t testing.TB) []byte {
	t.Helper()
	type pair struct {
		Type  asn1.ObjectIdentifier
		Value string `asn1:"utf8"`
	}
	type set []pair
	var sets []asn1.RawValue
	for _, p := range []pair{{oidManufacturer, "id:49465800"}, {oidModel, "SLB 9670"}, {oidVersion, "id:0713"}} {
		b, err := asn1.MarshalWithParams(set{p}, "set")
		must(t, err)
		sets = append(sets, asn1.RawValue{FullBytes: b})
	}
	dn, err := asn1.Marshal(sets)
	must(t, err)
	b, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: dn}})
	must(t, err)
	return b
}

func sized(b []byte) []byte { return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...) }

func pkixOf(t testing.TB, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	must(t, err)
	return der
}

// evidence signs everything.
func (f *forge) evidence() hsm.KeyEvidence {
	f.t.Helper()
	key := tpm2.Marshal(f.key)
	h := sha256.Sum256(key)
	s := f.statement
	s.ExtraData = tpm2.TPM2BData{Buffer: f.signed}
	if s.Type == tpm2.TPMSTAttestCertify {
		s.Attested = tpm2.NewTPMUAttest(s.Type, &tpm2.TPMSCertifyInfo{Name: tpm2.TPM2BName{Buffer: f.name(append([]byte{0, 0x0b}, h[:]...))}})
	} else {
		s.Attested = tpm2.NewTPMUAttest(s.Type, &tpm2.TPMSQuoteInfo{})
	}
	statement := append(tpm2.Marshal(s), f.tail...)
	digest := sha256.Sum256(statement)
	r, v, err := ecdsa.Sign(rand.Reader, f.signs, digest[:])
	must(f.t, err)
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	v.FillBytes(sig[32:])
	der, err := x509.CreateCertificate(rand.Reader, f.cert, f.authority, &f.certs.PublicKey, f.root)
	must(f.t, err)
	return hsm.KeyEvidence{
		Format: hsm.EvidenceTPM, Key: hsm.KeyInfo{ID: "k", Type: hsm.KeyP256, Sensitive: true, Local: true, NeverExtracted: true},
		Token: hsm.TokenInfo{Provider: "tpm"}, PublicKey: pkixOf(f.t, f.shows), Nonce: f.nonce, Statement: statement, Signature: sig,
		Certificates: [][]byte{der},
		Extra:        map[string][]byte{extraKey: key, extraAK: sized(tpm2.Marshal(f.ak)), extraEK: sized(tpm2.Marshal(f.ek))},
	}
}

// trust is a policy with the forge's root.
func (f *forge) trust(p Policy) Policy {
	f.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, f.authority, f.authority, &f.root.PublicKey, f.root)
	must(f.t, err)
	root, err := x509.ParseCertificate(der)
	must(f.t, err)
	p.TPM, err = NewRoots(root)
	must(f.t, err)
	return p
}

// subjectOf is the subject that evidence claims to be about, with its TPM bound.
func subjectOf(t testing.TB, ev hsm.KeyEvidence, nonce string) Subject {
	t.Helper()
	s := Subject{PublicKey: ev.PublicKey, Type: ev.Key.Type, Nonce: []byte(nonce), At: now}
	if ev.Format == hsm.EvidenceTPM {
		s.Bindings = []Binding{bind(t, ev)}
	}
	return s
}

// bind stands for a challenge that was answered.
func bind(t testing.TB, ev hsm.KeyEvidence) Binding {
	t.Helper()
	secret := bytes.Repeat([]byte{3}, challengeSecret)
	e, err := Expect(ev, secret)
	must(t, err)
	b, err := e.Check(secret)
	must(t, err)
	return b
}

// copyOf lets a test change evidence without others seeing it.
func copyOf(ev hsm.KeyEvidence) hsm.KeyEvidence {
	ev.Extra = maps.Clone(ev.Extra)
	for k, v := range ev.Extra {
		ev.Extra[k] = bytes.Clone(v)
	}
	ev.Certificates = slices.Clone(ev.Certificates)
	for i, c := range ev.Certificates {
		ev.Certificates[i] = bytes.Clone(c)
	}
	ev.Statement, ev.Signature, ev.PublicKey, ev.Nonce = bytes.Clone(ev.Statement), bytes.Clone(ev.Signature), bytes.Clone(ev.PublicKey),
		bytes.Clone(ev.Nonce)
	return ev
}
