package api

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are pipes in memory, so that a test's clock may be synctest's.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

// dial connects from an address.
func (p *pipes) dial(t *testing.T, from string) net.Conn {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	client, server := net.Pipe()
	p.conns <- pipeEnd{server, a}
	return client
}

type pipeEnd struct {
	net.Conn
	from net.Addr
}

func (c pipeEnd) RemoteAddr() net.Addr { return c.from }

// Goal: nobody holds a connection by a body that does not come, before authentication or after, whatever the answer: it is there at once or
// when the time for a body is over, and then the connection ends. Method: headers that promise 1,000 bytes and one byte of them, under a
// clock that stands still while anything else can go on; a connection that nobody ends is a deadlock.
func TestUnfinishedBodyEnds(t *testing.T) {
	const ask = "POST /api/v1/sign HTTP/1.1\r\nHost: localhost\r\n"
	const promised = "Content-Length: 1000\r\n\r\n{"
	for name, c := range map[string]struct {
		head   string
		status int
		within time.Duration
	}{
		"a stranger":           {ask + "X-Role: nobody\r\n", 401, unreadGrace},
		"the wrong role":       {ask + "X-Role: viewer\r\n", 403, unreadGrace},
		"no route":             {"POST /nowhere HTTP/1.1\r\nHost: localhost\r\n", 404, unreadGrace},
		"no method":            {"PUT /livez HTTP/1.1\r\nHost: localhost\r\n", 405, unreadGrace},
		"an open route":        {"GET /livez HTTP/1.1\r\nHost: localhost\r\n", 200, unreadGrace},
		"a read":               {"GET /api/v1/wallets HTTP/1.1\r\nHost: localhost\r\nX-Role: viewer\r\n", 200, unreadGrace},
		"no JSON":              {ask + "X-Role: requester\r\nContent-Type: text/plain\r\n", 415, unreadGrace},
		"one who may":          {ask + "X-Role: requester\r\n", 408, bodyTimeout + unreadGrace},
		"two idempotency keys": {ask + "X-Role: requester\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n", 422, unreadGrace},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := newPipes()
				srv := newHTTPServer(New(Config{Backend: newFake(), Auth: roleAuth{}}))
				go srv.Serve(ln)
				defer srv.Close()
				conn := ln.dial(t, "192.0.2.7:1000")
				began := time.Now()
				go fmt.Fprint(conn, c.head+promised)
				answers := bufio.NewReader(conn)
				resp, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != c.status || !resp.Close {
					t.Errorf("%d, close %v, %v; want %d and the end", resp.StatusCode, resp.Close, err, c.status)
				}
				if _, err := answers.ReadByte(); err != io.EOF {
					t.Errorf("after the answer: %v", err)
				}
				if took := time.Since(began); took > c.within+time.Second { // net/http lingers half a second
					t.Errorf("it was held for %s", took)
				}
			})
		})
	}
}

// Goal: a refusal does not cost a client that sent its whole body the connection. Method: a refused request and a good one on one.
func TestRefusalKeepsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		srv := newHTTPServer(New(Config{Backend: newFake(), Auth: roleAuth{}}))
		go srv.Serve(ln)
		defer srv.Close()
		conn := ln.dial(t, "192.0.2.7:1000")
		answers := bufio.NewReader(conn)
		for _, want := range []int{401, 200} {
			role := map[int]string{401: "nobody", 200: "requester"}[want]
			go func() { // header and body apart, as curl sends them
				fmt.Fprintf(conn, "POST /api/v1/sign HTTP/1.1\r\nHost: x\r\nX-Role: %s\r\nContent-Length: %d\r\n\r\n", role, len(signOne))
				fmt.Fprint(conn, signOne)
			}()
			resp, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != want || resp.Close {
				t.Errorf("%d, close %v, %v", resp.StatusCode, resp.Close, err)
			}
		}
	})
}

// Goal: who does not read answers does not hold a connection either. Method: requests in a row, none of their answers read.
func TestUnreadAnswersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		srv := newHTTPServer(New(Config{Backend: newFake(), Auth: roleAuth{}}))
		go srv.Serve(ln)
		defer srv.Close()
		for _, path := range []string{"/docs", "/nowhere", "/api/v1/wallets"} {
			conn, began := ln.dial(t, "192.0.2.7:1000"), time.Now()
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nX-Role: viewer\r\n\r\n", path)
			for { // it is written to until somebody ends it
				if _, err := conn.Write([]byte("x")); err != nil {
					break
				}
			}
			if took := time.Since(began); took > requestTimeout+bodyTimeout+writeTimeout+time.Second {
				t.Errorf("%s: held for %s", path, took)
			}
		}
	})
}

