package plugin

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin/wire"
)

// Token is a token whose driver runs in a process of its own. It outlives that process: after its end, the token is opened again
// in the next one. It is safe for concurrent use.
type Token struct {
	host    *host
	uri     *hsm.URI
	options hsm.Options
	life    context.Context // until Close
	end     context.CancelFunc

	mu       sync.Mutex
	session  *session // the present one, or a past one
	opening  *opening // in flight, nil if none is
	closed   bool
	reviving bool
	lost     error  // why it could not be opened again, last; nil while it is open
	refused  error  // of the PIN: nothing more is tried
	mark     string // of the pin-source that was accepted; "" before
	able     map[wire.Ability]bool
	info     hsm.TokenInfo     // of the first opening
	keys     map[string]public // what the first public key of each key ID was
	counters map[string]uint64 // the highest value seen
}

// The methods are there for all abilities; Lacks tells which the driver has.
var (
	_ hsm.Token            = (*Token)(nil)
	_ hsm.PublicKeyer      = (*Token)(nil)
	_ hsm.KeyWrapper       = (*Token)(nil)
	_ hsm.KeyGenerator     = (*Token)(nil)
	_ hsm.KeyLister        = (*Token)(nil)
	_ hsm.RandomSource     = (*Token)(nil)
	_ hsm.MonotonicCounter = (*Token)(nil)
	_ hsm.KeyAttester      = (*Token)(nil)
	_ methodTeller         = (*Token)(nil)
)

// opening is a token being opened in a child: there is one at a time, and all callers wait for it.
type opening struct {
	done    chan struct{}
	session *session
	err     error
}

// open is the hsm.OpenFunc.
func (h *host) open(ctx context.Context, u *hsm.URI, o hsm.Options) (hsm.Token, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := spentBefore(u); err != nil {
		return nil, err
	}
	if err := claimPIN(u.Attr("pin-source")); err != nil {
		return nil, err
	}
	t := &Token{host: h, uri: u, options: o, keys: map[string]public{}, counters: map[string]uint64{}}
	t.life, t.end = context.WithCancel(context.Background())
	h.enter(t)
	if _, err := t.live(ctx); err != nil {
		if ctx.Err() != nil {
			go func() { _ = t.Close() }() // it waits for the process, and the caller does not
		} else {
			_ = t.Close()
		}
		return nil, err
	}
	return t, nil
}

