package pkcs11_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/softhsm"
)

// faulty opens a fresh token with faults below it, and makes the key "k" (P-256) and the wrapping key "kek" in it.
func faulty(t *testing.T, o hsm.Options) (hsm.Token, *pkcs11.Faults) {
	t.Helper()
	faults := pkcs11.InjectFaults(t)
	tok := openURI(t, softhsm.New(t), o)
	for id, kind := range map[string]hsm.KeyType{"k": hsm.KeyP256, "kek": hsm.KeyAESWrap} {
		if err := tok.(hsm.KeyGenerator).GenerateKey(t.Context(), id, kind); err != nil {
			t.Fatal(err)
		}
	}
	return tok, faults
}

// Goal: an operation survives one loss of session or device, and reports two. Method: every return value that tells of a loss, once
// and twice in a row; afterwards the token works again.
func TestReconnect(t *testing.T) {
	tok, faults := faulty(t, hsm.Options{})
	for _, value := range []uint{p11.CKR_SESSION_HANDLE_INVALID, p11.CKR_SESSION_CLOSED, p11.CKR_DEVICE_REMOVED, p11.CKR_DEVICE_ERROR,
		p11.CKR_TOKEN_NOT_PRESENT, p11.CKR_USER_NOT_LOGGED_IN, p11.CKR_CRYPTOKI_NOT_INITIALIZED} {
		t.Run(p11.Error(value).Error(), func(t *testing.T) {
			logins := faults.Calls("Login")
			faults.Fail("SignInit", value)
			if _, err := tok.Sign(t.Context(), "k", nil); err != nil {
				t.Errorf("lost once: %v", err)
			}
			if n := faults.Calls("Login") - logins; n != 1 {
				t.Errorf("%d logins for a reconnection", n)
			}
			faults.Fail("SignInit", value, value)
			if _, err := tok.Sign(t.Context(), "k", nil); !errors.Is(err, hsm.ErrUnavailable) {
				t.Errorf("lost twice: %v", err)
			}
			if _, err := tok.Sign(t.Context(), "k", nil); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// Goal: whatever a token returns that stands for nothing in particular is a fault of the token, also where it is opened and its keys are
// looked up: of a damaged one any value may come. Method: values of the standard and a vendor's, at each call of the way to a signature.
func TestAnyReturnValue(t *testing.T) {
	faults := pkcs11.InjectFaults(t)
	uri := softhsm.New(t)
	if err := openURI(t, uri, hsm.Options{}).(hsm.KeyGenerator).GenerateKey(t.Context(), "k", hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
	u, err := hsm.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	use := func() error {
		tok, err := pkcs11.Open(t.Context(), u, hsm.Options{})
		if err == nil {
			defer tok.Close()
			_, err = tok.Sign(t.Context(), "k", nil)
		}
		return err
	}
	for _, value := range []uint{p11.CKR_GENERAL_ERROR, p11.CKR_FUNCTION_FAILED, p11.CKR_HOST_MEMORY, p11.CKR_DEVICE_MEMORY,
		p11.CKR_ARGUMENTS_BAD, p11.CKR_OBJECT_HANDLE_INVALID, p11.CKR_ATTRIBUTE_TYPE_INVALID, p11.CKR_VENDOR_DEFINED + 7, 0x7777} {
		for _, call := range []string{"GetSlotList", "OpenSession", "Login", "FindObjectsInit", "SignInit", "Sign"} {
			faults.Fail(call, value, value, value, value)
			if err := use(); !errors.Is(err, hsm.ErrUnavailable) {
				t.Errorf("0x%x of %s: %v", value, call, err)
			}
			faults.Drain(call)
			if err := use(); err != nil {
				t.Fatalf("after 0x%x of %s: %v", value, call, err)
			}
		}
	}
}

// Goal: a library that lost its device is initialised anew, and its other tokens find back. Method: fail the reconnection, then use
// a second token of the same library.
func TestRestartModule(t *testing.T) {
	tok, faults := faulty(t, hsm.Options{})
	other := openURI(t, softhsm.New(t), hsm.Options{})
	if err := other.(hsm.KeyGenerator).GenerateKey(t.Context(), "k", hsm.KeyEd25519); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Sign(t.Context(), "k", nil); err != nil { // now it has handles to forget
		t.Fatal(err)
	}
	initialised, begun := faults.Calls("Initialize"), faults.Calls("SignInit")
	faults.Fail("Sign", p11.CKR_DEVICE_ERROR)
	faults.Fail("GetSlotList", p11.CKR_DEVICE_ERROR)
	for _, tok := range []hsm.Token{tok, other, tok} {
		if _, err := tok.Sign(t.Context(), "k", nil); err != nil {
			t.Error(err)
		}
	}
	if n := faults.Calls("Initialize") - initialised; n != 1 {
		t.Errorf("%d initialisations, want 1", n)
	}
	if n := faults.Calls("SignInit") - begun; n != 4 {
		t.Errorf("%d signatures begun, want 3 and the one that failed: a handle of before was used", n)
	}
	faults.Fail("Sign", p11.CKR_DEVICE_ERROR)
	faults.Fail("GetSlotList", p11.CKR_DEVICE_ERROR)
	faults.Fail("Initialize", p11.CKR_DEVICE_ERROR)
	if _, err := tok.Sign(t.Context(), "k", nil); !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("a library that does not come back: %v", err)
	}
	for _, tok := range []hsm.Token{tok, other} {
		if _, err := tok.Sign(t.Context(), "k", nil); err != nil {
			t.Errorf("it came back, but: %v", err)
		}
	}
}

// Goal: operations that lose the device together reconnect it once, and all succeed. Method: hold four calls in the library, and
// fail them all.
func TestReconnectConcurrently(t *testing.T) {
	tok, faults := faulty(t, hsm.Options{Sessions: 4})
	logins := faults.Calls("Login")
	held, release := faults.Hold()
	faults.Fail("Sign", p11.CKR_DEVICE_REMOVED, p11.CKR_DEVICE_REMOVED, p11.CKR_DEVICE_REMOVED, p11.CKR_DEVICE_REMOVED)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			if _, err := tok.Sign(t.Context(), "k", fmt.Append(nil, i)); err != nil {
				t.Error(err)
			}
		})
	}
	for range 4 {
		<-held
	}
	release()
	wg.Wait()
	if n := faults.Calls("Login") - logins; n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

// Goal: a reconnection finds the same token or none, and gives no PIN to another. Method: exchange it for one of the same label.
func TestExchangedToken(t *testing.T) {
	tok, faults := faulty(t, hsm.Options{})
	logins := faults.Calls("Login")
	faults.Exchange("another")
	faults.Fail("SignInit", p11.CKR_DEVICE_REMOVED)
	if _, err := tok.Sign(t.Context(), "k", nil); !errors.Is(err, hsm.ErrUnavailable) || !errors.Is(err, hsm.ErrNoToken) {
		t.Errorf("got %v", err)
	}
	if n := faults.Calls("Login") - logins; n != 0 {
		t.Errorf("%d logins to another token", n)
	}
	faults.Exchange("")
	if _, err := tok.Sign(t.Context(), "k", nil); err != nil {
		t.Errorf("the token is back: %v", err)
	}
}

// Goal: an object that got another handle is looked up again. Method: the library says so once.
func TestStaleHandle(t *testing.T) {
	tok, faults := faulty(t, hsm.Options{})
	if _, err := tok.Sign(t.Context(), "k", nil); err != nil {
		t.Fatal(err)
	}
	faults.Fail("SignInit", p11.CKR_KEY_HANDLE_INVALID)
	if _, err := tok.Sign(t.Context(), "k", nil); err != nil {
		t.Error(err)
	}
	pkcs11.Administer(t, tok, func(lib *p11.Ctx, s p11.SessionHandle) { destroy(t, lib, s, "k") })
	if _, err := tok.Sign(t.Context(), "k", nil); !errors.Is(err, hsm.ErrNoKey) {
		t.Errorf("the key was destroyed: %v", err)
	}
}

// destroy removes every object of that label.
func destroy(t *testing.T, lib *p11.Ctx, s p11.SessionHandle, label string) {
	t.Helper()
	if err := lib.FindObjectsInit(s, []*p11.Attribute{p11.NewAttribute(p11.CKA_LABEL, label)}); err != nil {
		t.Fatal(err)
	}
	found, _, err := lib.FindObjects(s, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := lib.FindObjectsFinal(s); err != nil {
		t.Fatal(err)
	}
	for _, o := range found {
		if err := lib.DestroyObject(s, o); err != nil {
			t.Fatal(err)
		}
	}
}

// Goal: no wrong signature leaves. Method: the library changes one bit.
func TestWrongSignature(t *testing.T) {
	tok, faults := faulty(t, hsm.Options{})
	faults.Fail("Sign", pkcs11.ReturnGarbage)
	if sig, err := tok.Sign(t.Context(), "k", nil); !errors.Is(err, hsm.ErrUnavailable) || sig != nil {
		t.Errorf("got %x, %v", sig, err)
	}
}

// Goal: a general error is a tampered secret only if the token is sound. Method: fail the decryption, and then also the proof.
func TestUnwrapFault(t *testing.T) {
	tok, faults := faulty(t, hsm.Options{})
	w := tok.(hsm.KeyWrapper)
	wrapped, err := w.Wrap(t.Context(), "kek", make([]byte, 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	faults.Fail("Decrypt", p11.CKR_GENERAL_ERROR)
	if _, err := w.Unwrap(t.Context(), "kek", wrapped, nil); !errors.Is(err, hsm.ErrIntegrity) {
		t.Errorf("a sound token: %v", err)
	}
	faults.Fail("Decrypt", p11.CKR_GENERAL_ERROR, p11.CKR_GENERAL_ERROR)
	if _, err := w.Unwrap(t.Context(), "kek", wrapped, nil); errors.Is(err, hsm.ErrIntegrity) || !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("a token at fault: %v", err)
	}
	faults.Fail("EncryptInit", p11.CKR_MECHANISM_INVALID)
	if _, err := w.Wrap(t.Context(), "kek", make([]byte, 32), nil); !errors.Is(err, hsm.ErrUnsupported) ||
		!strings.Contains(err.Error(), "AES-GCM") {
		t.Errorf("a token without AES-GCM: %v", err)
	}
	faults.Fail("EncryptInit", p11.CKR_DEVICE_ERROR) // the secret must be there for the second try
	wrapped, err = w.Wrap(t.Context(), "kek", bytes.Repeat([]byte{7}, 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := w.Unwrap(t.Context(), "kek", wrapped, nil); err != nil || !bytes.Equal(back, bytes.Repeat([]byte{7}, 32)) {
		t.Errorf("after a reconnection: %x, %v", back, err)
	}
}

// Goal: making a key that fails leaves nothing, and is repeated where SoftHSM fails for no reason. Method: failures of every kind.
func TestGenerateFault(t *testing.T) {
	tok, faults := faulty(t, hsm.Options{})
	g := tok.(hsm.KeyGenerator)
	count := func() int {
		t.Helper()
		keys, err := tok.(hsm.KeyLister).Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(keys)
	}
	before := count()
	faults.Fail("GenerateKeyPair", p11.CKR_GENERAL_ERROR, p11.CKR_GENERAL_ERROR, p11.CKR_GENERAL_ERROR)
	if err := g.GenerateKey(t.Context(), "never", hsm.KeyP256); err == nil {
		t.Error("three failures are none")
	}
	faults.Fail("GenerateKeyPair", p11.CKR_FUNCTION_NOT_SUPPORTED)
	if err := g.GenerateKey(t.Context(), "never", hsm.KeyP256); !errors.Is(err, hsm.ErrUnsupported) {
		t.Errorf("not supported: %v", err)
	}
	faults.Fail("GenerateKeyPair", pkcs11.Careless)
	if err := g.GenerateKey(t.Context(), "never", hsm.KeyP256); !errors.Is(err, hsm.ErrUnsupported) {
		t.Errorf("an extractable key: %v", err)
	}
	if n := count(); n != before {
		t.Errorf("%d keys left behind", n-before)
	}
	faults.Fail("GenerateKeyPair", pkcs11.HalfMade, p11.CKR_TEMPLATE_INCONSISTENT)
	if err := g.GenerateKey(t.Context(), "third", hsm.KeyP256); err != nil {
		t.Error(err)
	}
	faults.Fail("GenerateKeyPair", p11.CKR_DEVICE_ERROR)
	if err := g.GenerateKey(t.Context(), "reconnected", hsm.KeyP256); err != nil {
		t.Error(err)
	}
	faults.Fail("GenerateKeyPair", p11.CKR_DOMAIN_PARAMS_INVALID)
	if err := g.GenerateKey(t.Context(), "other spelling", hsm.KeyEd25519); err != nil {
		t.Error(err)
	}
	if n := count(); n != before+3 {
		t.Errorf("%d keys, want %d", n, before+3)
	}
	for _, id := range []string{"third", "reconnected", "other spelling"} {
		if _, err := tok.Sign(t.Context(), id, nil); err != nil {
			t.Error(err)
		}
	}
}

// Goal: objects of one label are never chosen between. Method: put twins beside a key, as foreign tools may.
func TestAmbiguousKey(t *testing.T) {
	tok, _ := faulty(t, hsm.Options{})
	pkcs11.Administer(t, tok, func(lib *p11.Ctx, s p11.SessionHandle) {
		attributes := []*p11.Attribute{p11.NewAttribute(p11.CKA_TOKEN, true), p11.NewAttribute(p11.CKA_LABEL, "k")}
		point := append(attributes, p11.NewAttribute(p11.CKA_EC_PARAMS, []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}))
		if _, _, err := lib.GenerateKeyPair(s, []*p11.Mechanism{p11.NewMechanism(p11.CKM_EC_KEY_PAIR_GEN, nil)}, point, attributes); err != nil {
			t.Fatal(err)
		}
		kek := []*p11.Attribute{p11.NewAttribute(p11.CKA_TOKEN, true), p11.NewAttribute(p11.CKA_LABEL, "kek"),
			p11.NewAttribute(p11.CKA_VALUE_LEN, 32)}
		if _, err := lib.GenerateKey(s, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_KEY_GEN, nil)}, kek); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := tok.Sign(t.Context(), "k", nil); !errors.Is(err, hsm.ErrAmbiguous) {
		t.Errorf("two private keys: %v", err)
	}
	if _, err := tok.(hsm.KeyWrapper).Wrap(t.Context(), "kek", make([]byte, 32), nil); !errors.Is(err, hsm.ErrAmbiguous) {
		t.Errorf("two secret keys: %v", err)
	}
}

// Goal: the public half is the one of the private key. Method: add a second with its label and CKA_ID, then remove both.
func TestPublicHalf(t *testing.T) {
	tok, _ := faulty(t, hsm.Options{})
	halves := []*p11.Attribute{p11.NewAttribute(p11.CKA_LABEL, "k"), p11.NewAttribute(p11.CKA_CLASS, p11.CKO_PUBLIC_KEY)}
	find := func(lib *p11.Ctx, s p11.SessionHandle) []p11.ObjectHandle {
		if err := lib.FindObjectsInit(s, halves); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = lib.FindObjectsFinal(s) }()
		found, _, err := lib.FindObjects(s, 10)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	pkcs11.Administer(t, tok, func(lib *p11.Ctx, s p11.SessionHandle) {
		if _, err := lib.CopyObject(s, find(lib, s)[0], halves[:1]); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := tok.Sign(t.Context(), "k", nil); !errors.Is(err, hsm.ErrAmbiguous) {
		t.Errorf("two public halves: %v", err)
	}
	pkcs11.Administer(t, tok, func(lib *p11.Ctx, s p11.SessionHandle) {
		for _, o := range find(lib, s) {
			if err := lib.DestroyObject(s, o); err != nil {
				t.Fatal(err)
			}
		}
	})
	if _, err := tok.Sign(t.Context(), "k", nil); !errors.Is(err, hsm.ErrNoKey) || !strings.Contains(err.Error(), "public half") {
		t.Errorf("no public half: %v", err)
	}
}

// Goal: a key has exactly the rights it needs, and its value cannot be read. Method: ask for every attribute below the driver.
func TestKeyRights(t *testing.T) {
	tok, _ := faulty(t, hsm.Options{})
	pkcs11.Administer(t, tok, func(lib *p11.Ctx, s p11.SessionHandle) {
		for class, want := range map[uint]map[uint]byte{
			p11.CKO_SECRET_KEY: {p11.CKA_PRIVATE: 1, p11.CKA_SENSITIVE: 1, p11.CKA_EXTRACTABLE: 0, p11.CKA_ENCRYPT: 1, p11.CKA_DECRYPT: 1,
				p11.CKA_WRAP: 0, p11.CKA_UNWRAP: 0, p11.CKA_NEVER_EXTRACTABLE: 1, p11.CKA_ALWAYS_SENSITIVE: 1, p11.CKA_LOCAL: 1},
			p11.CKO_PRIVATE_KEY: {p11.CKA_PRIVATE: 1, p11.CKA_SENSITIVE: 1, p11.CKA_EXTRACTABLE: 0, p11.CKA_SIGN: 1, p11.CKA_NEVER_EXTRACTABLE: 1,
				p11.CKA_ALWAYS_SENSITIVE: 1, p11.CKA_LOCAL: 1},
		} {
			if err := lib.FindObjectsInit(s, []*p11.Attribute{p11.NewAttribute(p11.CKA_CLASS, class)}); err != nil {
				t.Fatal(err)
			}
			found, _, err := lib.FindObjects(s, 10)
			if err != nil || len(found) != 1 {
				t.Fatalf("%d objects, %v", len(found), err)
			}
			if err := lib.FindObjectsFinal(s); err != nil {
				t.Fatal(err)
			}
			for name, value := range want {
				a, err := lib.GetAttributeValue(s, found[0], []*p11.Attribute{p11.NewAttribute(name, nil)})
				if err != nil || len(a[0].Value) != 1 || a[0].Value[0] != value {
					t.Errorf("class %d, attribute 0x%x is not %d: %v", class, name, value, err)
				}
			}
			if _, err := lib.GetAttributeValue(s, found[0], []*p11.Attribute{p11.NewAttribute(p11.CKA_VALUE, nil)}); !errors.Is(err,
				p11.Error(p11.CKR_ATTRIBUTE_SENSITIVE)) {
				t.Errorf("class %d: the value: %v", class, err)
			}
		}
	})
}

// Goal: a closed token says so, and does not try to reconnect. Method: close, sign.
func TestClosedSaysSo(t *testing.T) {
	tok, faults := faulty(t, hsm.Options{})
	if err := tok.Close(); err != nil {
		t.Fatal(err)
	}
	logins := faults.Calls("Login")
	if _, err := tok.Sign(t.Context(), "k", nil); !errors.Is(err, hsm.ErrUnavailable) || !strings.Contains(err.Error(), "closed") {
		t.Errorf("got %v", err)
	}
	if faults.Calls("Login") != logins {
		t.Error("it logged in again")
	}
}

// Goal: keys that are none of ours are refused. Method: RSA, AES-128, P-384, made below the driver.
func TestForeignKeys(t *testing.T) {
	tok, _ := faulty(t, hsm.Options{})
	pkcs11.Administer(t, tok, func(lib *p11.Ctx, s p11.SessionHandle) {
		named := func(label string, more ...*p11.Attribute) []*p11.Attribute {
			return append([]*p11.Attribute{p11.NewAttribute(p11.CKA_TOKEN, true), p11.NewAttribute(p11.CKA_LABEL, label)}, more...)
		}
		_, _, err := lib.GenerateKeyPair(s, []*p11.Mechanism{p11.NewMechanism(p11.CKM_RSA_PKCS_KEY_PAIR_GEN, nil)},
			named("rsa", p11.NewAttribute(p11.CKA_MODULUS_BITS, 1024), p11.NewAttribute(p11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})), named("rsa"))
		if err == nil {
			_, _, err = lib.GenerateKeyPair(s, []*p11.Mechanism{p11.NewMechanism(p11.CKM_EC_KEY_PAIR_GEN, nil)},
				named("p384", p11.NewAttribute(p11.CKA_EC_PARAMS, []byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22})), named("p384"))
		}
		if err == nil {
			_, err = lib.GenerateKey(s, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_KEY_GEN, nil)},
				named("aes128", p11.NewAttribute(p11.CKA_VALUE_LEN, 16)))
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	for _, id := range []string{"rsa", "p384"} {
		if _, err := tok.Sign(t.Context(), id, nil); !errors.Is(err, hsm.ErrKeyType) {
			t.Errorf("sign with %s: %v", id, err)
		}
	}
	if _, err := tok.(hsm.KeyWrapper).Wrap(t.Context(), "aes128", make([]byte, 32), nil); !errors.Is(err, hsm.ErrKeyType) {
		t.Errorf("wrap with AES-128: %v", err)
	}
	if keys, err := tok.(hsm.KeyLister).Keys(t.Context()); err != nil || len(keys) != 5 {
		t.Errorf("%d keys listed, want 5: %v", len(keys), err)
	}
}

// Goal: a caller leaves a call that hangs, and the bound on sessions holds meanwhile. Method: hold two calls in the library.
func TestHangingCall(t *testing.T) {
	tok, faults := faulty(t, hsm.Options{Sessions: 2})
	held, release := faults.Hold()
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, 3)
	sign := func() {
		_, err := tok.Sign(ctx, "k", nil)
		results <- err
	}
	go sign()
	go sign()
	<-held
	<-held
	go sign() // finds no place
	cancel()
	for range 3 {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if n := len(held); n != 0 {
		t.Errorf("%d calls beyond the bound", n)
	}
	release()
	if _, err := tok.Sign(t.Context(), "k", nil); err != nil {
		t.Error(err)
	}
}

// Goal: nothing secret reaches the log. Method: log all of a life with losses, look for the PIN and the secret.
func TestLog(t *testing.T) {
	var out bytes.Buffer
	uri := softhsm.New(t)
	u, err := hsm.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	pin, err := os.ReadFile(strings.TrimPrefix(u.Attr("pin-source"), "file:"))
	if err != nil {
		t.Fatal(err)
	}
	faults := pkcs11.InjectFaults(t)
	tok := openURI(t, uri, hsm.Options{Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err := tok.(hsm.KeyGenerator).GenerateKey(t.Context(), "kek", hsm.KeyAESWrap); err != nil {
		t.Fatal(err)
	}
	faults.Fail("EncryptInit", p11.CKR_DEVICE_ERROR)
	if _, err := tok.(hsm.KeyWrapper).Wrap(t.Context(), "kek", []byte("known secret"), nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "reconnect") {
		t.Errorf("the loss is not logged: %s", out.String())
	}
	for _, s := range []string{string(pin), "known secret"} {
		if strings.Contains(out.String(), s) {
			t.Error("a secret is in the log")
		}
	}
}
