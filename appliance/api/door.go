package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/client/wire"
)

// rule says who may use a route.
type rule struct {
	open  bool   // without a token
	light bool   // without a place in the queue
	roles []Role // any of them
	body  bool   // the route reads one
}

// ServeHTTP is the door in front of every route.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	c := &call{id: newUUID(s.Rand), header: r.Header}
	r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
	out := &recorder{ResponseWriter: w}
	setHeaders(out.Header(), c.id)
	if r.ContentLength != 0 { // before anything is known of who sends it; admit allows more
		readBy(w, unreadGrace)
	}
	writeBy(w, writeTimeout)

	pattern := "other"
	s.meter.inFlight.Inc()
	defer func() {
		if v := recover(); v != nil {
			s.panicked(out, r, v)
		}
		s.meter.inFlight.Dec()
		elapsed := time.Since(started)
		s.meter.observe(pattern, out.status, elapsed)
		s.Logger.LogAttrs(r.Context(), s.level(pattern, c), "http request", slog.String("method", clip(r.Method)),
			slog.String("route", pattern), slog.Int("status", out.status), slog.Duration("took", elapsed), slog.Int64("bytes", out.bytes),
			slog.String("requester", c.requester), slog.String("remote", r.RemoteAddr), slog.String("request_id", c.id))
	}()

	if err := s.fromBrowser(r); err != nil {
		s.Denials.add(r, pattern, "", s.refuse(out, r, err))
		return
	}
	handler, found := s.mux.Handler(r)
	if found == "" {
		s.refuse(out, r, noRoute(handler, r))
		return
	}
	pattern = found
	r, done, err := s.admit(out, r, c, s.rules[found])
	defer done()
	if err != nil {
		s.Denials.add(r, pattern, c.requester, s.refuse(out, r, err))
		return
	}
	s.mux.ServeHTTP(out, r)
}

// level is that of a request's line in the log: probes come every second, and strangers as often as they like.
func (s *server) level(pattern string, c *call) slog.Level {
	if c.requester == "" || s.rules[pattern].light {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// admit authenticates, authorises, reads the body and takes a place, in this order: nobody unknown can fill memory, and who sends slowly
// holds no place that others could have.
func (s *server) admit(w http.ResponseWriter, r *http.Request, c *call, rule rule) (_ *http.Request, done func(), err error) {
	done = func() {}
	if rule.open {
		return r, done, nil
	}
	who, err := s.Auth.Authenticate(r)
	var said *problem.Error
	switch {
	case errors.As(err, &said):
		return r, done, err
	case err != nil:
		return r, done, &problem.Error{Code: codeToken, Message: err.Error()}
	}
	c.requester, c.vaults = who.Requester, who.Vaults
	if err := who.mayUse(rule.roles); err != nil {
		return r, done, err
	}
	if rule.light {
		return r, done, nil
	}
	wait, enough := context.WithTimeout(r.Context(), placeWait)
	defer enough()
	if !s.callers.take(wait, who.Requester) {
		return r, done, &problem.Error{Code: problem.Overload, Message: fmt.Sprintf("%d requests of yours are being worked on", s.callers.most)}
	}
	done = func() { s.callers.give(who.Requester) }
	writeBy(w, s.Timeout+bodyTimeout+placeWait+writeTimeout)
	if err := checkQuery(r.URL.RawQuery); err != nil {
		return r, done, err
	}
	if rule.body {
		if r, err = prepareBody(w, r, c); err != nil {
			return r, done, err
		}
	}
	if !s.places.take(wait, "") {
		return r, done, &problem.Error{Code: problem.Overload, Message: fmt.Sprintf("%d requests are being worked on", s.MaxConcurrent)}
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Timeout)
	return r.WithContext(ctx), func() { cancel(); s.places.give(""); s.callers.give(who.Requester) }, nil
}

// checkQuery refuses a query that says one thing twice, or that is none.
func checkQuery(raw string) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return &problem.Error{Code: problem.Invalid, Message: "the query is malformed", Next: "escape what stands in it: &, ;, % and +"}
	}
	for name, values := range query {
		if len(values) > 1 {
			return invalidField(clip(name), "give it once", "the query has %s %d times", clip(name), len(values))
		}
	}
	return nil
}