// live returns the session in the living child, opened if need be.
func (t *Token) live(ctx context.Context) (*session, error) {
	t.mu.Lock()
	switch {
	case t.closed:
		t.mu.Unlock()
		return nil, unavailable("the token is closed")
	case t.refused != nil:
		t.mu.Unlock()
		return nil, t.refused
	case t.session != nil && t.session.child.usable():
		s := t.session
		t.mu.Unlock()
		return s, nil
	}
	o := t.opening
	if o == nil {
		o = &opening{done: make(chan struct{})}
		t.opening = o
		go t.reopen(o)
	}
	t.mu.Unlock()
	select {
	case <-o.done:
		return o.session, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// reopen opens the token in a living child, for whoever waits, and whether they still do or not.
func (t *Token) reopen(o *opening) {
	c, err := t.host.child(t.life)
	if err == nil {
		if o.session, err = t.connect(c); err != nil {
			err = t.host.away(err)
		}
	}
	if t.life.Err() != nil && err != nil {
		err = unavailable("the token is closed")
	}
	t.mu.Lock()
	if err == nil {
		t.session = o.session
	}
	t.opening, t.lost = nil, err
	again := err != nil && c != nil && t.session != nil && t.refused == nil
	t.mu.Unlock()
	if again {
		t.host.letGo(c, t)
	}
	o.err = err
	close(o.done)
}

// revive opens the token again after the end of its child, until that is done or pointless. One that was never open is not opened again:
// who opens it is told.
func (t *Token) revive() {
	t.mu.Lock()
	idle := t.session != nil && !t.reviving
	t.reviving = t.reviving || idle
	t.mu.Unlock()
	if !idle {
		return
	}
	wait := t.host.limits.Backoff
	for {
		_, err := t.live(t.life)
		t.mu.Lock()
		t.reviving = !t.session.child.usable() && !t.closed && t.refused == nil
		over := !t.reviving
		t.mu.Unlock()
		if over {
			return
		}
		if err != nil {
			t.host.config.log().Warn("driver process: the token cannot be opened again", "token", t.uri.String(), "error", err)
		}
		select {
		case <-time.After(wait):
			wait = min(2*wait, t.host.limits.BackoffMax)
		case <-t.life.Done():
			return
		}
	}
}

// in tells whether the token is open in the child.
func (t *Token) in(c *child) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.session != nil && t.session.child == c
}

// connect opens the token in the child.
func (t *Token) connect(c *child) (*session, error) {
	source := t.uri.Attr("pin-source")
	if source != "" {
		select { // one PIN at a time, so that each knows what became of the one before
		case t.host.logins <- struct{}{}:
			defer func() { <-t.host.logins }()
		case <-t.life.Done():
			return nil, t.life.Err()
		}
		if !c.usable() { // before a PIN is spent on it
			return nil, unavailable("the token was not opened: %w", errBroken)
		}
	}
	mark := pinMark(source)
	proven := t.mark != "" && t.mark == mark // only connect writes it, and there is one at a time
	if err := t.spent(proven); err != nil {
		return nil, err
	}
	s := &session{token: t, child: c, handle: t.host.handles.Add(1), pending: map[uint64]time.Time{}}
	q := &wire.OpenRequest{Token: s.handle, Uri: t.uri.String(), Dev: t.options.Dev, Sessions: int32(t.options.Sessions),
		LastPinTry: t.options.LastPINTry}
	if source != "" && t.host.config.handsOver(source, c.fence) {
		pin, err := hsm.ReadPIN(source)
		if err != nil {
			return nil, err
		}
		defer pin.Wipe()
		q.HasPin, q.Pin = true, pin.Bytes()
	}
	ctx, cancel := context.WithTimeout(t.life, t.host.limits.Open)
	defer cancel()
	r, err := c.rpc.Open(ctx, q)
	if err != nil {
		if source != "" && !proven {
			spend(t.uri, "", errNoOutcome)
			t.refuse(errNoOutcome)
		}
		return nil, t.unopened(ctx, s, err)
	}
	if err := opened(r.GetFailure()); err != nil {
		if isPINError(err) {
			changed := ""
			if proven {
				changed = t.identity()
			}
			spend(t.uri, changed, err)
			t.refuse(err)
		}
		return nil, err
	}
	if err := t.same(r); err != nil {
		s.drop()
		return nil, err
	}
	t.mark = mark
	return s, nil
}

// spent is an error where the PIN must not be tried. A PIN that was accepted once may be tried in the next child, unless the token that
// accepted it has refused such a PIN since.
func (t *Token) spent(proven bool) error {
	if !proven {
		return spentBefore(t.uri)
	}
	err := changedSince(t.identity())
	if err != nil {
		t.refuse(err)
	}
	return err
}

// identity is which token it is, by what the first opening told; "" before.
func (t *Token) identity() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.able == nil {
		return ""
	}
	i := t.info
	return strings.Join([]string{t.uri.Path, i.Provider, i.Manufacturer, i.Model, i.Label, i.Serial}, "\x00")
}

// unopened is the error of an opening without an answer.
func (t *Token) unopened(ctx context.Context, s *session, err error) error {
	switch {
	case t.life.Err() != nil:
		s.drop()
		return t.life.Err()
	case ctx.Err() != nil:
		t.host.hangs.Add(1)
		s.child.condemn(fmt.Sprintf("it did not open the token in %s", t.host.limits.Open))
	default:
		s.child.disconnected(err)
	}
	return unavailable("the token was not opened: %w: %s", errBroken, clean(err.Error(), textMax))
}

// refuse lets all later operations fail.
func (t *Token) refuse(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused = err
}

