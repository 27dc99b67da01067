package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
)

// provider is what Provider says.
const provider = "pkcs11"

// closeWait bounds how long Close waits for calls that hang in the library.
const closeWait = 5 * time.Second

// token is one open token. What may change under an operation is in its link.
type token struct {
	mod     *module
	uri     *hsm.URI
	options hsm.Options
	log     *slog.Logger
	serial  string        // under mod.calls; set by the first connection
	slots   chan struct{} // one place for each parallel operation
	link    atomic.Pointer[link]
	closed  atomic.Bool
	once    sync.Once
	gone    chan struct{} // closed when Close is through
}

// link is a connection: everything in it is void after a reconnection, whole. It is replaced, under mod.calls, never repaired.
type link struct {
	epoch  uint64 // of the module
	slot   uint
	anchor p11.SessionHandle // carries the login while all others come and go
	// sessionsMax is the most sessions that the token allows, 0 if it tells no bound.
	sessionsMax int

	mu    sync.Mutex
	idle  []p11.SessionHandle
	busy  int           // sessions in use
	freed chan struct{} // gets a value when a session becomes free and none is noted yet
	keys  map[keyName]*key
	// offers are the mechanisms of the token with their flags, nil while nobody asked.
	offers map[uint]uint
}

// session is what one operation works with.
type session struct {
	ctx     context.Context
	tok     *token
	link    *link
	lib     cryptoki
	handle  p11.SessionHandle
	isAdmin bool // it holds the admin lock
}

// job is one operation on a token. It may run on after its caller has left at the end of ctx, so f must own what it reads.
type job[T any] struct {
	f     func(*session) (T, error)
	admin bool    // hold the admin lock throughout: for what makes, finds or removes objects
	after func()  // runs once, when f will not run any more
	undo  func(T) // gets a result that nobody waited for
}

// run does an operation that needs nothing but f.
func run[T any](ctx context.Context, t *token, f func(*session) (T, error)) (T, error) {
	return job[T]{f: f}.do(ctx, t)
}

// do waits for a place, runs f in a session, and once more after a reconnection if the token was lost, or with a fresh look-up if
// a remembered object was.
func (j job[T]) do(ctx context.Context, t *token) (T, error) {
	var zero T
	if j.after == nil {
		j.after = func() {}
	}
	if err := ctx.Err(); err != nil {
		j.after()
		return zero, err
	}
	select {
	case t.slots <- struct{}{}:
	case <-ctx.Done():
		j.after()
		return zero, ctx.Err()
	}
	return within(ctx, func() (T, error) {
		defer func() { <-t.slots }()
		defer j.after()
		return j.try(ctx, t)
	}, j.undo)
}

func (j job[T]) try(ctx context.Context, t *token) (T, error) {
	var v, zero T
	once := func() (*link, error) {
		return t.attempt(ctx, j.admin, func(s *session) (err error) { v, err = j.f(s); return err })
	}
	l, err := once()
	switch {
	case lost(err), errors.Is(err, errNoLink):
		t.log.Warn("token lost, reconnecting", "token", t.uri.Attr("token"), "error", err)
		if again := t.reconnect(l); again != nil {
			return zero, fmt.Errorf("%w; reconnection failed: %w", err, again)
		}
		_, err = once()
	case stale(err):
		l.forget()
		_, err = once()
	}
	if err != nil {
		return zero, err
	}
	return v, nil
}

// errNoLink stands for a connection that is gone before it was used.
var errNoLink = fmt.Errorf("pkcs11: %w: not connected", hsm.ErrUnavailable)

// attempt runs f in a session of the present link, which it returns. A session that saw an error of the library is closed, since
// it may be in the middle of an operation.
func (t *token) attempt(ctx context.Context, admin bool, f func(*session) error) (*link, error) {
	t.mod.calls.RLock()
	defer t.mod.calls.RUnlock()
	if t.closed.Load() {
		return nil, fmt.Errorf("pkcs11: %w: %s is closed", hsm.ErrUnavailable, t.name())
	}
	l := t.link.Load()
	if l == nil || l.epoch != t.mod.epoch {
		return l, errNoLink
	}
	s := &session{ctx: ctx, tok: t, link: l, lib: t.mod.lib}
	if err := s.acquire(); err != nil {
		return l, err
	}
	if admin { // after the session, since who holds a session may wait for this lock
		unlock, err := s.lockAdmin()
		if err != nil {
			s.release(true)
			return l, err
		}
		defer unlock()
	}
	err := f(s)
	s.release(rv(err) == p11.CKR_OK)
	return l, err
}

