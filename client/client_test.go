package client

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luxfi/mpcd/client/wire"
)

// cluster is some nodes that remember what they were asked.
type cluster struct {
	mu      sync.Mutex
	asked   []string // "node method path"
	bodies  []map[string]any
	headers []http.Header
	clients []*httptest.Server
}

// newCluster starts a server for each handler; h gets the number of requests that all nodes had before.
func newCluster(t *testing.T, handlers ...func(before int, w http.ResponseWriter)) (*cluster, []string) {
	c := &cluster{}
	var nodes []string
	for i, h := range handlers {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/livez" {
				return
			}
			raw, _ := io.ReadAll(r.Body)
			var body map[string]any
			_ = json.Unmarshal(raw, &body)
			c.mu.Lock()
			before := len(c.asked)
			c.asked = append(c.asked, fmt.Sprint(i, " ", r.Method, " ", r.URL.RequestURI()))
			c.bodies = append(c.bodies, body)
			c.headers = append(c.headers, r.Header)
			c.mu.Unlock()
			h(before, w)
		}))
		t.Cleanup(s.Close)
		c.clients = append(c.clients, s)
		nodes = append(nodes, strings.TrimPrefix(s.URL, "http://"))
	}
	return c, nodes
}

func ok(body string) func(int, http.ResponseWriter) {
	return func(_ int, w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}
}

func refuse(status int, code string) func(int, http.ResponseWriter) {
	return func(_ int, w http.ResponseWriter) {
		w.Header().Set("Content-Type", wire.ProblemType)
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(wire.Problem{Status: status, Code: code, Detail: "because.", Culprits: []string{"node2"},
			Errors: []wire.FieldError{{Field: "f", Detail: "d"}}})
	}
}

// drop closes the connection without an answer.
func drop(int, http.ResponseWriter) { panic(http.ErrAbortHandler) }

const wallet = `{"session_id":"s","wallet_id":"w_1","public_key":"0x0102","address":"a","addresses":{"solana":"a"},"threshold":2,"total":3,"parties":["node1"],"epoch":0,"status":"completed"}`

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// Goal: the calls of seed document 000 work as it writes them, and send what the API reads. Method: one node that answers.
func TestCalls(t *testing.T) {
	c, nodes := newCluster(t, ok(wallet))
	client := New(Config{Nodes: nodes, Token: "tok"})
	ctx := context.Background()
	result, err := client.Keygen(ctx, &KeygenRequest{Threshold: 2, Curve: "secp256k1", Protocol: "cggmp21"})
	if err != nil || !bytes.Equal(result.PublicKey, []byte{1, 2}) || result.Address != "a" {
		t.Fatalf("%+v %v", result, err)
	}
	if b := c.bodies[0]; b["threshold"] != 2.0 || b["curve"] != "secp256k1" || b["protocol"] != "cggmp21" || len(b) != 4 ||
		!uuid4.MatchString(b["session_id"].(string)) {
		t.Errorf("%v", b)
	}
	hash := bytes.Repeat([]byte{0xab}, 32)
	if _, err := client.Sign(ctx, &SignRequest{PublicKey: result.PublicKey, MessageHash: hash,
		Signers: []string{"node1", "node2"}}); err != nil {
		t.Fatal(err)
	}
	if b := c.bodies[1]; b["public_key"] != "0x0102" || b["message_hash"] != "0x"+strings.Repeat("ab", 32) || len(b["signers"].([]any)) != 2 ||
		len(b) != 4 {
		t.Errorf("%v", b)
	}
	if c.bodies[0]["session_id"] == c.bodies[1]["session_id"] {
		t.Error("two calls share a session_id")
	}
	if _, err := client.Refresh(ctx, &RefreshRequest{SessionID: "mine", WalletID: "w_1"}); err != nil || c.bodies[2]["session_id"] != "mine" {
		t.Errorf("%v %v", c.bodies[2], err)
	}
	_, _ = client.Wallet(ctx, "w/1?x")
	_, _, _ = client.Wallets(ctx, Page{Size: 5, Token: "a&b"})
	_, _ = client.Nodes(ctx)
	_, _, _ = client.Audit(ctx, Page{})
	_, _ = client.Checkpoints(ctx)
	_, _ = client.CreateWallet(ctx, "v", &KeygenRequest{Curve: "ed25519"})
	_, _ = client.ProveThreshold(ctx, "w_1")
	_, _ = client.Health(ctx)
	receipt, err := client.Receipt(ctx, "r_1")
	if err != nil || string(receipt) != wallet {
		t.Errorf("%s %v", receipt, err)
	}
	want := []string{"0 POST /api/v1/keygen", "0 POST /api/v1/sign", "0 POST /api/v1/refresh", "0 GET /api/v1/wallets/w%2F1%3Fx",
		"0 GET /api/v1/wallets?page_size=5&page_token=a%26b", "0 GET /api/v1/nodes", "0 GET /api/v1/audit",
		"0 GET /api/v1/audit/checkpoints", "0 POST /api/v1/vaults/v/wallets",
		"0 POST /api/v1/wallets/w_1/prove-threshold", "0 GET /healthz", "0 GET /api/v1/receipts/r_1"}
	if fmt.Sprint(c.asked) != fmt.Sprint(want) {
		t.Errorf("asked %q", c.asked)
	}
	for _, h := range c.headers {
		if h.Get("Authorization") != "Bearer tok" {
			t.Errorf("%v", h)
		}
	}
}