// prepareBody reads the body, settles the idempotency key and leaves the canonical body for the route to read.
func prepareBody(w http.ResponseWriter, r *http.Request, c *call) (*http.Request, error) {
	keys := r.Header.Values("Idempotency-Key")
	if len(keys) > 1 {
		return r, invalidField("Idempotency-Key", "give one", "the header Idempotency-Key is given %d times", len(keys))
	}
	object, err := readBody(w, r)
	if err != nil {
		return r, err
	}
	for _, key := range keys {
		if len(key) > 1 && key[0] == '"' && key[len(key)-1] == '"' {
			key = key[1 : len(key)-1] // a structured field's string, RFC 9651 §3.3.3
		}
		if given, ok := object["session_id"]; ok && given != nil && given != key {
			return r, invalidField("session_id", "give one of them", "session_id and the Idempotency-Key header differ")
		}
		object["session_id"] = key
	}
	if object["session_id"] == nil {
		delete(object, "session_id")
	}
	if key, ok := object["session_id"].(string); ok {
		if key == "" || len(key) > operation.MaxSessionID || strings.ContainsFunc(key, func(r rune) bool { return r < '!' || r > '~' }) {
			return r, invalidField("session_id", "a UUID is a good one", "session_id must have 1 to %d visible ASCII characters",
				operation.MaxSessionID)
		}
		if key == "." || key == ".." { // of which no URL can name the operation
			return r, invalidField("session_id", "a UUID is a good one", "session_id %q is no name in a path", key)
		}
		c.session = key
	}
	c.later = prefersAsync(r.Header.Values("Prefer"))
	canonical := encodeCanonical(object)
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(canonical))
	r.ContentLength = int64(len(canonical))
	r.Header.Set("Content-Type", "application/json")
	return r, nil
}

// fromBrowser refuses, in dev, what a page of another origin had a browser send.
func (s *server) fromBrowser(r *http.Request) error {
	if !s.Dev {
		return nil
	}
	if !loopbackHost(r.Host) {
		return &problem.Error{Code: problem.Denied,
			Message: fmt.Sprintf("dev mode answers only to names of this machine, not to %q", clip(r.Host)),
			Next:    "use http://localhost, http://127.0.0.1 or http://[::1]"}
	}
	foreign := &problem.Error{Code: problem.Denied, Message: "dev mode refuses requests that a page of another origin sends",
		Next: "use curl, a client, or mpcd start with tokens"}
	if origins := r.Header.Values("Origin"); len(origins) > 0 {
		u, err := url.Parse(origins[0])
		if err != nil || len(origins) > 1 || u.Host != r.Host || (u.Scheme == "https") != (r.TLS != nil) {
			return foreign
		}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return foreign
	}
	return nil
}

func loopbackHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// noRoute says whether the path or the method is unknown, by asking the handler that the mux would have used.
func noRoute(handler http.Handler, r *http.Request) error {
	probe := &discard{header: http.Header{}}
	handler.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		allow := probe.header.Get("Allow")
		p := newRefusal(r.Context(), &problem.Error{Code: codeMethod, Message: fmt.Sprintf("%s is not for %s", clip(r.URL.Path), clip(r.Method)),
			Next: "use " + allow})
		p.allow = allow
		return p
	}
	return &problem.Error{Code: problem.NotFound, Message: fmt.Sprintf("there is no %s", clip(r.URL.Path)), Next: "see /docs for the paths"}
}

// refuse answers with a problem, and returns it.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, err error) *refusal {
	p := s.refusal(r.Context(), err)
	h := w.Header()
	for k, v := range p.GetHeaders() {
		h[k] = v
	}
	h.Set("Content-Type", wire.ProblemType)
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_ = json.NewEncoder(w).Encode(p.Problem)
	}
	return p
}

// refusal describes err for the outside, and logs what must not go there.
func (s *server) refusal(ctx context.Context, err error) *refusal {
	p := newRefusal(ctx, err)
	if p.Status >= http.StatusInternalServerError {
		level := slog.LevelError
		if p.Code == string(problem.Starting) {
			level = slog.LevelInfo // probes ask again and again while a node boots
		}
		s.Logger.LogAttrs(ctx, level, "request failed", slog.String("code", p.Code), slog.Any("error", or(causeOf(p), p.Detail)),
			slog.String("request_id", callOf(ctx).id))
	}
	return p
}

func causeOf(p *refusal) string {
	if p.cause == nil {
		return ""
	}
	return p.cause.Error()
}

// panicked answers for a route that panicked: the log has the stack, the client a 500 that says nothing.
func (s *server) panicked(w *recorder, r *http.Request, v any) {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	s.Logger.LogAttrs(r.Context(), slog.LevelError, "request panicked", slog.Any("panic", v), slog.String("stack", string(debug.Stack())),
		slog.String("request_id", callOf(r.Context()).id))
	if w.status == 0 {
		s.refuse(w, r, &problem.Error{Code: problem.Internal, Message: "the node failed"})
	}
}

func setHeaders(h http.Header, id string) {
	h.Set("X-Request-Id", id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// newUUID makes a version 4 UUID (RFC 9562 §5.4).
func newUUID(rand io.Reader) string {
	var b [16]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		panic("api: no randomness: " + err.Error())
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// recorder remembers status and size for the log.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// discard keeps the status and headers of an answer that is not sent.
type discard struct {
	header http.Header
	status int
}

func (w *discard) Header() http.Header         { return w.header }
func (w *discard) WriteHeader(status int)      { w.status = status }
func (w *discard) Write(b []byte) (int, error) { return len(b), nil }
