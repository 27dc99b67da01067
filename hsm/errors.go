package hsm

import "errors"

// What callers branch on. Drivers wrap these with the fact and the next step.
var (
	ErrNoToken   = errors.New("token not found")
	ErrNoKey     = errors.New("key not found")
	ErrKeyExists = errors.New("key already exists")
	ErrAmbiguous = errors.New("more than one object matches")
	ErrKeyType   = errors.New("wrong key type")
	ErrPINSource = errors.New("the source of the PIN cannot be used")
	// ErrCredentials is of a service that was asked without credentials: it says nothing of the token.
	ErrCredentials = errors.New("no credentials")
	ErrWrongPIN    = errors.New("wrong PIN")
	ErrPINLocked   = errors.New("PIN locked")
	ErrLastPINTry  = errors.New("one PIN try left")
	ErrIntegrity   = errors.New("unwrap refused: wrong key, wrong binding or changed bytes")
	ErrUnsupported = errors.New("not supported by this token")
	ErrUnavailable = errors.New("token unavailable")
	ErrURI         = errors.New("bad HSM URI")
	ErrDevOnly     = errors.New("refused outside dev")
)
