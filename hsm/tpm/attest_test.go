package tpm_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/tpm"
	"github.com/luxfi/mpcd/internal/parts/swtpm"
)

// Goal: a stranger can follow the evidence from a root he trusts to the key, without a word of the driver's. Method: do so, for a
// signing and a wrapping key, with an endorsement key that is persistent and one that is made on demand.
func TestEvidence(t *testing.T) {
	fresh, err := swtpm.StartNew(t.TempDir())
	must(t, err)
	t.Cleanup(func() { _ = fresh.Stop() })
	for name, s := range map[string]*swtpm.TPM{"on demand": emulator(t), "persistent": fresh} {
		t.Run(name, func(t *testing.T) {
			tok := stocked(t, s.URI()+"?"+pinSource(t, "1234"))
			nonce := bytes.Repeat([]byte{9}, 32)
			for _, id := range []string{"sign", "wrap"} {
				ev, err := tok.AttestKey(t.Context(), id, nonce)
				must(t, err)
				follow(t, ev, nonce)
			}
			ev, err := tok.AttestKey(t.Context(), "sign", nonce)
			must(t, err)
			challenge, secret, err := tpm.Challenge(rand.Reader, ev)
			must(t, err)
			answer, err := tok.Answer(t.Context(), challenge)
			if err != nil || !bytes.Equal(answer, secret) || len(secret) != 32 {
				t.Errorf("answer: %v", err)
			}
			empty(t, tok)
		})
	}
}