// Goal: where no node served a call, what each of them said is told, in a few words. Method: a node that is gone, and two that refuse.
func TestAllFailuresAreTold(t *testing.T) {
	_, nodes := newCluster(t, refuse(503, "quorum"), refuse(409, "conflict"))
	gone := httptest.NewServer(nil)
	nodes = append([]string{gone.URL}, nodes...)
	gone.Close()
	_, err := New(Config{Nodes: nodes, Attempts: 3}).Sign(context.Background(), &SignRequest{WalletID: "w", Message: []byte("m")})
	var others *OthersError
	var e *Error
	if !errors.As(err, &others) || len(others.Others) != 2 || !errors.As(err, &e) || e.Status != 409 {
		t.Fatal(err)
	}
	for _, want := range []string{": 503 quorum: because", gone.URL + ": dial tcp"} {
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Post") {
			t.Errorf("%q is not in %q", want, err)
		}
	}
}

// Goal: a call survives nodes that are gone, drop the connection or cannot serve, and is one request to the cluster all the while.
// Method: three bad nodes and a good one; all attempts must carry one session_id and one body.
func TestFailover(t *testing.T) {
	c, nodes := newCluster(t, drop, refuse(503, "quorum"), refuse(429, "overload"), ok(wallet))
	gone := httptest.NewServer(nil)
	nodes = append([]string{strings.TrimPrefix(gone.URL, "http://")}, nodes...)
	gone.Close()
	client := New(Config{Nodes: nodes})
	if _, err := client.Keygen(context.Background(), &KeygenRequest{Curve: "ed25519"}); err != nil {
		t.Fatal(err)
	}
	if len(c.asked) != 4 {
		t.Errorf("asked %q", c.asked)
	}
	for _, b := range c.bodies {
		if fmt.Sprint(b) != fmt.Sprint(c.bodies[0]) || !uuid4.MatchString(b["session_id"].(string)) {
			t.Errorf("attempts differ: %v and %v", b, c.bodies[0])
		}
	}
	if _, err := client.Keygen(context.Background(), &KeygenRequest{Curve: "ed25519"}); err != nil || c.asked[4] != "3 POST /api/v1/keygen" {
		t.Errorf("the next call does not begin with the node that served: %q %v", c.asked[4:], err)
	}
	if c.bodies[4]["session_id"] == c.bodies[0]["session_id"] {
		t.Error("a new call has an old session_id")
	}
}

