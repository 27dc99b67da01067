package pkcs11_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/softhsm"
)

// Goal: the driver never opens more sessions than the token allows, and says what it allows. Method: a token of three, which is a login and
// two operations; hold two and try a third.
func TestSessionLimit(t *testing.T) {
	uri := softhsm.New(t)
	faults := pkcs11.InjectFaults(t)
	faults.AllowSessions(3)
	tok := openURI(t, uri, hsm.Options{Sessions: 10})
	if err := tok.(hsm.KeyGenerator).GenerateKey(t.Context(), "k", hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
	if info, err := tok.Info(t.Context()); err != nil || info.MaxSessions != 3 {
		t.Errorf("%+v, %v", info, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, 3)
	sign := func() { _, err := tok.Sign(ctx, "k", nil); results <- err }
	held, release := faults.Hold()
	go sign()
	go sign()
	<-held
	<-held
	go sign()
	cancel()
	for range 3 {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if len(held) != 0 {
		t.Error("a third operation was begun")
	}
	release()
}

// Goal: a token of one session is refused with the reason. Method: it says so.
func TestOneSession(t *testing.T) {
	uri := softhsm.New(t)
	faults := pkcs11.InjectFaults(t)
	faults.AllowSessions(1)
	refuse(t, uri, hsm.Options{}, hsm.ErrUnsupported)
	if n := faults.Calls("Login"); n != 0 {
		t.Errorf("%d logins", n)
	}
}

// Goal: where other programs hold the token's sessions, an operation waits for one of ours, and fails when there is none to wait for.
// Method: the library refuses to open a session while one is held, then while none is.
func TestSessionCount(t *testing.T) {
	tok, faults := faulty(t, hsm.Options{Sessions: 3})
	held, release := faults.Hold()
	results := make(chan error, 2)
	sign := func() { _, err := tok.Sign(t.Context(), "k", nil); results <- err }
	go sign()
	<-held
	before := faults.Calls("OpenSession")
	faults.Fail("OpenSession", p11.CKR_SESSION_COUNT, p11.CKR_SESSION_COUNT, p11.CKR_SESSION_COUNT, p11.CKR_SESSION_COUNT)
	go sign()
	for faults.Calls("OpenSession") == before {
		time.Sleep(time.Millisecond) // until it was refused
	}
	select {
	case err := <-results:
		release()
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	release()
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	faults.Fail("Sign", p11.CKR_GENERAL_ERROR) // its session is closed
	if _, err := tok.Sign(t.Context(), "k", nil); err == nil {
		t.Error("a general error is none")
	}
	faults.Drain("OpenSession")
	faults.Fail("OpenSession", p11.CKR_SESSION_COUNT)
	if _, err := tok.Sign(t.Context(), "k", nil); !errors.Is(err, hsm.ErrUnavailable) || !strings.Contains(err.Error(), "taken by others") {
		t.Errorf("no session is left: %v", err)
	}
	if _, err := tok.Sign(t.Context(), "k", nil); err != nil {
		t.Error(err)
	}
}
