package pkcs11

import (
	"context"
	"fmt"
	"strings"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
)

// Bounds of the pool of sessions, which is the number of parallel operations on a token.
const (
	sessionsDefault = 8
	sessionsMax     = 256
)

// The token has every ability of the border but counting.
var (
	_ hsm.Token        = (*token)(nil)
	_ hsm.PublicKeyer  = (*token)(nil)
	_ hsm.KeyWrapper   = (*token)(nil)
	_ hsm.KeyGenerator = (*token)(nil)
	_ hsm.KeyLister    = (*token)(nil)
	_ hsm.RandomSource = (*token)(nil)
	_ hsm.KeyAttester  = (*token)(nil)
)

// Open logs in to the token that a URI names: pkcs11:token=<label>?module-path=<library>&pin-source=<source>, or serial=
// instead of or beside token=. Without either, the library must hold exactly one token. object= is the key for an empty key ID.
// init-args= is what some libraries want as an argument of C_Initialize (NSS: configdir='sql:/dir' …).
//
// Errors: ErrURI, ErrNoToken, ErrAmbiguous, ErrWrongPIN (now, or earlier in this process: then the token is not asked),
// ErrPINLocked, ErrLastPINTry, ErrUnavailable. It is an hsm.OpenFunc.
func Open(ctx context.Context, u *hsm.URI, o hsm.Options) (hsm.Token, error) {
	if err := refusedBefore(u.String()); err != nil {
		return nil, err
	}
	sessions := o.Sessions
	if sessions == 0 {
		sessions = sessionsDefault
	}
	if sessions < 1 || sessions > sessionsMax {
		return nil, fmt.Errorf("pkcs11: %d sessions, must be 1 to %d", sessions, sessionsMax)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t, err := within(ctx, func() (*token, error) { return open(u, o, sessions) }, func(t *token) { _ = t.Close() })
	if err != nil {
		return nil, err // not the nil *token in a non-nil interface
	}
	return t, nil
}

func open(u *hsm.URI, o hsm.Options, sessions int) (*token, error) {
	m, err := borrow(u.Attr("module-path"), u.Attr("init-args"))
	if err != nil {
		return nil, err
	}
	t := &token{mod: m, uri: u, options: o, log: o.Log(), serial: u.Attr("serial"), gone: make(chan struct{})}
	m.calls.Lock()
	l, err := t.connect()
	m.calls.Unlock()
	if err != nil {
		m.release()
		return nil, err
	}
	t.link.Store(l)
	if l.sessionsMax > 0 && l.sessionsMax <= sessions { // one is the anchor
		sessions = l.sessionsMax - 1
	}
	t.slots = make(chan struct{}, sessions)
	return t, nil
}

// selectSlot finds the one token that the URI describes, and the serial once it is known.
func (t *token) selectSlot() (uint, p11.TokenInfo, error) {
	var none p11.TokenInfo
	slots, err := t.mod.lib.GetSlotList(true)
	if err != nil {
		return 0, none, explain("list slots", err)
	}
	type candidate struct {
		slot uint
		info p11.TokenInfo
	}
	var found []candidate
	var labels, serials []string
	for _, slot := range slots {
		info, err := t.mod.tokenInfo(slot)
		if err != nil || info.Flags&p11.CKF_TOKEN_INITIALIZED == 0 {
			continue // a token that was pulled since, or an empty one
		}
		labels = append(labels, fmt.Sprintf("%q", info.Label))
		if t.matches(info) {
			found = append(found, candidate{slot, info})
			serials = append(serials, info.SerialNumber)
		}
	}
	switch len(found) {
	case 1:
		return found[0].slot, found[0].info, nil
	case 0:
		here := "it holds no initialised token"
		if len(labels) > 0 {
			here = "it holds " + strings.Join(labels, ", ")
		}
		return 0, none, fmt.Errorf("pkcs11: %w: %s in %s; %s", hsm.ErrNoToken, t.name(), t.mod.path, here)
	}
	return 0, none, fmt.Errorf("pkcs11: %w: %d tokens are %s in %s, with the serial numbers %s; add serial= to the URI", hsm.ErrAmbiguous,
		len(found), t.name(), t.mod.path, strings.Join(serials, ", "))
}

func (t *token) matches(info p11.TokenInfo) bool {
	same := func(want, got string) bool { return want == "" || want == got }
	return same(t.uri.Attr("token"), info.Label) && same(t.serial, info.SerialNumber) &&
		same(t.uri.Attr("manufacturer"), info.ManufacturerID) && same(t.uri.Attr("model"), info.Model)
}

// name is the token in errors.
func (t *token) name() string {
	if label := t.uri.Attr("token"); label != "" {
		return fmt.Sprintf("token %q", label)
	}
	if t.serial != "" {
		return "token with serial " + t.serial
	}
	return "any token"
}

// within runs f, but returns when ctx is done; then f runs out in the background and undo gets what it made.
func within[T any](ctx context.Context, f func() (T, error), undo func(T)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		go func() {
			if r := <-done; r.err == nil && undo != nil {
				undo(r.v)
			}
		}()
		var zero T
		return zero, ctx.Err()
	}
}