// Goal: what no other node would answer differently is not repeated, and is a typed error. Method: each such status.
func TestRefusals(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 409, 413, 422, 500} {
		c, nodes := newCluster(t, refuse(status, "code"), ok(wallet))
		_, err := New(Config{Nodes: nodes}).Sign(context.Background(), &SignRequest{WalletID: "w"})
		var e *Error
		if !errors.As(err, &e) || e.Status != status || e.Code != "code" || e.Detail != "because." || e.Culprits[0] != "node2" ||
			e.Errors[0].Field != "f" || e.Node != "http://"+nodes[0] || len(c.asked) != 1 {
			t.Errorf("%d: %v, asked %q", status, err, c.asked)
		}
	}
	c, nodes := newCluster(t, func(_ int, w http.ResponseWriter) { http.Error(w, "<html>", http.StatusTeapot) })
	_, err := New(Config{Nodes: nodes}).Nodes(context.Background())
	var e *Error
	if !errors.As(err, &e) || e.Code != "http" || e.Status != 418 || len(c.asked) != 1 {
		t.Errorf("%v", err)
	}
	_, nodes = newCluster(t, ok(`{"wallets":`))
	if _, _, err := New(Config{Nodes: nodes}).Wallets(context.Background(), Page{}); err == nil {
		t.Error("half an answer accepted")
	}
	c, nodes = newCluster(t, func(_ int, w http.ResponseWriter) {
		w.Header().Set("Location", "http://localhost:1/elsewhere")
		w.WriteHeader(307)
	})
	if _, err := New(Config{Nodes: nodes}).Nodes(context.Background()); !errors.As(err, &e) || e.Status != 307 || len(c.asked) != 1 {
		t.Errorf("a redirect was followed: %v", err)
	}
}

// script answers without a network, so that time can be simulated.
type script struct {
	started time.Time
	calls   []string
	answer  func(n int, r *http.Request) *http.Response
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/livez" {
		return answer(200, "", `{}`), nil
	}
	s.calls = append(s.calls, fmt.Sprint(r.URL.Hostname(), "@", time.Since(s.started)))
	w := s.answer(len(s.calls), r)
	if w == nil {
		return nil, errors.New("connection refused")
	}
	w.Request = r
	return w, nil
}

