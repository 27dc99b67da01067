package appraise

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/awskms"
	gcpdriver "github.com/luxfi/mpcd/hsm/gcpkms"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/hsm/tpm"
	gcpserver "github.com/luxfi/mpcd/internal/parts/gcpkms"
	"github.com/luxfi/mpcd/internal/parts/moto"
	"github.com/luxfi/mpcd/internal/parts/swtpm"
	"github.com/luxfi/mpcd/softhsm"
)

const realNonce = "0123456789abcdef0123456789abcdef"

// shown is what a real token shows of a signing key and, where it shows any, of a wrapping key.
type shown struct {
	sign hsm.KeyEvidence
	wrap *hsm.KeyEvidence
}

// show opens a token, makes keys and asks for evidence.
func show(t testing.TB, open hsm.OpenFunc, uri string) shown {
	t.Helper()
	u, err := hsm.ParseURI(uri)
	must(t, err)
	ctx := context.Background()
	tok, err := open(ctx, u, hsm.Options{})
	must(t, err)
	defer func() { must(t, tok.Close()) }()
	g, _ := hsm.As[hsm.KeyGenerator](tok)
	must(t, g.GenerateKey(ctx, "sign", hsm.KeyP256))
	must(t, g.GenerateKey(ctx, "wrap", hsm.KeyAESWrap))
	a, _ := hsm.As[hsm.KeyAttester](tok)
	var s shown
	s.sign, err = a.AttestKey(ctx, "sign", []byte(realNonce))
	must(t, err)
	if w, err := a.AttestKey(ctx, "wrap", []byte(realNonce)); err == nil {
		s.wrap = &w
	}
	return s
}

// realTPM is what swtpm shows, the binding that its answer to a challenge gave, and its maker's roots; made once.
type realTPM struct {
	shown
	binding Binding
	roots   *Roots
}

var theTPM = sync.OnceValues(func() (out realTPM, err error) {
	dir, err := os.MkdirTemp("", "tpm")
	if err != nil {
		return out, err
	}
	defer os.RemoveAll(dir)
	s, err := swtpm.Start(dir)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	cas, err := swtpm.CA()
	if err != nil {
		return out, err
	}
	if out.roots, err = NewRoots(cas...); err != nil {
		return out, err
	}
	u, err := hsm.ParseURI(s.URI())
	if err != nil {
		return out, err
	}
	ctx := context.Background()
	tok, err := tpm.Open(ctx, u, hsm.Options{})
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, tok.Close()) }()
	real := tok.(*tpm.Token)
	if err := errors.Join(real.GenerateKey(ctx, "sign", hsm.KeyP256), real.GenerateKey(ctx, "wrap", hsm.KeyAESWrap)); err != nil {
		return out, err
	}
	if out.sign, err = real.AttestKey(ctx, "sign", []byte(realNonce)); err != nil {
		return out, err
	}
	w, err := real.AttestKey(ctx, "wrap", []byte(realNonce))
	if err != nil {
		return out, err
	}
	out.wrap = &w
	c, secret, err := tpm.Challenge(rand.Reader, out.sign)
	if err != nil {
		return out, err
	}
	expected, err := Expect(out.sign, secret)
	if err != nil {
		return out, err
	}
	answer, err := real.Answer(ctx, c)
	if err != nil {
		return out, err
	}
	out.binding, err = expected.Check(answer)
	return out, err
})

func (r realTPM) subject(ev hsm.KeyEvidence) Subject {
	return Subject{PublicKey: r.sign.PublicKey, Type: ev.Key.Type, Nonce: []byte(realNonce), At: time.Now(), Bindings: []Binding{r.binding}}
}

func (r realTPM) policy(p Policy) Policy {
	p.TPM, p.Software = r.roots, true
	return p
}