// same takes what the first opening tells, and holds every later one against it. A serial number that there was not yet, as of a TPM
// until its first key, is taken when it is told first.
func (t *Token) same(r *wire.OpenReply) error {
	info := openInfo(r.GetInfo())
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.able != nil {
		if t.info.Serial == "" {
			t.info.Serial = info.Serial
		}
		if info.Provider != t.info.Provider || info.Serial != t.info.Serial || info.Label != t.info.Label {
			return fmt.Errorf("hsm plugin: %w: another token answers: %s %q %s in the place of %s %q %s", hsm.ErrNoToken,
				info.Provider, info.Label, info.Serial, t.info.Provider, t.info.Label, t.info.Serial)
		}
		return nil
	}
	t.info, t.able = info, map[wire.Ability]bool{}
	for _, a := range r.GetAbilities() {
		if _, known := wire.Ability_name[int32(a)]; known {
			t.able[a] = true
		}
	}
	return nil
}

// Lacks tells hsm.As which abilities the driver does not have.
func (t *Token) Lacks(ability any) bool {
	lacks := func(a wire.Ability) bool { return !t.able[a] } // not written after the first opening
	switch ability.(type) {
	case *hsm.PublicKeyer:
		return lacks(wire.Ability_ABILITY_PUBLIC_KEY)
	case *hsm.KeyWrapper:
		return lacks(wire.Ability_ABILITY_WRAP)
	case *hsm.KeyGenerator:
		return lacks(wire.Ability_ABILITY_GENERATE)
	case *hsm.KeyLister:
		return lacks(wire.Ability_ABILITY_LIST)
	case *hsm.RandomSource:
		return lacks(wire.Ability_ABILITY_RANDOM)
	case *hsm.MonotonicCounter:
		return lacks(wire.Ability_ABILITY_COUNTER)
	case *hsm.KeyAttester:
		return lacks(wire.Ability_ABILITY_EVIDENCE)
	}
	if wants := reflect.TypeOf(ability).Elem(); wants.Kind() == reflect.Interface && wants.Implements(reflect.TypeFor[methodTeller]()) {
		return lacks(wire.Ability_ABILITY_WRAP_METHOD) // under whatever name the asker has for it
	}
	return false
}

// Provider is what the driver says.
func (t *Token) Provider() string { return t.info.Provider }

// Lost is why the token, whose process has ended, could not be opened again when that was tried last; nil otherwise. It is being tried.
func (t *Token) Lost() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lost
}

// Stats count for the process of the token, which other tokens may share.
func (t *Token) Stats() Stats { return t.host.stats() }

// About tells who the present process is, and what fences it in; zero while there is none.
func (t *Token) About() About {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.session == nil {
		return About{}
	}
	return t.session.child.about
}

// Close closes the token; the last token of the process ends it, and waits for its end. It is idempotent.
func (t *Token) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	s, o := t.session, t.opening
	t.mu.Unlock()
	t.end()
	if o != nil {
		<-o.done
		if o.session != nil {
			s = o.session
		}
	}
	var err error
	if s != nil && s.child.usable() {
		err = s.close()
	}
	t.host.leave(t)
	return err
}

// session is a token open in one child.
type session struct {
	token  *Token
	child  *child
	handle uint64

	mu       sync.Mutex
	next     uint64
	pending  map[uint64]time.Time // until when an unanswered call is within its limit
	answered time.Time            // when a call was last answered
	doubt    chan struct{}        // closed when the present doubt is over; nil if there is none
}

// close closes the token in the child, within the time that a driver takes for it.
func (s *session) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), endPatience)
	defer cancel()
	r, err := s.child.rpc.Close(ctx, &wire.CloseRequest{Token: s.handle})
	if err != nil {
		if ctx.Err() == nil {
			s.child.disconnected(err)
		} else {
			s.child.condemn("it did not close the token")
		}
		<-s.child.gone // and with it, the token is closed
		if ctx.Err() != nil {
			return unavailable("the driver process did not close the token in %s and was killed", endPatience)
		}
		return nil
	}
	return opened(r.GetFailure())
}

// drop closes a session that nobody uses, without waiting.
func (s *session) drop() { go func() { _ = s.close() }() }