// lockAdmin takes the admin lock unless the session has it already.
func (s *session) lockAdmin() (unlock func(), err error) {
	if s.isAdmin {
		return func() {}, nil
	}
	give, err := s.tok.mod.lockAdmin(s.ctx)
	if err != nil {
		return nil, err
	}
	s.isAdmin = true
	return func() { s.isAdmin = false; give() }, nil
}

func (m *module) lockAdmin(ctx context.Context) (unlock func(), err error) {
	select {
	case m.admin <- struct{}{}:
		return func() { <-m.admin }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// reconnect replaces the link old, unless another operation did so already. If the library will not have it, the library is
// initialised anew, once.
func (t *token) reconnect(old *link) error {
	t.mod.calls.Lock()
	defer t.mod.calls.Unlock()
	if t.closed.Load() || t.link.Load() != old {
		return nil // the next attempt sees what became of it
	}
	t.link.Store(nil)
	t.drop(old)
	l, err := t.connect()
	if lost(err) || errors.Is(err, hsm.ErrNoToken) { // p11-kit lists no tokens after it was initialised without a server
		if err = t.mod.restart(); err == nil {
			l, err = t.connect()
		}
	}
	if err != nil {
		return err
	}
	t.link.Store(l)
	t.log.Info("token reconnected", "token", t.uri.Attr("token"), "serial", t.serial)
	return nil
}

// drop closes the sessions of a link; the last one of the process ends the login. The caller holds calls for writing.
func (t *token) drop(l *link) {
	if l == nil || l.epoch != t.mod.epoch {
		return // its handles may mean something else by now
	}
	for _, s := range append(l.idle, l.anchor) {
		_ = t.mod.lib.CloseSession(s)
	}
	l.idle = nil
}

// Provider is "pkcs11".
func (t *token) Provider() string { return provider }

// Info asks the token.
func (t *token) Info(ctx context.Context) (hsm.TokenInfo, error) {
	return run(ctx, t, func(s *session) (hsm.TokenInfo, error) {
		info, err := t.mod.tokenInfo(s.link.slot)
		if err != nil {
			return hsm.TokenInfo{}, explain("ask "+t.name(), err)
		}
		return describe(info), nil
	})
}

func describe(info p11.TokenInfo) hsm.TokenInfo {
	return hsm.TokenInfo{
		Provider:     provider,
		Label:        info.Label,
		Manufacturer: info.ManufacturerID,
		Model:        info.Model,
		Serial:       info.SerialNumber,
		Firmware:     fmt.Sprintf("%d.%d", info.FirmwareVersion.Major, info.FirmwareVersion.Minor),
		SoftwareOnly: softwareOnly(info),
		PINTriesLow:  info.Flags&(p11.CKF_USER_PIN_COUNT_LOW|p11.CKF_USER_PIN_FINAL_TRY|p11.CKF_USER_PIN_LOCKED) != 0,
		PINTries:     pinTries(info.Flags),
		MaxSessions:  uint64(told(info.MaxRwSessionCount)),
		OpenSessions: uint64(told(info.RwSessionCount)),
	}
}

// told is a count of CK_TOKEN_INFO, 0 where the token does not tell or has no bound (CK_UNAVAILABLE_INFORMATION,
// CK_EFFECTIVELY_INFINITE).
func told(n uint) int {
	if n > 1<<31 {
		return 0
	}
	return int(n)
}

func pinTries(flags uint) string {
	switch {
	case flags&p11.CKF_USER_PIN_LOCKED != 0:
		return "locked"
	case flags&p11.CKF_USER_PIN_FINAL_TRY != 0:
		return "last"
	case flags&p11.CKF_USER_PIN_COUNT_LOW != 0:
		return "low"
	}
	return ""
}

// softwareOnly knows the modules that keep keys in files, and the emulated TPM; PKCS#11 has no flag for it.
func softwareOnly(info p11.TokenInfo) bool {
	for _, known := range []string{"SoftHSM", "Mozilla", "NSS", "SW   TPM"} {
		if strings.Contains(info.ManufacturerID, known) || strings.Contains(info.Model, known) {
			return true
		}
	}
	return false
}

// Close waits for running operations, closes the sessions, and with the last token of a library the library. Later operations
// fail with ErrUnavailable. It is idempotent. It gives up on calls that hang (closeWait); they run out in the background.
func (t *token) Close() error {
	t.closed.Store(true)
	t.once.Do(func() {
		go func() {
			defer close(t.gone)
			t.mod.calls.Lock()
			t.drop(t.link.Swap(nil))
			t.mod.calls.Unlock()
			t.mod.release()
		}()
	})
	select {
	case <-t.gone:
		return nil
	case <-time.After(closeWait):
		return fmt.Errorf("pkcs11: %w: a call hangs in %s; the session stays open until the process ends", hsm.ErrUnavailable, t.mod.path)
	}
}
