package tpm

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
)

// code is the TPM's response code in err, 0 if it did not come from the TPM.
func code(err error) tpm2.TPMRC {
	var rc tpm2.TPMRC
	if errors.As(err, &rc) {
		return rc
	}
	return 0
}

func is(err error, codes ...tpm2.TPMRC) bool {
	rc := code(err)
	for _, c := range codes {
		if rc != 0 && rc.Is(c) {
			return true
		}
	}
	return false
}

// explain says what an error of the TPM means and what to do. Errors that are explained already pass.
func explain(what string, err error) error {
	wrap := func(sentinel error, next string) error {
		return fmt.Errorf("tpm: %s: %w: %w; %s", what, sentinel, err, next)
	}
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), known(err):
		return err
	case is(err, tpm2.TPMRCInitialize):
		return wrap(hsm.ErrUnavailable, "the firmware, or swtpm's flag startup-clear, must start the TPM first")
	case is(err, tpm2.TPMRCFailure):
		return wrap(hsm.ErrUnavailable, "the TPM failed its self-test: cut the power, and replace the TPM if it fails again")
	case is(err, tpm2.TPMRCObjectMemory, tpm2.TPMRCObjectHandles, tpm2.TPMRCSessionMemory, tpm2.TPMRCSessionHandles):
		return wrap(hsm.ErrUnavailable, "other programs fill its memory: use the resource manager /dev/tpmrm0")
	case is(err, tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting, tpm2.TPMRCNVRate, tpm2.TPMRCNVUnavailable):
		return wrap(hsm.ErrUnavailable, "the TPM is busy: try again later")
	case is(err, tpm2.TPMRCLockout):
		return wrap(hsm.ErrPINLocked, "wait, or reset the lockout with tpm2_dictionarylockout --clear-lockout")
	case is(err, tpm2.TPMRCAuthFail, tpm2.TPMRCBadAuth):
		return wrap(hsm.ErrWrongPIN, "correct the pin-source and restart the process")
	case code(err) == 0: // go-tpm could not read the answer, or its HMAC does not verify
		return wrap(hsm.ErrUnavailable, "if it happens again, suspect the bus or the TPM")
	}
	return fmt.Errorf("tpm: %s: %w", what, err)
}

// known tells whether the error has a sentinel of package hsm.
func known(err error) bool {
	for _, s := range []error{hsm.ErrNoToken, hsm.ErrNoKey, hsm.ErrKeyExists, hsm.ErrAmbiguous, hsm.ErrKeyType, hsm.ErrWrongPIN,
		hsm.ErrPINLocked, hsm.ErrLastPINTry, hsm.ErrIntegrity, hsm.ErrUnsupported, hsm.ErrUnavailable, hsm.ErrURI} {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

// stale tells that a handle we remembered is not what it was: the TPM was cleared, or somebody removed an object.
func stale(err error) bool {
	return is(err, tpm2.TPMRCHandle, tpm2.TPMRCReferenceH0, tpm2.TPMRCReferenceH1, tpm2.TPMRCNVUninitialized)
}

// messy tells that an object or a session of ours may still be in the TPM. A response code comes with go-tpm's own clean-up, but for
// those that say the memory is full.
func messy(err error) bool {
	rc := code(err)
	if rc == 0 {
		return !known(err) || errors.Is(err, hsm.ErrUnavailable)
	}
	return is(err, tpm2.TPMRCObjectMemory, tpm2.TPMRCObjectHandles, tpm2.TPMRCSessionMemory, tpm2.TPMRCSessionHandles)
}

// malformed tells that the TPM refused the bytes of a parameter, not the authorization or the state it is in.
func malformed(err error) bool {
	rc := code(err)
	if rc == 0 || is(err, tpm2.TPMRCAuthFail, tpm2.TPMRCBadAuth) {
		return false
	}
	var f tpm2.TPMFmt1Error
	if !errors.As(err, &f) {
		return false
	}
	isParameter, _ := f.Parameter()
	return isParameter || rc.Is(tpm2.TPMRCIntegrity)
}
