package plugin

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/luxfi/mpcd/hsm"
)

// command makes the next child's command; release gives back what it needed, once the child runs or has not started.
type command func() (cmd *exec.Cmd, release func(), err error)

func commanded(args []string) command {
	return func() (*exec.Cmd, func(), error) {
		if !filepath.IsAbs(args[0]) {
			return nil, nil, fmt.Errorf("the command %s is not an absolute path", args[0])
		}
		return exec.Command(args[0], args[1:]...), func() {}, nil
	}
}

// host keeps one child running while tokens are open. There is never more than one: the next is started only after the one before
// was waited for.
type host struct {
	config  Config
	limits  Limits
	command command
	logins  chan struct{} // holds one while a token is opened with a PIN

	mu       sync.Mutex
	live     *child    // the last that was started, dead or alive
	next     *starting // the one that is being started, nil if none is
	tokens   map[*Token]struct{}
	failures int // starts in a row that failed, or came to an early end

	handles                                                 atomic.Uint64 // numbers of tokens, for the wire
	starts, restarts, hangs, calls, retries, unknown, wrong atomic.Uint64
}

// starting is a start in flight: there is one at a time, and all callers wait for it.
type starting struct {
	done  chan struct{}
	child *child
	err   error
}

func newHost(c Config, cmd command) *host {
	return &host{config: c, limits: c.Limits.defaults(), command: cmd, logins: make(chan struct{}, 1), tokens: map[*Token]struct{}{}}
}

// enter counts a token as a user of the child.
func (h *host) enter(t *Token) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tokens[t] = struct{}{}
}

// leave takes a token away. The last one ends the child, and waits for that: then the token's directory is free.
func (h *host) leave(t *Token) {
	h.mu.Lock()
	delete(h.tokens, t)
	idle := len(h.tokens) == 0
	c, s := h.live, h.next
	if idle && c != nil {
		c.condemned.Store(true)
	}
	h.mu.Unlock()
	if !idle {
		return
	}
	if s != nil { // launch ends it when it finds no token
		<-s.done
		h.mu.Lock()
		c = h.live
		h.mu.Unlock()
	}
	if c != nil && c.condemned.Load() {
		c.retire()
	}
}

// child returns a living child, started if need be. A start that failed is the error of all who waited for it.
func (h *host) child(ctx context.Context) (*child, error) {
	h.mu.Lock()
	if c := h.live; c != nil && c.usable() {
		h.mu.Unlock()
		return c, nil
	}
	s := h.next
	if s == nil {
		s = &starting{done: make(chan struct{})}
		h.next = s
		go h.launch(s, h.live)
	}
	h.mu.Unlock()
	select {
	case <-s.done:
		return s.child, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// launch starts the child after old. Only one runs at a time.
func (h *host) launch(s *starting, old *child) {
	if old != nil {
		<-old.clean
		h.pause(old)
	}
	c, err := h.spawn()
	h.mu.Lock()
	if err == nil {
		h.live = c
		if len(h.tokens) == 0 {
			c.condemned.Store(true)
			err = unavailable("the token was closed")
		}
	} else {
		h.failures++
	}
	h.next = nil
	h.mu.Unlock()
	if err == nil {
		if old != nil && !old.asked() {
			h.restarts.Add(1)
		}
		s.child = c
		go h.watch(c)
	}
	s.err = err
	close(s.done)
	if c != nil && err != nil {
		c.retire()
	}
}

// pause waits as long as the row of failures asks: doubled for each, up to a bound, less up to a half at random.
func (h *host) pause(old *child) {
	h.mu.Lock()
	n := h.failures
	h.mu.Unlock()
	if n == 0 {
		return
	}
	wait := h.limits.Backoff << min(n-1, 20)
	if wait <= 0 || wait > h.limits.BackoffMax {
		wait = h.limits.BackoffMax
	}
	wait -= time.Duration(rand.Int64N(int64(wait)/2 + 1))
	h.config.log().Info("driver process: restart", "in", wait.Round(time.Millisecond), "failures", n, "program", old.cmd.Path)
	time.Sleep(wait)
}

func (h *host) spawn() (*child, error) {
	cmd, release, err := h.command()
	if err != nil {
		return nil, unavailable("driver process: %w", err)
	}
	defer release()
	given := h.state() // before the child looks: what comes in between makes it outdated, and not the other way round
	env, fence := h.needs()
	if err := h.room(append(tokenDirectories(env), h.config.Dir)); err != nil {
		return nil, unavailable("driver process: not started: %w", err)
	}
	cmd.Env = env
	c, err := start(h.config, h.limits, cmd, fence)
	if err != nil {
		return nil, unavailable("driver process %s: %w", cmd.Args[0], err)
	}
	c.given = given
	h.starts.Add(1)
	h.config.log().Info("driver process: started", "pid", c.number(), "driver", c.about.Driver, "release", c.about.Release, "sandbox",
		c.about.Sandbox)
	return c, nil
}

// letGo ends a child in which a token cannot be opened again: the next one has leave to what is there then, and a library that was just
// loaded. Where other tokens work in it, it is ended only if the next one would be given something else.
func (h *host) letGo(c *child, t *Token) {
	h.mu.Lock()
	others := slices.DeleteFunc(slices.Collect(maps.Keys(h.tokens)), func(x *Token) bool { return x == t })
	h.mu.Unlock()
	if slices.ContainsFunc(others, func(x *Token) bool { return x.in(c) }) && !h.outdated(c) {
		return
	}
	if c.usable() {
		c.condemn("a token could not be opened again in it")
	}
}

// watch logs the end of a child, and has the tokens opened again in the next.
func (h *host) watch(c *child) {
	<-c.gone
	asked := c.asked()
	h.mu.Lock()
	var open []*Token
	if !asked {
		if time.Since(c.since) > h.limits.Steady {
			h.failures = 0
		}
		h.failures++
		for t := range h.tokens {
			open = append(open, t)
		}
	} else {
		h.failures = 0
	}
	h.mu.Unlock()
	if asked {
		h.config.log().Info("driver process: ended", "pid", c.number())
		return
	}
	h.config.log().Warn("driver process: ended unasked", "pid", c.number(), "cause", c.why(), "lived",
		time.Since(c.since).Round(time.Millisecond))
	for _, t := range open {
		go t.revive()
	}
}

func (h *host) stats() Stats {
	s := Stats{Starts: h.starts.Load(), Restarts: h.restarts.Load(), Hangs: h.hangs.Load(), Calls: h.calls.Load(), Retries: h.retries.Load(),
		Unknown: h.unknown.Load(), Wrong: h.wrong.Load()}
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.live; c != nil && !c.dead() {
		s.PID, s.Since = c.number(), c.since
	}
	return s
}

// failing is the driver of a configuration that cannot work.
func failing(err error) hsm.OpenFunc {
	return func(context.Context, *hsm.URI, hsm.Options) (hsm.Token, error) { return nil, err }
}
