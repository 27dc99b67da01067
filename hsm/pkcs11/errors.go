package pkcs11

import (
	"errors"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
)

// Return values that v1.1.2 of the binding does not name (PKCS#11 v3.0 §6).
const (
	ckrCurveNotSupported = 0x140
	ckrAEADDecryptFailed = 0x35
)

// meaning sorts return values into what callers branch on.
var meaning = map[p11.Error]error{
	p11.CKR_PIN_INCORRECT:              hsm.ErrWrongPIN,
	p11.CKR_PIN_INVALID:                hsm.ErrWrongPIN,
	p11.CKR_PIN_LEN_RANGE:              hsm.ErrWrongPIN,
	p11.CKR_PIN_EXPIRED:                hsm.ErrWrongPIN,
	p11.CKR_PIN_LOCKED:                 hsm.ErrPINLocked,
	p11.CKR_MECHANISM_INVALID:          hsm.ErrUnsupported,
	p11.CKR_MECHANISM_PARAM_INVALID:    hsm.ErrUnsupported,
	p11.CKR_FUNCTION_NOT_SUPPORTED:     hsm.ErrUnsupported,
	p11.CKR_DOMAIN_PARAMS_INVALID:      hsm.ErrUnsupported,
	p11.CKR_RANDOM_NO_RNG:              hsm.ErrUnsupported,
	ckrCurveNotSupported:               hsm.ErrUnsupported,
	p11.CKR_KEY_TYPE_INCONSISTENT:      hsm.ErrKeyType,
	p11.CKR_KEY_FUNCTION_NOT_PERMITTED: hsm.ErrKeyType,
	p11.CKR_SESSION_HANDLE_INVALID:     hsm.ErrUnavailable,
	p11.CKR_SESSION_CLOSED:             hsm.ErrUnavailable,
	p11.CKR_DEVICE_REMOVED:             hsm.ErrUnavailable,
	p11.CKR_DEVICE_ERROR:               hsm.ErrUnavailable,
	p11.CKR_TOKEN_NOT_PRESENT:          hsm.ErrUnavailable,
	p11.CKR_TOKEN_NOT_RECOGNIZED:       hsm.ErrUnavailable,
	p11.CKR_SLOT_ID_INVALID:            hsm.ErrUnavailable,
	p11.CKR_USER_NOT_LOGGED_IN:         hsm.ErrUnavailable,
	p11.CKR_CRYPTOKI_NOT_INITIALIZED:   hsm.ErrUnavailable,
	p11.CKR_SESSION_COUNT:              hsm.ErrUnavailable,
}

// explain says what was being done and sorts the error. A value that stands for nothing in particular is a fault of the token: of a damaged
// one any may come.
func explain(what string, err error) error {
	if rv := rv(err); rv != p11.CKR_OK {
		m := meaning[rv]
		if m == nil {
			m = hsm.ErrUnavailable
		}
		if !errors.Is(err, m) {
			return fmt.Errorf("pkcs11: %s: %w: %w", what, m, err)
		}
	}
	return fmt.Errorf("pkcs11: %s: %w", what, err)
}

// rv is the return value within the error, CKR_OK if there is none.
func rv(err error) p11.Error {
	var e p11.Error
	errors.As(err, &e)
	return e
}

// lost tells that sessions or the device are gone: a reconnection may help.
func lost(err error) bool {
	switch rv(err) {
	case p11.CKR_SESSION_HANDLE_INVALID, p11.CKR_SESSION_CLOSED, p11.CKR_DEVICE_REMOVED, p11.CKR_DEVICE_ERROR, p11.CKR_TOKEN_NOT_PRESENT,
		p11.CKR_TOKEN_NOT_RECOGNIZED, p11.CKR_SLOT_ID_INVALID, p11.CKR_USER_NOT_LOGGED_IN, p11.CKR_CRYPTOKI_NOT_INITIALIZED:
		return true
	}
	return false
}

// stale tells that a remembered object is gone: it may be there under another handle.
func stale(err error) bool {
	switch rv(err) {
	case p11.CKR_OBJECT_HANDLE_INVALID, p11.CKR_KEY_HANDLE_INVALID:
		return true
	}
	return false
}