// Goal: what the TPM driver shows of both kinds of key is proven, and an emulator is still called one. Method: swtpm with its authority's
// roots, its answer to a challenge; then the policy that takes no software.
func TestDriverTPM(t *testing.T) {
	r, err := theTPM()
	must(t, err)
	for _, ev := range []hsm.KeyEvidence{r.sign, *r.wrap} {
		v, err := Appraise(ev, r.subject(ev), r.policy(Proof()))
		if err != nil || v.Level != Proven || !v.Software || len(v.Proven) != 5 || !says(v, "is software") {
			t.Errorf("%s: %+v, %v", ev.Key.ID, v, err)
		}
		p := r.policy(Proof())
		p.Software = false
		if v, err := Appraise(ev, r.subject(ev), p); !errors.Is(err, ErrPolicy) || v.Level != Refused {
			t.Errorf("%s: an emulator is proven hardware: %+v", ev.Key.ID, v)
		}
	}
	swapped := *r.wrap
	swapped.Key.Type = hsm.KeyP256
	if _, err := Appraise(swapped, r.subject(swapped), r.policy(Any())); !errors.Is(err, ErrBroken) {
		t.Errorf("a wrapping key as a signing key: %v", err)
	}
}

// Goal: a changed byte anywhere in what a TPM shows is refused; in statement, signature or keys as broken under every policy. Method:
// change every byte, and cut and lengthen every part.
func TestDriverTPMBytes(t *testing.T) {
	r, err := theTPM()
	must(t, err)
	try := func(where string, always bool, change func(*hsm.KeyEvidence)) {
		t.Helper()
		bad := copyOf(r.sign)
		change(&bad)
		if v, err := Appraise(bad, r.subject(r.sign), r.policy(Proof())); err == nil || v.Level != Refused || len(v.Proven) > 0 {
			t.Errorf("%s changed: %v", where, v.Level)
		}
		if v, err := Appraise(bad, r.subject(r.sign), r.policy(Any())); always && !errors.Is(err, ErrBroken) || v.Level > Reported {
			t.Errorf("%s changed: %v under policy any, %v", where, v.Level, err)
		}
	}
	for name, part := range map[string]func(*hsm.KeyEvidence) []byte{
		"statement":   func(e *hsm.KeyEvidence) []byte { return e.Statement },
		"signature":   func(e *hsm.KeyEvidence) []byte { return e.Signature },
		"public key":  func(e *hsm.KeyEvidence) []byte { return e.PublicKey },
		"nonce":       func(e *hsm.KeyEvidence) []byte { return e.Nonce },
		"certificate": func(e *hsm.KeyEvidence) []byte { return e.Certificates[0] },
		extraKey:      func(e *hsm.KeyEvidence) []byte { return e.Extra[extraKey] },
		extraAK:       func(e *hsm.KeyEvidence) []byte { return e.Extra[extraAK] },
		extraEK:       func(e *hsm.KeyEvidence) []byte { return e.Extra[extraEK] },
	} {
		for i := range part(&r.sign) {
			try(fmt.Sprintf("byte %d of the %s", i, name), name != "certificate", func(e *hsm.KeyEvidence) { part(e)[i] ^= 1 << (i % 8) })
		}
	}
	for _, name := range []string{extraKey, extraAK, extraEK} {
		try(name+" missing", true, func(e *hsm.KeyEvidence) { delete(e.Extra, name) })
		try(name+" longer", true, func(e *hsm.KeyEvidence) { e.Extra[name] = append(e.Extra[name], 0) })
		try(name+" cut", true, func(e *hsm.KeyEvidence) { e.Extra[name] = e.Extra[name][:20] })
	}
	try("statement longer", true, func(e *hsm.KeyEvidence) { e.Statement = append(e.Statement, 0) })
	try("statement missing", true, func(e *hsm.KeyEvidence) { e.Statement = nil })
	try("both missing", true, func(e *hsm.KeyEvidence) { e.Statement, e.Signature = nil, nil })
	try("signature longer", true, func(e *hsm.KeyEvidence) { e.Signature = append(e.Signature, 0) })
	try("certificate longer", true, func(e *hsm.KeyEvidence) { e.Certificates[0] = append(e.Certificates[0], 0) })
	try("wrap's statement", true, func(e *hsm.KeyEvidence) { e.Statement, e.Signature = r.wrap.Statement, r.wrap.Signature })
	for name, change := range map[string]func(*hsm.KeyInfo){
		"sensitive":   func(k *hsm.KeyInfo) { k.Sensitive = false },
		"extractable": func(k *hsm.KeyInfo) { k.Extractable, k.NeverExtracted = true, false },
		"local":       func(k *hsm.KeyInfo) { k.Local = false }, "never": func(k *hsm.KeyInfo) { k.NeverExtracted = false },
		"type": func(k *hsm.KeyInfo) { k.Type = hsm.KeyEd25519 },
	} {
		try("summary: "+name, true, func(e *hsm.KeyEvidence) { change(&e.Key) })
	}
}

