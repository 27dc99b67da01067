package tpm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
)

// refusedPINs remembers, for the life of the process, the parents (by name) under which an authorization value was refused. The
// dictionary attack protection locks a TPM after a few, so a supervisor's loop of retries would lock it.
var refusedPINs sync.Map

// Bits of TPM_PT_PERMANENT (part 2, 8.6).
const (
	ownerAuthSet       = 1 << 0
	endorsementAuthSet = 1 << 1
	inLockout          = 1 << 9
)

// lockout is the state of the dictionary attack protection (part 1, 19.8).
type lockout struct {
	permanent   uint32 // TPM_PT_PERMANENT
	locked      bool
	failed, max uint32
	every       time.Duration // in which one failure is forgotten
}

func (o *op) lockout() (lockout, error) {
	p, err := o.properties(tpm2.TPMPTPermanent, 32)
	if err != nil {
		return lockout{}, explain("ask for the lockout", err)
	}
	return lockout{
		permanent: p[tpm2.TPMPTPermanent],
		locked:    p[tpm2.TPMPTPermanent]&inLockout != 0,
		failed:    p[tpm2.TPMPTLockoutCounter],
		max:       p[tpm2.TPMPTMaxAuthFail],
		every:     time.Duration(p[tpm2.TPMPTLockoutInterval]) * time.Second,
	}, nil
}

// refused is what a process that had a PIN refused gets.
func (o *op) refused() error {
	if _, ok := refusedPINs.Load(o.identity()); !ok {
		return nil
	}
	return fmt.Errorf("tpm: %w: it was refused earlier, so the TPM was not asked again; correct the pin-source and restart the process",
		hsm.ErrWrongPIN)
}

// identity is the TPM in refusedPINs: by its parent key, which TPM2_Clear changes, or by its path as long as it has none.
func (o *op) identity() string {
	if o.t.root == nil {
		return o.t.path
	}
	return string(o.t.root.name.Buffer)
}

// authValue is the authorization value of an object, empty where it has none. It is not given out where it was not accepted before and
// a failure may lock the TPM.
func (o *op) authValue(what string, public *tpm2.TPMTPublic, name tpm2.TPM2BName) ([]byte, error) {
	if public.ObjectAttributes.NoDA { // our keys are under the protection exactly if they have an authorization value
		return nil, nil
	}
	if o.t.pin == nil {
		return nil, fmt.Errorf("tpm: %w: %s needs its authorization value; add ?pin-source=file:/path, cred:name or env:NAME", hsm.ErrURI, what)
	}
	if o.t.proven[string(name.Buffer)] {
		return o.t.pin.Bytes(), nil
	}
	if err := o.refused(); err != nil {
		return nil, err
	}
	l, err := o.lockout()
	switch {
	case err != nil:
		return nil, err
	case l.locked:
		return nil, fmt.Errorf("tpm: %w: %d wrong authorizations; the TPM forgets one every %v, or reset it with tpm2_dictionarylockout "+
			"--clear-lockout",
			hsm.ErrPINLocked, l.failed, l.every)
	case l.failed+1 >= l.max && !o.t.options.LastPINTry:
		return nil, fmt.Errorf("tpm: %w: another wrong one would lock the TPM, so none was tried; wait %v until the TPM forgets one, or "+
			"allow the last try",
			hsm.ErrLastPINTry, l.every)
	case l.failed > 0:
		o.t.log.Warn("authorizations failed on the TPM", "device", o.t.path, "failed", l.failed, "limit", l.max)
	}
	return o.t.pin.Bytes(), nil
}

// authorized runs f with a session that proves the authorization value of an object: by HMAC, salted, and with its parameters
// encrypted as enc says. It takes note of the outcome.
func (o *op) authorized(what string, public *tpm2.TPMTPublic, name tpm2.TPM2BName, enc []tpm2.AuthOption,
	f func(tpm2.Session) error) error {
	value, err := o.authValue(what, public, name)
	if err != nil {
		return err
	}
	if len(value) == 0 && len(enc) == 0 {
		return f(tpm2.PasswordAuth(nil)) // nothing to prove and nothing to hide
	}
	err = f(o.session(value, enc...))
	o.note(name, value, err)
	return err
}

