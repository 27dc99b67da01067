package api

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// callerShare is how many callers it takes to fill the places: one may hold this part of them, and one at least.
	callerShare = 4
	// placeWait is how long a request waits for a place before it is refused. Who does not heed Retry-After is slowed down by it: a refusal
	// costs a node more than the door's part of it, and a flood of them would cost it the signatures.
	placeWait = time.Second
	// waitingMax is how many requests of a caller wait, for each that it may have in work; what is beyond is refused at once.
	waitingMax = 8
	// connectionsMax is how many connections an address may have, and requestsMax how many requests on all of them that are not yet
	// answered: of HTTP/2 a connection carries streamsMax at once, and each that nobody reads holds some 10 KiB until its time is over.
	connectionsMax, requestsMax, streamsMax = 1024, 4096, 32
)

// shares bounds what each of many holds of something.
type shares struct {
	mu   sync.Mutex
	most int64
	of   map[string]*share
}

type share struct {
	places *semaphore.Weighted
	users  int64 // that hold a place, or wait for one
}

func newShares(most int) *shares { return &shares{most: int64(max(1, most)), of: map[string]*share{}} }

// take has who hold one more as soon as there is one for it. It waits until ctx ends, and not at all if ctx has no end or too many wait.
func (s *shares) take(ctx context.Context, who string) bool {
	s.mu.Lock()
	x := s.of[who]
	if x == nil {
		x = &share{places: semaphore.NewWeighted(s.most)}
		s.of[who] = x
	}
	x.users++
	got := x.places.TryAcquire(1)
	_, waits := ctx.Deadline()
	waits = waits && x.users <= s.most*(1+waitingMax)
	s.mu.Unlock()
	if !got && waits {
		got = x.places.Acquire(ctx, 1) == nil
	}
	if !got {
		s.leave(who)
	}
	return got
}

// give takes one back.
func (s *shares) give(who string) {
	s.mu.Lock()
	s.of[who].places.Release(1)
	s.mu.Unlock()
	s.leave(who)
}

func (s *shares) leave(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[who].users--; s.of[who].users == 0 {
		delete(s.of, who)
	}
}

// fewPerAddress is a listener that ends connections of an address that has too many.
type fewPerAddress struct {
	net.Listener
	shares *shares
}

// perAddress lets an address have most connections at a time, and this machine as many as it likes: a proxy may stand on it.
func perAddress(ln net.Listener, most int) net.Listener { return fewPerAddress{ln, newShares(most)} }

// Accept returns the next connection that may be.
func (l fewPerAddress) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := network(c.RemoteAddr().String())
		if from == "" {
			return c, nil
		}
		if l.shares.take(context.Background(), from) {
			return &counted{Conn: c, give: sync.OnceFunc(func() { l.shares.give(from) })}, nil
		}
		_ = c.Close()
	}
}

// requestsPerAddress ends requests of an address that has too many, without an answer, which would be held, too.
func requestsPerAddress(h http.Handler, most int) http.Handler {
	open := newShares(most)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if from := network(r.RemoteAddr); from != "" {
			if !open.take(context.Background(), from) {
				panic(http.ErrAbortHandler)
			}
			defer open.give(from)
		}
		h.ServeHTTP(w, r)
	})
}

// counted gives its place back when it is closed.
type counted struct {
	net.Conn
	give func()
}

func (c *counted) Close() error { c.give(); return c.Conn.Close() }

// network is whom an address and port belongs to: the address, or the /64 of one of IPv6, of which its owner has all; "" for this machine
// and for what is no address of IP.
func network(hostport string) string {
	a, err := netip.ParseAddrPort(hostport)
	if err != nil {
		return ""
	}
	ip := a.Addr().Unmap().WithZone("")
	switch {
	case ip.IsLoopback():
		return ""
	case ip.Is4():
		return ip.String()
	}
	p, _ := ip.Prefix(64) // it has 128 bits
	return p.String()
}