// follow appraises evidence.
func follow(t *testing.T, ev hsm.KeyEvidence, nonce []byte) {
	t.Helper()
	cas, err := swtpm.CA()
	must(t, err)
	ek, err := x509.ParseCertificate(ev.Certificates[0])
	must(t, err)
	// The subject is in the alternative name, in a form that crypto/x509 does not read (TCG EK Credential Profile, 3.2.9).
	ek.UnhandledCriticalExtensions = slices.DeleteFunc(ek.UnhandledCriticalExtensions,
		func(id asn1.ObjectIdentifier) bool { return id.String() == "2.5.29.17" })
	roots, issuers := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(cas[0])
	issuers.AddCert(cas[1])
	_, err = ek.Verify(x509.VerifyOptions{Roots: roots, Intermediates: issuers, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	must(t, err)

	ak, err := tpm2.Unmarshal[tpm2.TPMTPublic](ev.Extra[tpm.ExtraAK][2:])
	must(t, err)
	point, err := ak.Unique.ECC()
	must(t, err)
	if ok, err := hsm.Verify(ecdsaKey(point), ev.Statement, ev.Signature); err != nil || !ok {
		t.Errorf("the statement is not signed by the attestation key: %v", err)
	}
	st, err := tpm2.Unmarshal[tpm2.TPMSAttest](ev.Statement)
	must(t, err)
	if st.Magic != tpm2.TPMGeneratedValue || st.Type != tpm2.TPMSTAttestCertify || !bytes.Equal(st.ExtraData.Buffer, nonce) {
		t.Errorf("another statement: %+v", st)
	}
	certified, err := st.Attested.Certify()
	must(t, err)
	name := append([]byte{0, 0x0b}, hash(ev.Extra[tpm.ExtraKey])...)
	if !bytes.Equal(certified.Name.Buffer, name) {
		t.Error("the statement is about another key")
	}
	key, err := tpm2.Unmarshal[tpm2.TPMTPublic](ev.Extra[tpm.ExtraKey])
	must(t, err)
	if a := key.ObjectAttributes; !a.FixedTPM || !a.FixedParent || !a.SensitiveDataOrigin || a.NoDA {
		t.Errorf("attributes %+v", a)
	}
	if ev.Key.Type != hsm.KeyP256 {
		return
	}
	point, err = key.Unique.ECC()
	must(t, err)
	der, err := x509.MarshalPKIXPublicKey(ecdsaKey(point))
	must(t, err)
	if !bytes.Equal(der, ev.PublicKey) {
		t.Error("the public key is another one")
	}
}

func hash(b []byte) []byte { h := sha256.Sum256(b); return h[:] }

// Goal: a challenge is answered by the one TPM and attestation key it is for, and evidence that does not hang together gets none.
// Method: another TPM, changed bytes; evidence with exchanged parts.
func TestChallenge(t *testing.T) {
	s, err := swtpm.StartNew(t.TempDir()) // its endorsement key is persistent, so that each answer is quick
	must(t, err)
	t.Cleanup(func() { _ = s.Stop() })
	tok := stocked(t, s.URI())
	ev, err := tok.AttestKey(t.Context(), "sign", nil)
	must(t, err)
	good, _, err := tpm.Challenge(rand.Reader, ev)
	must(t, err)
	other := stocked(t, emulator(t).URI())
	_, err = other.Answer(t.Context(), good)
	expect(t, err, hsm.ErrIntegrity, "another attestation key")
	otherEv, err := other.AttestKey(t.Context(), "sign", nil)
	must(t, err)
	_, err = other.Answer(t.Context(), good)
	expect(t, err, hsm.ErrIntegrity, "another attestation key")
	for i := 0; i < len(good); i += 3 {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, err := tok.Answer(t.Context(), bad); err == nil {
			t.Errorf("a challenge with byte %d changed is answered", i)
		}
	}
	if _, err := tok.Answer(t.Context(), make([]byte, 5000)); err == nil {
		t.Error("a huge challenge is answered")
	}
	empty(t, tok)

	refuse := func(name string, change func(*hsm.KeyEvidence)) {
		t.Helper()
		e := ev
		e.Extra = map[string][]byte{}
		for k, v := range ev.Extra {
			e.Extra[k] = v
		}
		change(&e)
		if c, s, err := tpm.Challenge(rand.Reader, e); err == nil || c != nil || s != nil {
			t.Errorf("%s: challenged", name)
		}
	}
	refuse("no certificate", func(e *hsm.KeyEvidence) { e.Certificates = nil })
	refuse("another format", func(e *hsm.KeyEvidence) { e.Format = hsm.EvidencePKCS11 })
	wrapping, err := tok.AttestKey(t.Context(), "wrap", nil)
	must(t, err)
	refuse("a decryption key in the place of the endorsement key", func(e *hsm.KeyEvidence) {
		k := wrapping.Extra[tpm.ExtraKey]
		e.Extra[tpm.ExtraEK] = append([]byte{byte(len(k) >> 8), byte(len(k))}, k...)
	})
	refuse("no endorsement key", func(e *hsm.KeyEvidence) { delete(e.Extra, tpm.ExtraEK) })
	refuse("an unrestricted attestation key", func(e *hsm.KeyEvidence) {
		k := ev.Extra[tpm.ExtraKey]
		e.Extra[tpm.ExtraAK] = append([]byte{byte(len(k) >> 8), byte(len(k))}, k...)
	})
	refuse("no attestation key", func(e *hsm.KeyEvidence) { delete(e.Extra, tpm.ExtraAK) })
	// The attestation key of another TPM: a challenge, but no answer here.
	e := ev
	e.Extra = map[string][]byte{tpm.ExtraAK: otherEv.Extra[tpm.ExtraAK], tpm.ExtraEK: ev.Extra[tpm.ExtraEK]}
	c, _, err := tpm.Challenge(rand.Reader, e)
	must(t, err)
	_, err = tok.Answer(t.Context(), c)
	expect(t, err, hsm.ErrIntegrity, "another attestation key")
}

// Goal: a TPM with another endorsement key cannot answer, even for its own attestation key. Method: put its attestation key into
// evidence of the first.
func TestChallengeOtherEndorsement(t *testing.T) {
	tok := stocked(t, emulator(t).URI())
	ev, err := tok.AttestKey(t.Context(), "sign", nil)
	must(t, err)
	s, err := swtpm.StartNew(t.TempDir())
	must(t, err)
	t.Cleanup(func() { _ = s.Stop() })
	liar := stocked(t, s.URI())
	lie, err := liar.AttestKey(t.Context(), "sign", nil)
	must(t, err)
	lie.Certificates, lie.Extra[tpm.ExtraEK] = ev.Certificates, ev.Extra[tpm.ExtraEK]
	c, _, err := tpm.Challenge(rand.Reader, lie)
	must(t, err)
	_, err = liar.Answer(t.Context(), c)
	expect(t, err, hsm.ErrIntegrity, "another endorsement key")
	empty(t, liar)
}

// Goal: a quote is of the PCRs and the nonce, by the attestation key. Method: verify it, extend, and quote again.
func TestQuote(t *testing.T) {
	tok := stocked(t, emulator(t).URI()+"?pcrs=sha256:7,4")
	var last []byte
	for range 2 {
		q, err := tok.Quote(t.Context(), []byte("nonce"))
		must(t, err)
		ak, err := tpm2.Unmarshal[tpm2.TPMTPublic](q.AK[2:])
		must(t, err)
		point, err := ak.Unique.ECC()
		must(t, err)
		if ok, err := hsm.Verify(ecdsaKey(point), q.Statement, q.Signature); err != nil || !ok {
			t.Errorf("not signed: %v", err)
		}
		st, err := tpm2.Unmarshal[tpm2.TPMSAttest](q.Statement)
		must(t, err)
		quoted, err := st.Attested.Quote()
		must(t, err)
		if string(st.ExtraData.Buffer) != "nonce" || !bytes.Equal(quoted.PCRDigest.Buffer,
			hash(append(bytes.Clone(q.Values[4]), q.Values[7]...))) || len(q.Values) != 2 {
			t.Errorf("another quote: %+v", q)
		}
		if bytes.Equal(last, quoted.PCRDigest.Buffer) {
			t.Error("the quote does not follow the PCRs")
		}
		last = quoted.PCRDigest.Buffer
		extend(t, tok, 4)
	}
	if _, err := tok.Quote(t.Context(), make([]byte, 33)); err == nil {
		t.Error("a nonce of 33 bytes is accepted")
	}
	empty(t, tok)
}

// Goal: a P-256 endorsement key is preferred, and issuers that the TPM holds come with its certificate. Method: give the TPM a
// certificate of it with padding behind, as chips have, and an issuer's.
func TestP256Endorsement(t *testing.T) {
	tok := stocked(t, emulator(t).URI())
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "maker"}}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	must(t, err)
	var ek []byte
	must(t, tok.Raw(t.Context(), func(c transport.TPM) error {
		r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpm2.ECCEKTemplate)}.Execute(c)
		if err != nil {
			return err
		}
		public, err := r.OutPublic.Contents()
		if err != nil {
			return err
		}
		point, err := public.Unique.ECC()
		if err != nil {
			return err
		}
		if ek, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2)}, ca, ecdsaKey(point), key); err != nil {
			return err
		}
		if err := define(c, 0x01c0000a, append(bytes.Clone(ek), 0xff, 0xff, 0xff)); err != nil {
			return err
		}
		if err := define(c, 0x01c00100, caDER); err != nil {
			return err
		}
		_, err = tpm2.FlushContext{FlushHandle: r.ObjectHandle}.Execute(c)
		return err
	}))
	ev, err := tok.AttestKey(t.Context(), "sign", nil)
	must(t, err)
	if len(ev.Certificates) != 2 || !bytes.Equal(ev.Certificates[0], ek) || !bytes.Equal(ev.Certificates[1], caDER) {
		t.Errorf("%d certificates, or others", len(ev.Certificates))
	}
	challenge, secret, err := tpm.Challenge(rand.Reader, ev)
	must(t, err)
	if answer, err := tok.Answer(t.Context(), challenge); err != nil || !bytes.Equal(answer, secret) {
		t.Errorf("answer: %v", err)
	}
	empty(t, tok)
}

