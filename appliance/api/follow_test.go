package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/client/wire"
)

const followOne = "/api/v1/operations/s1/events"

// endable lets in who roleAuth does, until it is ended.
type endable struct{ ended atomic.Bool }

func (e *endable) Authenticate(r *http.Request) (Identity, error) {
	if e.ended.Load() {
		return Identity{}, errors.New("it has expired")
	}
	return roleAuth{}.Authenticate(r)
}

// followed serves f on pipes, as Serve does, until the test or stop ends it.
func followed(t *testing.T, f *fake, auth Authenticator) (ln *pipes, stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ln = newPipes()
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := Serve(ctx, ln, New(Config{Backend: f, Auth: auth}), nil); err != nil {
			t.Errorf("serving ended: %v", err)
		}
	}()
	stop = func() { cancel(); <-served }
	return ln, stop
}

// open asks for a stream and reads its header.
func open(t *testing.T, ln *pipes, header string) *http.Response {
	t.Helper()
	conn := ln.dial(t, "127.0.0.1:1000")
	go fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Role: viewer\r\n%s\r\n", followOne, header)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return resp
}

// lines reads those of one event, or comment.
func lines(t *testing.T, r *bufio.Reader) (out []string) {
	t.Helper()
	for {
		s, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if s == "\n" {
			return out
		}
		out = append(out, strings.TrimSuffix(s, "\n"))
	}
}

// Goal: a stream shows the operation at once, shows that it lives while nothing changes, each change once, and ends with the last; who has
// seen an event is not sent it again, and who has seen the last is told to ask no more. Method: a change that is told twice.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.changed = make(chan struct{}, 1)
		ln, stop := followed(t, f, roleAuth{})
		t.Cleanup(stop)
		resp := open(t, ln, "")
		body := bufio.NewReader(resp.Body)
		first := lines(t, body)
		if resp.Header.Get("Content-Type") != "text/event-stream" || len(first) != 3 || first[0] != "event: operation" ||
			!strings.Contains(first[2], "PENDING_APPROVAL") {
			t.Fatalf("%v %v", resp.Header, first)
		}
		if got := lines(t, body); len(got) != 1 || got[0][0] != ':' {
			t.Errorf("while nothing changes: %v", got)
		}
		f.changed <- struct{}{} // nothing has
		synctest.Wait()
		f.mu.Lock()
		f.over = true
		f.mu.Unlock()
		f.changed <- struct{}{}
		last := lines(t, body)
		if len(last) != 3 || last[1] == first[1] || !strings.Contains(last[2], "SUCCEEDED") {
			t.Errorf("after it: %v", last)
		}
		if _, err := body.ReadByte(); err != io.EOF {
			t.Errorf("after the last: %v", err)
		}
		id := func(s []string) string { return "Last-Event-ID: " + strings.TrimPrefix(s[1], "id: ") + "\r\n" }
		if resp := open(t, ln, id(last)); resp.StatusCode != http.StatusNoContent {
			t.Errorf("who has the last: %d", resp.StatusCode)
		}
		if got := lines(t, bufio.NewReader(open(t, ln, id(first)).Body)); len(got) != 3 || got[1] != last[1] {
			t.Errorf("who has the first: %v", got)
		}
		f.mu.Lock()
		f.over = false
		f.mu.Unlock()
		resp = open(t, ln, id(first))
		if got := lines(t, bufio.NewReader(resp.Body)); got[0][0] != ':' {
			t.Errorf("who has it as it is: %v", got)
		}
	})
}

// Goal: a stream ends when its caller is known no more, when the server stops, when its time is over and when nobody reads it, and then
// nothing is left of it. Method: each of them, by a clock that goes on when nothing else does.
func TestFollowEnds(t *testing.T) {
	for name, end := range map[string]struct {
		by     func(*endable, func())
		within time.Duration
	}{
		"token":  {func(e *endable, _ func()) { e.ended.Store(true) }, streamBeat},
		"server": {func(_ *endable, stop func()) { go stop() }, time.Second},
		"time":   {func(*endable, func()) {}, streamFor},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, auth := newFake(), &endable{}
				ln, stop := followed(t, f, auth)
				body := bufio.NewReader(open(t, ln, "").Body)
				lines(t, body)
				began := time.Now()
				end.by(auth, stop)
				if _, err := io.Copy(io.Discard, body); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > end.within {
					t.Errorf("it went on for %s", took)
				}
				if synctest.Wait(); f.followed.Load() != 0 {
					t.Error("it is followed still")
				}
				stop() // or wait until it has
			})
		})
	}
	t.Run("reader", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			ln, stop := followed(t, f, roleAuth{})
			t.Cleanup(stop)
			open(t, ln, "") // and nothing of what comes then
			began := time.Now()
			for f.followed.Load() != 0 && time.Since(began) < streamFor/2 {
				time.Sleep(time.Second)
			}
			if took := time.Since(began); took > writeTimeout+streamBeat+time.Second {
				t.Errorf("it was held for %s", took)
			}
		})
	})
}

