package pkcs11_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/pkcs11"
)

// Goal: evidence says what the token says: an attribute that it does not tell is missing, and makes the key look worse, never better.
// Method: a key of the token; the same with attributes that the library does not know; a key that was imported.
func TestEvidence(t *testing.T) {
	tok, faults := faulty(t, hsm.Options{})
	read := func(id string) (hsm.KeyEvidence, string, map[string]any) {
		t.Helper()
		e, err := tok.(hsm.KeyAttester).AttestKey(t.Context(), id, []byte("nonce"))
		if err != nil {
			t.Fatal(err)
		}
		var a map[string]any
		if err := json.Unmarshal(e.Extra["attributes"], &a); err != nil {
			t.Fatal(err)
		}
		return e, string(e.Extra["attributes"]), a
	}
	e, text, a := read("k")
	want := `{"CKA_SENSITIVE":true,"CKA_ALWAYS_SENSITIVE":true,"CKA_EXTRACTABLE":false,"CKA_NEVER_EXTRACTABLE":true,"CKA_LOCAL":true,"CKA_PRIVATE":true,"CKA_SIGN":true,` +
		`"CKA_DECRYPT":false,"CKA_DERIVE":false,"CKA_UNWRAP":false,"CKA_KEY_GEN_MECHANISM":4160}`
	if text != want {
		t.Errorf("attributes %s, want %s", text, want)
	}
	if k := e.Key; k.Extractable || !k.Sensitive || !k.Local || !k.NeverExtracted || e.Format != hsm.EvidencePKCS11 || !e.Token.SoftwareOnly ||
		len(e.Statement) > 0 {
		t.Errorf("evidence %+v", e)
	}
	if _, told := a["CKA_LOCAL"]; !told {
		t.Error("no CKA_LOCAL")
	}
	faults.Mute(p11.CKA_LOCAL, p11.CKA_EXTRACTABLE, p11.CKA_NEVER_EXTRACTABLE, p11.CKA_KEY_GEN_MECHANISM)
	e, text, _ = read("k")
	for _, name := range []string{`"CKA_LOCAL"`, `"CKA_EXTRACTABLE"`, `"CKA_NEVER_EXTRACTABLE"`, "KEY_GEN"} {
		if strings.Contains(text, name) {
			t.Errorf("%s is told, but the token did not: %s", name, text)
		}
	}
	if k := e.Key; !k.Extractable || k.Local || k.NeverExtracted || !k.Sensitive {
		t.Errorf("what is not told makes the key better: %+v", k)
	}
	faults.Mute()
	importP256(t, tok, "foreign")
	e, text, _ = read("foreign")
	if e.Key.Local || e.Key.NeverExtracted || strings.Contains(text, "KEY_GEN") || !strings.Contains(text, `"CKA_LOCAL":false`) {
		t.Errorf("an imported key: %s", text)
	}
	if _, err := tok.(hsm.KeyAttester).AttestKey(t.Context(), "kek", nil); !errors.Is(err, hsm.ErrKeyType) {
		t.Errorf("a wrapping key: %v", err)
	}
}

// importP256 puts a pair of keys into the token that was made elsewhere.
func importP256(t *testing.T, tok hsm.Token, label string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	common := []*p11.Attribute{p11.NewAttribute(p11.CKA_TOKEN, true), p11.NewAttribute(p11.CKA_LABEL, label),
		p11.NewAttribute(p11.CKA_KEY_TYPE, p11.CKK_EC), p11.NewAttribute(p11.CKA_EC_PARAMS, []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
			0x01, 0x07})}
	pkcs11.Administer(t, tok, func(lib *p11.Ctx, s p11.SessionHandle) {
		_, err := lib.CreateObject(s, append(slices.Clone(common), p11.NewAttribute(p11.CKA_CLASS, p11.CKO_PUBLIC_KEY),
			p11.NewAttribute(p11.CKA_EC_POINT, append([]byte{4, 65}, point...))))
		if err == nil {
			_, err = lib.CreateObject(s, append(slices.Clone(common), p11.NewAttribute(p11.CKA_CLASS, p11.CKO_PRIVATE_KEY),
				p11.NewAttribute(p11.CKA_VALUE, scalar), p11.NewAttribute(p11.CKA_SIGN, true)))
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}