// Goal: a certificate that is not the endorsement key's is not shown as if it were. Method: put the maker's in its place.
func TestForeignCertificate(t *testing.T) {
	tok := stocked(t, emulator(t).URI())
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	must(t, err)
	must(t, tok.Raw(t.Context(), func(c transport.TPM) error { return define(c, 0x01c0000a, der) }))
	_, err = tok.AttestKey(t.Context(), "sign", nil)
	expect(t, err, hsm.ErrUnsupported, "not the one of its certificate")
}

// define makes an NV index that all may read.
func define(c transport.TPM, index tpm2.TPMHandle, b []byte) error {
	owner := tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}
	_, err := tpm2.NVDefineSpace{AuthHandle: owner, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: index, NameAlg: tpm2.TPMAlgSHA256,
		DataSize: uint16(len(b)), Attributes: tpm2.TPMANV{NT: tpm2.TPMNTOrdinary, OwnerWrite: true, AuthRead: true, NoDA: true}})}.Execute(c)
	if err != nil {
		return err
	}
	r, err := tpm2.NVReadPublic{NVIndex: index}.Execute(c)
	if err != nil {
		return err
	}
	_, err = tpm2.NVWrite{AuthHandle: owner, NVIndex: tpm2.NamedHandle{Handle: index, Name: r.NVName},
		Data: tpm2.TPM2BMaxNVBuffer{Buffer: b}}.Execute(c)
	return err
}