// Goal: one address has no more connections than it may, and gets a place again when one ends; others are not touched; addresses of one
// IPv6 network are one. Method: a listener with two, and clients of three addresses.
func TestConnectionsPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		srv := newHTTPServer(New(Config{Backend: newFake(), Dev: true}))
		go srv.Serve(perAddress(ln, 2))
		defer srv.Close()
		alive := func(c net.Conn) bool {
			go fmt.Fprint(c, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
			}
			return err == nil && resp.StatusCode == 200
		}
		for _, network := range [][]string{{"192.0.2.7:1", "192.0.2.7:2", "192.0.2.7:3"},
			{"[2001:db8::1]:1", "[2001:db8::2]:2", "[2001:db8::ffff]:3"}} {
			first, second := ln.dial(t, network[0]), ln.dial(t, network[1])
			if !alive(first) || !alive(second) {
				t.Fatalf("%s: the first two are refused", network[0])
			}
			if alive(ln.dial(t, network[2])) {
				t.Errorf("%s: a third is let in", network[2])
			}
			if !alive(ln.dial(t, "198.51.100.1:1")) {
				t.Error("another address is refused")
			}
			for port := range 4 {
				if !alive(ln.dial(t, fmt.Sprintf("127.0.0.1:%d", port+1))) {
					t.Error("this machine is refused")
				}
			}
			_ = first.Close()
			synctest.Wait()
			if !alive(ln.dial(t, network[2])) {
				t.Errorf("%s: no place after one ended", network[2])
			}
		}
	})
}

// Goal: one address has no more requests open than it may, on however many connections, and this machine as many as it likes. Method: a
// handler that holds its requests.
func TestRequestsPerAddress(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	began := make(chan struct{})
	h := requestsPerAddress(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { began <- struct{}{}; <-hold }), 2)
	ask := func(from string) (ended any) {
		r := httptest.NewRequest("GET", "/openapi.json", nil)
		r.RemoteAddr = from
		over := make(chan any, 1)
		go func() {
			defer func() { over <- recover() }()
			h.ServeHTTP(httptest.NewRecorder(), r)
		}()
		select {
		case <-began:
			return nil
		case err := <-over:
			return err
		}
	}
	for i, x := range []struct {
		from string
		held bool
	}{{"192.0.2.7:1", true}, {"192.0.2.7:2", true}, {"192.0.2.7:3", false}, {"192.0.2.8:1", true}, {"127.0.0.1:1", true},
		{"127.0.0.1:2", true}, {"127.0.0.1:3", true}, {"[2001:db8::1]:1", true}, {"[2001:db8::2]:1", true}, {"[2001:db8::3]:1", false}} {
		if err := ask(x.from); (err == nil) != x.held || err != nil && err != http.ErrAbortHandler {
			t.Errorf("%d: %s: %v", i, x.from, err)
		}
	}
}

// Goal: what was answered makes room. Method: more requests than may be open, one after the other.
func TestRequestsGiven(t *testing.T) {
	h, answered := requestsPerAddress(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), 1), 0
	defer func() {
		if v := recover(); v != nil || answered != 3 {
			t.Errorf("%d answered, then %v", answered, v)
		}
	}()
	for ; answered < 3; answered++ {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "192.0.2.7:1"
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}

// Goal: a connection of HTTP/2 carries few requests at once. Method: the settings that the server begins with (RFC 9113 §6.5).
func TestStreamsPerConnection(t *testing.T) {
	srv := httptest.NewUnstartedServer(nil)
	srv.Config, srv.EnableHTTP2 = newHTTPServer(New(Config{Backend: newFake(), Dev: true})), true
	srv.StartTLS()
	defer srv.Close()
	c, err := tls.Dial("tcp", srv.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 9)
	if _, err := io.ReadFull(c, head); err != nil || head[3] != 4 {
		t.Fatalf("%x, %v; want SETTINGS", head, err)
	}
	settings := make([]byte, int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(c, settings); err != nil {
		t.Fatal(err)
	}
	for ; len(settings) >= 6; settings = settings[6:] {
		if settings[1] == 3 { // SETTINGS_MAX_CONCURRENT_STREAMS
			if n := binary.BigEndian.Uint32(settings[2:]); n != 32 {
				t.Errorf("%d streams at once", n)
			}
			return
		}
	}
	t.Error("as many streams as one likes")
}

// Goal: callers with slow bodies have the others wait for nothing, and metrics and health neither. Method: as many slow bodies of as many
// callers as could take all places, held; then others ask. What is over a caller's share waits its time and is refused.
func TestSlowBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places = 8
		h := New(Config{Backend: newFake(), Auth: roleAuth{}, MaxConcurrent: places})
		answered, release := make(chan int, callerShare*places), make(chan struct{})
		let := sync.OnceFunc(func() { close(release) })
		defer let()
		for i := range callerShare * places {
			go func() {
				r := newRequest("POST", "/api/v1/sign", "")
				r.Body, r.ContentLength = io.NopCloser(io.MultiReader(gate(release), strings.NewReader(signOne))), -1
				r.Header.Set("X-Role", "requester")
				r.Header.Set("X-Name", fmt.Sprint(i%callerShare))
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				answered <- w.Code
			}()
		}
		synctest.Wait() // all read a body, or wait for their share
		began := time.Now()
		for _, path := range []string{"/api/v1/wallets", "/metrics", "/readyz"} {
			if w := send(t, h, "GET", path, "", "X-Role", "viewer"); w.Code != 200 || time.Since(began) > 0 {
				t.Errorf("another caller asks for %s: %d after %s", path, w.Code, time.Since(began))
			}
		}
		for range callerShare*places - places {
			if code := <-answered; code != 429 || time.Since(began) != placeWait {
				t.Fatalf("%d after %s", code, time.Since(began))
			}
		}
		let()
		for range places {
			if code := <-answered; code != 200 {
				t.Errorf("a slow body that came: %d", code)
			}
		}
	})
}