// note remembers whether the authorization value was right.
func (o *op) note(name tpm2.TPM2BName, value []byte, err error) {
	switch {
	case len(value) == 0:
	case err == nil:
		o.t.proven[string(name.Buffer)] = true
	case is(err, tpm2.TPMRCAuthFail, tpm2.TPMRCBadAuth):
		delete(o.t.proven, string(name.Buffer))
		refusedPINs.Store(o.identity(), true)
	}
}

// session is an HMAC session for one command, salted with the parent key.
func (o *op) session(value []byte, more ...tpm2.AuthOption) tpm2.Session {
	return tpm2.HMAC(tpm2.TPMAlgSHA256, 16, append(o.salted(), append(more, tpm2.Auth(value))...)...)
}

// salted makes a session's key one that only the parent key can tell, for as long as there is one.
func (o *op) salted() []tpm2.AuthOption {
	if o.t.root == nil {
		return nil
	}
	return []tpm2.AuthOption{tpm2.Salted(o.t.parent, *o.t.root.public)}
}

// Which parameters of a command a session encrypts: the first of the command, of the response (part 1, 21).
var (
	hideIn  = []tpm2.AuthOption{tpm2.AESEncryption(128, tpm2.EncryptIn)}
	hideOut = []tpm2.AuthOption{tpm2.AESEncryption(128, tpm2.EncryptOut)}
)

// owner runs f with the authorization of the owner hierarchy.
func (o *op) owner(f func(tpm2.AuthHandle) error) error {
	return o.hierarchy(tpm2.TPMRHOwner, ownerAuthSet, "owner", f)
}

// endorser runs f with the authorization of the endorsement hierarchy.
func (o *op) endorser(f func(tpm2.AuthHandle) error) error {
	return o.hierarchy(tpm2.TPMRHEndorsement, endorsementAuthSet, "endorsement", f)
}

// hierarchy uses the PIN only where the TPM says that the hierarchy has an authorization value. A wrong one does not count to the
// lockout, but is not tried twice either.
func (o *op) hierarchy(h tpm2.TPMHandle, bit uint32, which string, f func(tpm2.AuthHandle) error) error {
	l, err := o.lockout()
	if err != nil {
		return err
	}
	if l.permanent&bit == 0 {
		return f(tpm2.AuthHandle{Handle: h, Auth: tpm2.PasswordAuth(nil)})
	}
	if o.t.pin == nil {
		return fmt.Errorf("tpm: %w: the %s hierarchy has an authorization value; add ?pin-source=file:/path, cred:name or env:NAME",
			hsm.ErrURI, which)
	}
	name := tpm2.HandleName(h)
	if !o.t.proven[string(name.Buffer)] {
		if err := o.refused(); err != nil {
			return err
		}
	}
	err = f(tpm2.AuthHandle{Handle: h, Auth: o.session(o.t.pin.Bytes())})
	o.note(name, o.t.pin.Bytes(), err)
	if is(err, tpm2.TPMRCAuthFail, tpm2.TPMRCBadAuth) {
		return fmt.Errorf("tpm: %w: the %s hierarchy refused the value in pin-source: %w", hsm.ErrWrongPIN, which, err)
	}
	return err
}

// random reads the generator, in an encrypted session where there is a key to salt it with.
func (o *op) random(b []byte) error {
	var sessions []tpm2.Session
	if o.t.root != nil {
		s, _, err := tpm2.HMACSession(o, tpm2.TPMAlgSHA256, 16, append(o.salted(), hideOut...)...)
		if err != nil {
			return err
		}
		o.loose = append(o.loose, s.Handle())
		sessions = []tpm2.Session{s}
	}
	for got := 0; got < len(b); {
		r, err := tpm2.GetRandom{BytesRequested: uint16(min(len(b)-got, 32))}.Execute(o, sessions...)
		if err != nil {
			return err
		}
		if len(r.RandomBytes.Buffer) == 0 {
			return errors.New("the generator gave nothing")
		}
		got += copy(b[got:], r.RandomBytes.Buffer)
	}
	return nil
}

// randomMax is the most that Random reads, in bytes.
const randomMax = 1 << 12

// Random reads 1 to 4,096 bytes of the TPM's generator.
func (t *Token) Random(ctx context.Context, n int) ([]byte, error) {
	if n < 1 || n > randomMax {
		return nil, fmt.Errorf("tpm: random: %d bytes, must be 1 to %d", n, randomMax)
	}
	return run(ctx, t, func(o *op) ([]byte, error) {
		b := make([]byte, n)
		if err := o.random(b); err != nil {
			return nil, explain("random", err)
		}
		return b, nil
	})
}