// Goal: a caller has so many streams, and all together so many, and who gets none takes no part of them. Method: others hold them.
func TestFollowIsBounded(t *testing.T) {
	f := newFake()
	f.over = true // so that what is not refused ends
	s := newServer(Config{Backend: f, Auth: roleAuth{}})
	for range streamsCaller {
		s.streamers.take(t.Context(), "viewer")
	}
	wantProblem(t, send(t, s, "GET", followOne, "", "X-Role", "viewer"), 429, "overload")
	s.streamers.give("viewer")
	for range streamsAll {
		s.streams.take(t.Context(), "")
	}
	wantProblem(t, send(t, s, "GET", followOne, "", "X-Role", "viewer"), 429, "overload")
	s.streams.give("")
	if w := send(t, s, "HEAD", followOne, "", "X-Role", "viewer"); w.Code != 200 || w.Header().Get("Content-Type") != "text/event-stream" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	wantProblem(t, send(t, s, "GET", followOne, "", "X-Role", "nobody"), 401, string(codeToken))
	wantProblem(t, send(t, s, "GET", "/api/v1/operations/none/events", "", "X-Role", "viewer"), 404, string(problem.NotFound))
	wantProblem(t, send(t, s, "GET", followOne+"?from=1", "", "X-Role", "viewer"), 422, string(problem.Invalid))
	wantProblem(t, send(t, s, "GET", followOne, "", "X-Role", "viewer", "Last-Event-ID", "a", "Last-Event-ID", "b"), 422,
		string(problem.Invalid))
}

// Goal: a request whose caller does not wait is answered with its operation; one that only who waits can have, or that is over, as ever.
func TestRespondAsync(t *testing.T) {
	f := newFake()
	h := devServer(f)
	body := strings.TrimSuffix(signOne, "}") + `,"session_id":"a/b","initiation":{"by":"payments","expires_ms":7,"signature":"0x` +
		strings.Repeat("00", 64) + `"}}`
	for _, path := range []string{"/api/v1/sign", "/api/v1/generate_mpc_sig"} {
		w := send(t, h, "POST", path, body, "Prefer", "respond-async")
		o := decode[wire.Operation](t, w)
		if w.Code != 202 || w.Header().Get("Location") != "/api/v1/operations/a%2Fb" || o.State != "RUNNING" || o.ID != "a/b" ||
			w.Header().Get("Preference-Applied") != "respond-async" {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	}
	as := func(name, body string, header ...string) {
		w := send(t, h, "POST", "/api/v1/sign", body, header...)
		if w.Code != 200 || w.Header().Get("Preference-Applied")+w.Header().Get("Location") != "" ||
			decode[wire.Signature](t, w).ReceiptID != "r_1" {
			t.Errorf("%s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
	}
	as("without the preference", body)
	as("that nobody signed", signOne, "Prefer", "respond-async")
	f.over = true
	as("that is over", body, "Prefer", "respond-async")
}

// prefers are headers Prefer, and whether they have respond-async.
var prefers = map[string]bool{"respond-async": true, "Respond-Async ; x=1": true, `wait=10, respond-async=""`: true,
	"respond-async=no": false, `respond-async="no"`: false, `x="a, respond-async ,b"`: false, `x="\", respond-async`: false,
	"respond": false, "": false,
	"respond-async=1, respond-async": false, `x="", respond-async`: true, `x="a", respond-async`: true, ",;=,": false}

func TestPrefers(t *testing.T) {
	for p, want := range prefers {
		if prefersAsync([]string{p}) != want {
			t.Errorf("%q: not %v", p, want)
		}
	}
	if !prefersAsync([]string{"wait=1", "respond-async"}) {
		t.Error("in the second header")
	}
}

func FuzzPrefer(f *testing.F) {
	for p := range prefers {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if prefersAsync([]string{p}) && !strings.Contains(strings.ToLower(p), respondAsync) {
			t.Errorf("%q", p)
		}
	})
}