// gate is a reader that ends when it is told.
type gate chan struct{}

func (g gate) Read([]byte) (int, error) { <-g; return 0, io.EOF }

// held are requests that a fake node holds, all with one answer at the end.
type held struct {
	*fake
	http.Handler
	done chan int
}

func newHeld(most int) held {
	f := newFake()
	f.hold = make(chan struct{})
	return held{f, New(Config{Backend: f, Auth: roleAuth{}, MaxConcurrent: most}), make(chan int, 100)}
}

// ask sends requests of a caller and returns when each is in work, waits or is refused.
func (h held) ask(t *testing.T, n int, caller string) {
	for range n {
		go func() {
			h.done <- send(t, h, "POST", "/api/v1/sign", signOne, "X-Role", "requester", "X-Name", caller).Code
		}()
		synctest.Wait()
	}
}

// end lets all go, and wants n of them to have ended well.
func (h held) end(t *testing.T, n int) {
	t.Helper()
	close(h.hold)
	for range n {
		if code := <-h.done; code != 200 {
			t.Errorf("held: %d", code)
		}
	}
}

// Goal: more requests than places wait for one and get 429 when none comes, a place comes back, and health needs none. Method: one place,
// one request held, one that gets its place in time and one that does not.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, began := newHeld(1), time.Now()
		h.ask(t, 1, "a")
		wantProblem(t, send(t, h, "GET", "/api/v1/wallets", "", "X-Role", "viewer"), 429, "overload")
		if w := send(t, h, "GET", "/livez", ""); w.Code != 200 || time.Since(began) != placeWait {
			t.Errorf("livez: %d after %s", w.Code, time.Since(began))
		}
		h.ask(t, 1, "b")
		h.end(t, 2)
		if w := send(t, h, "GET", "/api/v1/wallets", "", "X-Role", "viewer"); w.Code != 200 || time.Since(began) != placeWait {
			t.Errorf("after: %d after %s", w.Code, time.Since(began))
		}
	})
}

// Goal: one caller leaves places to others; when all are taken, metrics are still served. Method: callers with all that each may hold, up
// to the last place.
func TestPlacesPerCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeld(2 * callerShare)
		for i := range callerShare {
			h.ask(t, 2, fmt.Sprint(i))
			again := send(t, h, "POST", "/api/v1/sign", signOne, "X-Role", "requester", "X-Name", fmt.Sprint(i))
			if p := wantProblem(t, again, 429, "overload"); !strings.Contains(p.Detail, "2 requests of yours") {
				t.Errorf("it does not say whose: %+v", p)
			}
		}
		late := send(t, h, "GET", "/api/v1/wallets", "", "X-Role", "viewer")
		if p := wantProblem(t, late, 429, "overload"); !strings.Contains(p.Detail, "8 requests") {
			t.Errorf("%+v", p)
		}
		if w := send(t, h, "GET", "/metrics", "", "X-Role", "viewer"); w.Code != 200 {
			t.Errorf("metrics: %d", w.Code)
		}
		h.end(t, 2*callerShare)
	})
}

// Goal: what waits is bounded too. Method: one place, as many as may wait, and one more, which is refused at once; another caller still
// waits its time.
func TestWaitingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, began := newHeld(1), time.Now()
		h.ask(t, 1+waitingMax, "a")
		wantProblem(t, send(t, h, "POST", "/api/v1/sign", signOne, "X-Role", "requester", "X-Name", "a"), 429, "overload")
		if waited := time.Since(began); waited > 0 {
			t.Errorf("it waited for %s", waited)
		}
		wantProblem(t, send(t, h, "POST", "/api/v1/sign", signOne, "X-Role", "requester", "X-Name", "b"), 429, "overload")
		if waited := time.Since(began); waited != placeWait {
			t.Errorf("another waited for %s", waited)
		}
		for range waitingMax {
			if code := <-h.done; code != 429 {
				t.Errorf("one that waited: %d", code)
			}
		}
		h.end(t, 1)
	})
}
