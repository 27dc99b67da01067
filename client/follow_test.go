package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// frame is an event that shows an operation in a state.
func frame(id, state string) string {
	return fmt.Sprintf(": beat\n\nevent: operation\r\nid: %s\ndata: {\"id\":\"x\",\ndata: \"state\":%q}\n\n", id, state)
}

// Goal: an operation is followed to its end over streams that break off, at nodes that fail, from the event that was seen last. Method: a
// node that refuses, and one whose streams end after an event each.
func TestFollow(t *testing.T) {
	var at atomic.Int32
	states := []string{"PENDING_APPROVAL", "RUNNING", "SUCCEEDED"}
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer bad.Close()
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(at.Add(1)) - 1
		if want := fmt.Sprint(n); n > 0 && r.Header.Get("Last-Event-ID") != want || r.URL.Path != "/api/v1/operations/x/events" {
			t.Errorf("stream %d of %s begins after %q", n, r.URL.Path, r.Header.Get("Last-Event-ID"))
		}
		_, _ = io.WriteString(w, frame(fmt.Sprint(n+1), states[n]))
	}))
	defer good.Close()
	var seen []string
	c := New(Config{Nodes: []string{bad.URL, good.URL}})
	o, err := c.Follow(t.Context(), "x", func(o *Operation) { seen = append(seen, o.State) })
	if err != nil || o.State != "SUCCEEDED" || strings.Join(seen, " ") != strings.Join(states, " ") {
		t.Errorf("%+v, %v, %v", o, seen, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Follow(ctx, "x", nil); err == nil {
		t.Error("it is followed though nobody waits")
	}
}

// Goal: what is no operation of that name, or cannot be read, ends with what is wrong, and not never. Method: nodes that answer so.
func TestFollowRefuses(t *testing.T) {
	for name, answer := range map[string]string{"another": strings.ReplaceAll(frame("1", "SUCCEEDED"), `"x"`, `"y"`),
		"no JSON": "event: operation\ndata: {\n\n", "nothing": "", "other events": "event: other\ndata: {}\n\n"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
		if o, err := New(Config{Nodes: []string{s.URL}, Attempts: 1}).Follow(t.Context(), "x", nil); err == nil || o != nil {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
		s.Close()
	}
}

// Goal: no event makes a client hold more than an answer may have. Method: one line, and many, that are longer together.
func TestEventsAreBounded(t *testing.T) {
	for name, part := range map[string]string{"a line": strings.Repeat("x", 1<<10), "lines": "data: " + strings.Repeat("x", 1<<10) + "\n"} {
		in := bufio.NewReader(&endless{part: []byte(part)})
		if _, err := readEvent(in, func() {}); err != errLong {
			t.Errorf("%s without an end: %v", name, err)
		}
	}
}

// endless repeats a part.
type endless struct {
	part []byte
	at   int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.part[e.at:])
	e.at = (e.at + n) % len(e.part)
	return n, nil
}

// Goal: a request whose answer is not waited for says so, and has the operation, or the answer of before as one that is over. Method: a
// node that gives one and the other.
func TestLaterRequests(t *testing.T) {
	for answer, want := range map[string]string{`{"id":"x","state":"RUNNING","intent":{}}`: "RUNNING",
		`{"session_id":"x","wallet_id":"w_1","state":"active"}`: "SUCCEEDED"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var body struct {
				SessionID string `json:"session_id"`
			}
			if json.NewDecoder(r.Body).Decode(&body) != nil || body.SessionID != "x" || r.Header.Get("Prefer") != "respond-async" {
				t.Errorf("%s: %+v, %v", r.URL.Path, body, r.Header)
			}
			_, _ = io.WriteString(w, answer)
		}))
		c := New(Config{Nodes: []string{s.URL}})
		o1, err1 := c.SignLater(t.Context(), &SignRequest{SessionID: "x", WalletID: "w_1"})
		o2, err2 := c.KeygenLater(t.Context(), "hot", &KeygenRequest{SessionID: "x"})
		o3, err3 := c.RefreshLater(t.Context(), &RefreshRequest{SessionID: "x", WalletID: "w_1"})
		for _, err := range []error{err1, err2, err3} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, o := range []*Operation{o1, o2, o3} {
			if o.ID != "x" || o.State != want {
				t.Errorf("%+v", o)
			}
		}
		s.Close()
	}
}

// Goal: no stream makes the parser hold more than it may, panic, or tell of an event without data. Method: fuzzing.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(frame("1", "RUNNING")))
	f.Add([]byte("data\n\nid: \x00\ndata:\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bufio.NewReader(bytes.NewReader(b))
		for {
			e, err := readEvent(in, func() {})
			if err != nil {
				return
			}
			if e.data == nil || len(e.data)+len(e.id)+len(e.name) > len(b) {
				t.Errorf("%+v of %d bytes", e, len(b))
			}
		}
	})
}
