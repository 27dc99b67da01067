package pkcs11

import (
	"context"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

// labelMax is the length of CK_TOKEN_INFO.label, in bytes.
const labelMax = 32

// InitToken makes an empty token of the library into one with that label and these PINs, and returns its serial number. No PIN
// passes a command line. It never touches a token that is initialised, and refuses a label that is taken (ErrAmbiguous).
// ErrNoToken if the library has no empty token.
func InitToken(ctx context.Context, modulePath, label string, soPIN, pin *secret.Bytes) (serial string, err error) {
	if label == "" || len(label) > labelMax {
		return "", fmt.Errorf("pkcs11: token label of %d bytes, must be 1 to %d", len(label), labelMax)
	}
	m, err := borrow(modulePath, "")
	if err != nil {
		return "", err
	}
	defer m.release()
	m.calls.RLock() // before the lock of administration, as operations take them
	defer m.calls.RUnlock()
	unlock, err := m.lockAdmin(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	empty, err := m.emptySlot(label)
	if err != nil {
		return "", err
	}
	if err := m.lib.InitToken(empty, lend(soPIN), label); err != nil {
		return "", explain(fmt.Sprintf("initialise token %q", label), err)
	}
	return m.setPIN(label, soPIN, pin)
}

func (m *module) emptySlot(label string) (uint, error) {
	slots, err := m.lib.GetSlotList(true)
	if err != nil {
		return 0, explain("list slots", err)
	}
	var empty []uint
	for _, slot := range slots {
		switch info, err := m.tokenInfo(slot); {
		case err != nil:
			return 0, explain("list tokens", err)
		case info.Flags&p11.CKF_TOKEN_INITIALIZED == 0:
			empty = append(empty, slot)
		case info.Label == label:
			return 0, fmt.Errorf("pkcs11: %w: %s has a token %q already; choose another label", hsm.ErrAmbiguous, m.path, label)
		}
	}
	if len(empty) == 0 {
		return 0, fmt.Errorf("pkcs11: %w: %s has no empty token", hsm.ErrNoToken, m.path)
	}
	return empty[0], nil
}

// setPIN sets the user PIN of a token just made; its slot may have another number by now.
func (m *module) setPIN(label string, soPIN, pin *secret.Bytes) (string, error) {
	slots, err := m.lib.GetSlotList(true)
	if err != nil {
		return "", explain("list slots", err)
	}
	for _, slot := range slots {
		info, err := m.tokenInfo(slot)
		if err != nil || info.Flags&p11.CKF_TOKEN_INITIALIZED == 0 || info.Label != label {
			continue
		}
		s, err := m.lib.OpenSession(slot, p11.CKF_SERIAL_SESSION|p11.CKF_RW_SESSION)
		if err != nil {
			return "", explain("open session in the new token", err)
		}
		defer func() { _ = m.lib.CloseSession(s) }()
		if err := m.lib.Login(s, p11.CKU_SO, lend(soPIN)); err != nil {
			return "", explain("log in as security officer", err)
		}
		defer func() { _ = m.lib.Logout(s) }()
		if err := m.lib.InitPIN(s, lend(pin)); err != nil {
			return "", explain("set the user PIN", err)
		}
		return info.SerialNumber, nil
	}
	return "", fmt.Errorf("pkcs11: %w: the new token %q does not show up", hsm.ErrNoToken, label)
}