func answer(status int, retryAfter, body string) *http.Response {
	h := http.Header{"Content-Type": {wire.ProblemType}}
	if retryAfter != "" {
		h.Set("Retry-After", retryAfter)
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// Goal: a node is not asked before its Retry-After is over, others meanwhile are, and a call ends. Method: simulated time.
func TestRetryAfter(t *testing.T) {
	run := func(c Config, ctx func() (context.Context, func()), f func(int, *http.Request) *http.Response) (string, error) {
		s := &script{answer: f}
		var err error
		synctest.Test(t, func(*testing.T) {
			s.started = time.Now()
			c.HTTPClient = &http.Client{Transport: s}
			x, cancel := ctx()
			defer cancel()
			_, err = New(c).Nodes(x)
		})
		return strings.Join(s.calls, " "), err
	}
	forever := func() (context.Context, func()) { return context.Background(), func() {} }
	busy := `{"code":"overload","status":429,"detail":"busy."}`

	calls, err := run(Config{Nodes: []string{"a", "b"}}, forever, func(n int, r *http.Request) *http.Response {
		if n < 4 {
			return answer(503, map[string]string{"a": "7", "b": "3"}[r.URL.Hostname()], busy)
		}
		return answer(200, "", `{}`)
	})
	if calls != "a@0s b@0s b@3s b@6s" || err != nil {
		t.Errorf("calls %s: %v", calls, err)
	}
	calls, err = run(Config{Nodes: []string{"a"}}, forever, func(int, *http.Request) *http.Response { return nil })
	if calls != "a@0s a@1s a@2s" || err == nil {
		t.Errorf("calls %s: %v", calls, err)
	}
	calls, err = run(Config{Nodes: []string{"a"}, Attempts: 2}, forever,
		func(int, *http.Request) *http.Response { return answer(429, "86400", busy) })
	var e *Error
	if calls != "a@0s a@30s" || !errors.As(err, &e) || e.RetryAfter != waitMax || !e.Retryable {
		t.Errorf("calls %s: %v", calls, err)
	}
	short := func() (context.Context, func()) {
		c, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		return c, cancel
	}
	calls, err = run(Config{Nodes: []string{"a"}}, short, func(int, *http.Request) *http.Response { return answer(429, "5", busy) })
	if calls != "a@0s" || !errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("calls %s: %v", calls, err)
	}
}

// Goal: addresses are completed as the documentation says, and a token never travels in the clear. Method: table.
func TestAddresses(t *testing.T) {
	for name, want := range map[string]string{
		"node1:8080": "https://node1:8080", "localhost:8080": "http://localhost:8080", "127.0.0.1:8080": "http://127.0.0.1:8080",
		"[::1]:8080":     "http://[::1]:8080",
		"https://node1/": "https://node1", "https://gw/mpc": "https://gw/mpc", "http://localhost:1": "http://localhost:1",
	} {
		if got, err := baseURL(name, true); got != want || err != nil {
			t.Errorf("%s: %s %v", name, got, err)
		}
	}
	if got, err := baseURL("http://node1:8080", false); got != "http://node1:8080" || err != nil {
		t.Errorf("%s %v", got, err)
	}
	for _, name := range []string{"", "http://node1:8080", "http://localhost.evil.example:1", "ftp://localhost", "https://u:p@node1",
		"https://node1?x", "https://node1#x", "a b"} {
		if _, err := baseURL(name, true); err == nil {
			t.Errorf("%q accepted", name)
		}
		if _, err := New(Config{Nodes: []string{"localhost:1", name}, Token: "t"}).Nodes(context.Background()); err == nil ||
			!strings.HasPrefix(err.Error(), "client: ") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := New(Config{}).Nodes(context.Background()); err == nil {
		t.Error("no nodes accepted")
	}
}

// Goal: AllWallets reads every page in order, and fails where one of them does. Method: a node with three pages, then one that ends in the
// middle.
func TestAllWallets(t *testing.T) {
	pages := map[string]string{"": `{"wallets":[{"wallet_id":"a"},{"wallet_id":"b"}],"next_page_token":"x"}`,
		"x": `{"wallets":[{"wallet_id":"c"}],"next_page_token":"y"}`, "y": `{"wallets":[]}`}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Query().Get("page_token")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, page)
	}))
	defer s.Close()
	c := New(Config{Nodes: []string{s.URL}, Attempts: 1})
	all, err := c.AllWallets(t.Context())
	if err != nil || len(all) != 3 || all[0].WalletID != "a" || all[2].WalletID != "c" {
		t.Errorf("%+v, %v", all, err)
	}
	delete(pages, "y")
	if _, err := c.AllWallets(t.Context()); err == nil {
		t.Error("a list that broke off is taken for whole")
	}
}

// Goal: the HTTP client trusts the CA or the certificate it is given and no other, and follows no redirect. Method: a TLS server with its
// own certificate, with its CA, without, and with a file that is none.
func TestNewHTTP(t *testing.T) {
	s := httptest.NewTLSServer(http.RedirectHandler("https://elsewhere.example/", http.StatusFound))
	defer s.Close()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	get := func(f Files) (int, error) {
		c, err := NewHTTP(f, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.Get(s.URL)
		if err != nil {
			return 0, err
		}
		return r.StatusCode, r.Body.Close()
	}
	if code, err := get(Files{CA: path}); err != nil || code != http.StatusFound {
		t.Errorf("with its CA: %d, %v", code, err)
	}
	if code, err := get(Files{Known: path}); err != nil || code != http.StatusFound {
		t.Errorf("known: %d, %v", code, err)
	}
	if _, err := get(Files{}); err == nil {
		t.Error("a certificate of nobody's is trusted")
	}
	for _, f := range []Files{{CA: path + ".gone"}, {CA: "client_test.go"}, {Known: path + ".gone"}, {Known: "client_test.go"},
		{Cert: path, Key: path}} {
		if _, err := NewHTTP(f, 0); err == nil {
			t.Errorf("%+v is taken", f)
		}
	}
}
