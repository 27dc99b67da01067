package pkcs11_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/softhsm"
)

// with returns the URI with one attribute changed.
func with(t testing.TB, uri, name, value string) string {
	t.Helper()
	u, err := hsm.ParseURI(uri)
	if err == nil {
		u, err = u.With(name, value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return u.String()
}

// pinFile writes a PIN file and returns it as a pin-source.
func pinFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return "file:" + path
}

// refuse opens a token that must not open, and returns what it said.
func refuse(t *testing.T, uri string, o hsm.Options, want error) string {
	t.Helper()
	tok, err := drivers.Open(t.Context(), uri, o)
	if err == nil {
		_ = tok.Close()
		t.Fatalf("%s opens", uri)
	}
	if tok != nil {
		t.Error("a token comes with the error")
	}
	if want != nil && !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
	return err.Error()
}

// raw gives a test the library below the driver, while no token is open, with the slot of the token that the URI names.
func raw(t *testing.T, uri string, f func(lib *p11.Ctx, slot uint)) {
	t.Helper()
	u, err := hsm.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	lib := p11.New(u.Attr("module-path"))
	defer lib.Destroy()
	if err := lib.Initialize(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lib.Finalize() }()
	slots, err := lib.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		if info, err := lib.GetTokenInfo(slot); err == nil && info.Label == u.Attr("token") {
			f(lib, slot)
			return
		}
	}
	t.Fatal("the token is not there")
}

// Goal: a wrong PIN costs exactly one try, for the life of the process. Method: count logins below the driver, and ask the token;
// open again with the same URI, with another spelling of it, and with the right PIN.
func TestWrongPIN(t *testing.T) {
	good := softhsm.New(t)
	faults := pkcs11.InjectFaults(t)
	bad := with(t, good, "pin-source", pinFile(t, "0000wrong0000\n"))
	said := refuse(t, bad, hsm.Options{}, hsm.ErrWrongPIN)
	if strings.Contains(said, "0000wrong") {
		t.Errorf("the error tells the PIN: %s", said)
	}
	if n := faults.Calls("Login"); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
	raw(t, good, func(lib *p11.Ctx, slot uint) {
		info, err := lib.GetTokenInfo(slot)
		if err != nil || info.Flags&p11.CKF_USER_PIN_COUNT_LOW == 0 {
			t.Errorf("the token does not know of a wrong PIN: flags %x, %v", info.Flags, err)
		}
	})
	lists := faults.Calls("GetSlotList")
	refuse(t, bad, hsm.Options{}, hsm.ErrWrongPIN)
	if faults.Calls("GetSlotList") != lists {
		t.Error("the token was touched again")
	}
	refuse(t, with(t, bad, "object", "other"), hsm.Options{}, hsm.ErrWrongPIN)
	refuse(t, with(t, strings.Replace(bad, "pkcs11:", "softhsm:", 1), "model", "SoftHSM v2"), hsm.Options{}, hsm.ErrWrongPIN)
	refuse(t, good, hsm.Options{}, hsm.ErrWrongPIN)
	if n := faults.Calls("Login"); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

// Goal: a PIN that goes wrong while the token is open is not tried twice either. Method: lose the session, change the PIN file.
func TestWrongPINOnReconnection(t *testing.T) {
	uri := softhsm.New(t)
	faults := pkcs11.InjectFaults(t)
	u, err := hsm.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	pin, err := os.ReadFile(strings.TrimPrefix(u.Attr("pin-source"), "file:"))
	if err != nil {
		t.Fatal(err)
	}
	source := pinFile(t, string(pin))
	tok := openURI(t, with(t, uri, "pin-source", source), hsm.Options{})
	if err := tok.(hsm.KeyGenerator).GenerateKey(t.Context(), "k", hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(strings.TrimPrefix(source, "file:"), []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	faults.Fail("SignInit", p11.CKR_SESSION_HANDLE_INVALID)
	for range 3 {
		if _, err := tok.Sign(t.Context(), "k", nil); !errors.Is(err, hsm.ErrUnavailable) || !errors.Is(err, hsm.ErrWrongPIN) {
			t.Errorf("got %v, want unavailable because of a wrong PIN", err)
		}
	}
	if n := faults.Calls("Login"); n != 2 {
		t.Errorf("%d logins, want the first and one more", n)
	}
}

// Goal: a locked token, one without a PIN and one before its last try are left alone. Method: report the flags, count logins.
func TestPINFlags(t *testing.T) {
	uri := softhsm.New(t)
	faults := pkcs11.InjectFaults(t)
	faults.SetFlags(p11.CKF_USER_PIN_LOCKED)
	refuse(t, uri, hsm.Options{LastPINTry: true}, hsm.ErrPINLocked)
	faults.SetFlags(p11.CKF_USER_PIN_FINAL_TRY)
	refuse(t, uri, hsm.Options{}, hsm.ErrLastPINTry)
	if n := faults.Calls("Login"); n != 0 {
		t.Errorf("%d logins, want none", n)
	}
	tok := openURI(t, uri, hsm.Options{LastPINTry: true})
	if info, err := tok.Info(t.Context()); err != nil || !info.PINTriesLow || info.PINTries != "last" {
		t.Errorf("Info does not tell that tries are low: %+v, %v", info, err)
	}
}

// Goal: a token that locks at login is ErrPINLocked. Method: the library says so.
func TestPINLockedAtLogin(t *testing.T) {
	uri := softhsm.New(t)
	faults := pkcs11.InjectFaults(t)
	faults.Fail("Login", p11.CKR_PIN_LOCKED)
	refuse(t, uri, hsm.Options{}, hsm.ErrPINLocked)
	if n := faults.Calls("Login"); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

// Goal: no PIN, no login. Method: every kind of unreadable source, then count logins.
func TestUnreadablePINSource(t *testing.T) {
	uri := softhsm.New(t)
	faults := pkcs11.InjectFaults(t)
	for name, source := range map[string]string{
		"absent file":     "file:/nonexistent/pin",
		"empty file":      pinFile(t, ""),
		"only a newline":  pinFile(t, "\n"),
		"two lines":       pinFile(t, "1234\n5678\n"),
		"unset variable":  "env:MPCD_TEST_UNSET",
		"no credentials":  "cred:hsm-pin",
		"relative file":   "file:pin",
		"path credential": "cred:../pin",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("CREDENTIALS_DIRECTORY", "")
			if said := refuse(t, with(t, uri, "pin-source", source), hsm.Options{}, nil); strings.Contains(said, "1234") {
				t.Errorf("the error tells the PIN: %s", said)
			}
		})
	}
	bare, _, _ := strings.Cut(uri, "&pin-source")
	refuse(t, bare, hsm.Options{}, hsm.ErrURI)
	if n := faults.Calls("Login"); n != 0 {
		t.Errorf("%d logins, want none", n)
	}
}
