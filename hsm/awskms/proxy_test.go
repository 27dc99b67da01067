package awskms

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/luxfi/mpcd/hsm"
)

// proxy stands between the driver and moto and does harm on cue.
type proxy struct {
	URL string

	mu     sync.Mutex
	seen   map[string]int // requests by action
	before func(w http.ResponseWriter, r *http.Request, action string, n int) (answered bool)
	after  func(action string, answer map[string]any)
}

func newProxy(t testing.TB) *proxy {
	p := &proxy{seen: map[string]int{}}
	to, err := url.Parse(motoServer(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	through := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host },
		ModifyResponse: p.tamper,
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		action := actionOf(r)
		body, err := io.ReadAll(r.Body) // the server sees a client leave only once it has read the request
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		p.mu.Lock()
		p.seen[action]++
		n, before := p.seen[action], p.before
		p.mu.Unlock()
		if before == nil || !before(w, r, action, n) {
			through.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	p.URL = s.URL
	return p
}

func actionOf(r *http.Request) string {
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return action
}

// tamper lets after change an answer.
func (p *proxy) tamper(r *http.Response) error {
	p.mu.Lock()
	after := p.after
	p.mu.Unlock()
	if after == nil || r.StatusCode != http.StatusOK {
		return nil
	}
	var answer map[string]any
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil && err != io.EOF {
		return err
	}
	if answer == nil {
		answer = map[string]any{}
	}
	after(actionOf(r.Request), answer)
	b, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	r.Header.Set("Content-Length", strconv.Itoa(len(b)))
	return nil
}

// harm sets what happens to requests from now on, and counts anew.
func (p *proxy) harm(before func(w http.ResponseWriter, r *http.Request, action string, n int) bool,
	after func(action string, answer map[string]any)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before, p.after, p.seen = before, after, map[string]int{}
}

func (p *proxy) count(action string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[action]
}

// refuse answers as KMS does for an error.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Errortype", code)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message})
}

// cut drops the connection without an answer.
func cut(w http.ResponseWriter) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = c.Close()
	}
}

// behind opens a token on an empty KMS behind a proxy, with a P-256 key "p" and a KEK "k" that it has used.
func behind(t testing.TB, l limits) (*proxy, *token) {
	t.Helper()
	p := newProxy(t)
	tok := openAt(t, p.URL, motoServer(t).Region(), hsm.Options{}, l)
	generate(t, tok, "p", hsm.KeyP256)
	generate(t, tok, "k", hsm.KeyAESWrap)
	if _, err := tok.Sign(t.Context(), "p", []byte("m")); err != nil {
		t.Fatal(err)
	}
	if _, err := tok.Wrap(t.Context(), "k", []byte("dek"), nil); err != nil {
		t.Fatal(err)
	}
	return p, tok
}
