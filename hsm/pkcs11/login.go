package pkcs11

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

// refusedPINs remembers, for the life of the process, the URIs and tokens for which a PIN was refused. A token locks itself
// after a few wrong PINs, so a supervisor's loop of retries would lock it for good.
var refusedPINs sync.Map

func refusedBefore(what string) error {
	if _, ok := refusedPINs.Load(what); !ok {
		return nil
	}
	return fmt.Errorf("pkcs11: %w: it was refused earlier, so the token was not asked again; correct the pin-source and restart the process",
		hsm.ErrWrongPIN)
}

// connect finds the token, opens a session that keeps the login alive, and logs in. The caller holds calls for writing.
func (t *token) connect() (*link, error) {
	slot, info, err := t.selectSlot()
	if err != nil {
		return nil, err
	}
	lib, most := t.mod.lib, told(info.MaxRwSessionCount)
	if most == 1 {
		return nil, fmt.Errorf("pkcs11: %w: %s allows one session, a login and an operation need two", hsm.ErrUnsupported, t.name())
	}
	anchor, err := lib.OpenSession(slot, p11.CKF_SERIAL_SESSION|p11.CKF_RW_SESSION)
	if err != nil {
		return nil, explain("open session in "+t.name(), err)
	}
	if err := t.login(anchor, info); err != nil {
		_ = lib.CloseSession(anchor)
		return nil, err
	}
	t.serial = info.SerialNumber // from now on no other token of that label will do
	return &link{epoch: t.mod.epoch, slot: slot, anchor: anchor, sessionsMax: most, keys: map[keyName]*key{}, freed: make(chan struct{}, 1)},
		nil
}

// login tries the PIN once, and not at all where that may lock the token.
func (t *token) login(s p11.SessionHandle, info p11.TokenInfo) error {
	identity := t.mod.path + "\x00" + info.SerialNumber + "\x00" + info.Label
	switch f := info.Flags; {
	case f&p11.CKF_LOGIN_REQUIRED == 0:
		return nil
	case f&p11.CKF_USER_PIN_LOCKED != 0:
		return fmt.Errorf("pkcs11: %w: %s; the security officer must set a new PIN", hsm.ErrPINLocked, t.name())
	case f&p11.CKF_USER_PIN_INITIALIZED == 0:
		return fmt.Errorf("pkcs11: %w: %s has no user PIN yet; set one as the security officer", hsm.ErrUnavailable, t.name())
	case f&p11.CKF_USER_PIN_FINAL_TRY != 0 && !t.options.LastPINTry:
		return fmt.Errorf("pkcs11: %w: %s would be locked by another wrong PIN, so none was tried; log in once by hand, or allow the last try",
			hsm.ErrLastPINTry, t.name())
	case f&p11.CKF_USER_PIN_COUNT_LOW != 0:
		t.log.Warn("a wrong PIN was tried on the token since the last login", "token", info.Label, "serial", info.SerialNumber)
	}
	if err := refusedBefore(identity); err != nil {
		return err
	}
	pin, err := hsm.ReadPIN(t.uri.Attr("pin-source"))
	if err != nil {
		return err
	}
	defer pin.Wipe()
	err = t.mod.lib.Login(s, p11.CKU_USER, lend(pin))
	if rv(err) == p11.CKR_USER_ALREADY_LOGGED_IN { // by another open token of this process: the login is shared (PKCS#11 §5.6)
		return nil
	}
	if err != nil {
		err = explain("log in to "+t.name(), err)
		if errors.Is(err, hsm.ErrWrongPIN) {
			refusedPINs.Store(identity, struct{}{})
			refusedPINs.Store(t.uri.String(), struct{}{})
			err = fmt.Errorf("%w; it will not be tried again by this process: correct the pin-source and restart it", err)
		}
	}
	return err
}

// lend passes a secret to a function that wants a string, without a copy on the Go heap. The string dies with the secret.
func lend(s *secret.Bytes) string {
	b := s.Bytes()
	return unsafe.String(unsafe.SliceData(b), len(b))
}