// Goal: what the PKCS#11 driver shows is read, and called software for SoftHSM. Method: SoftHSM.
func TestDriverPKCS11(t *testing.T) {
	s := show(t, pkcs11.Open, softhsm.New(t))
	v, err := Appraise(s.sign, Subject{PublicKey: s.sign.PublicKey, Type: hsm.KeyP256, Nonce: []byte(realNonce), At: time.Now()}, Any())
	if err != nil || v.Level != Software || len(v.Proven) > 0 || len(v.Problems) != 1 || s.wrap != nil {
		t.Errorf("%+v, %v", v, err)
	}
	hard := s.sign
	hard.Token.SoftwareOnly = false
	if v, err := Appraise(hard, Subject{PublicKey: s.sign.PublicKey, Type: hsm.KeyP256, Nonce: []byte(realNonce), At: time.Now()},
		Hardware()); err != nil || v.Level != Reported {
		t.Errorf("%+v, %v", v, err)
	}
}

// Goal: what the AWS driver shows is read, and called software for a server that is not Amazon's. Method: moto.
func TestDriverAWS(t *testing.T) {
	s, err := moto.Start()
	must(t, err)
	t.Cleanup(s.Stop)
	for _, pair := range s.Environment() {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	e := show(t, awskms.Open, "awskms:region="+s.Region()+"?endpoint="+s.URL)
	checkCloud(t, e)
}

// Goal: what the Google driver shows is read, its statement's signature checked, and called software for a server of this machine. Method:
// our own server.
func TestDriverGCP(t *testing.T) {
	s, err := gcpserver.Start("127.0.0.1:0")
	must(t, err)
	t.Cleanup(s.Stop)
	e := show(t, gcpdriver.Open, s.URI())
	checkCloud(t, e)
	bad := copyOf(e.sign)
	for _, part := range [][]byte{bad.Statement, bad.Signature} {
		part[9] ^= 1
		v, err := Appraise(bad, Subject{PublicKey: bad.PublicKey, Type: hsm.KeyP256, Nonce: []byte(realNonce), At: time.Now()}, Any())
		if !errors.Is(err, ErrBroken) || !says(v, "did not sign") {
			t.Errorf("%+v, %v", v, err)
		}
		part[9] ^= 1
	}
}

func checkCloud(t *testing.T, e shown) {
	t.Helper()
	for _, ev := range []hsm.KeyEvidence{e.sign, *e.wrap} {
		s := Subject{PublicKey: e.sign.PublicKey, Type: ev.Key.Type, Nonce: []byte(realNonce), At: time.Now()}
		v, err := Appraise(ev, s, Any())
		if err != nil || v.Level != Software || len(v.Proven) > 0 || !says(v, "is software") {
			t.Errorf("%s: %+v, %v", ev.Key.ID, v, err)
		}
		if v, err := Appraise(ev, s, Hardware()); !errors.Is(err, ErrPolicy) || v.Level != Refused {
			t.Errorf("%s: %+v, %v", ev.Key.ID, v, err)
		}
		if bytes.Contains([]byte(fmt.Sprint(v.Reported)), []byte("\x1b")) {
			t.Error("an escape sequence is shown")
		}
	}
}
