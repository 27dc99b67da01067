package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/client/wire"
)

// Goal: bad input is refused with its own status, names the field, says what to do, and never reaches the node. Method: table.
func TestBadInput(t *testing.T) {
	digest := func(n int) string { return `{"wallet_id":"w_tap","message_hash":"0x` + strings.Repeat("11", n) + `"}` }
	sign := func(fields string) string { return `{"wallet_id":"w_ed",` + fields + `}` }
	const tx = `"transaction":{"format":"transaction","bytes":"0x01"}`
	for _, c := range []struct {
		name, path, body string
		status           int
		code, field      string // of the problem; field "" is none
		says             string // part of the detail
	}{
		{"no JSON", "keygen", `{"curve":`, 400, "malformed", "", "not JSON"},
		{"not an object", "keygen", `[1]`, 400, "malformed", "", "not an object"},
		{"a string", "keygen", `"x"`, 400, "malformed", "", "not an object"},
		{"two objects", "keygen", `{"curve":"ed25519"}{}`, 400, "malformed", "", "after the JSON object"},
		{"a form", "keygen", `curve=ed25519`, 400, "malformed", "", "not JSON"},
		{"twice", "keygen", `{"curve":"ed25519","curve":"secp256k1"}`, 400, "malformed", "", "twice"},
		{"not UTF-8", "keygen", "{\"curve\":\"ed25519\",\"label\":\"\xff\"}", 400, "malformed", "", "UTF-8"},
		{"too deep", "keygen", `{"parties":[[[[[["x"]]]]]],"curve":"ed25519"}`, 400, "malformed", "", "nested"},
		{"too many tokens", "keygen", `{"parties":[` + strings.Repeat("1,", tokensMax) + `1]}`, 400, "malformed", "", "tokens"},
		{"empty", "keygen", ``, 422, "invalid", "", "curve"},
		{"a megabyte", "sign", sign(`"message":"0x` + strings.Repeat("00", 1<<19) + `"`), 413, "too_large", "", "256 KiB"},

		{"unknown field", "keygen", `{"curve":"ed25519","treshold":2}`, 422, "invalid", "treshold", "unknown field"},
		{"an integer as a fraction", "keygen", `{"threshold":2.0,"total":3,"curve":"ed25519"}`, 422, "invalid", "threshold", "whole number"},
		{"other case", "keygen", `{"curve":"ed25519","Threshold":2}`, 422, "invalid", "Threshold", "unknown field"},
		{"folded case", "sign", `{"wallet_id":"w_ed","meſſage":"0x01"}`, 422, "invalid", "meſſage", "unknown field"},
		{"no curve", "keygen", `{"threshold":2}`, 422, "invalid", "", "curve"},
		{"other curve", "keygen", `{"curve":"p256"}`, 422, "invalid", "curve", "unknown"},
		{"bls", "keygen", `{"curve":"bls12-381"}`, 422, "unsupported", "curve", "Use curve ed25519"},
		{"cggmp21", "keygen", `{"curve":"secp256k1","protocol":"cggmp21"}`, 422, "unsupported", "protocol", "Ask for protocol dkls23"},
		{"cggmp21 in a vault", "vaults/v/wallets", `{"curve":"secp256k1","protocol":"cggmp21"}`, 422, "unsupported", "protocol",
			"no other one answers in its name"},
		{"cggmp21 on ed25519", "keygen", `{"curve":"ed25519","protocol":"cggmp21"}`, 422, "unsupported", "protocol",
			"not in this build for curve ed25519"},
		{"dkls23 on ed25519", "keygen", `{"curve":"ed25519","protocol":"dkls23"}`, 422, "unsupported", "protocol", "not in this build"},
		{"lss", "keygen", `{"curve":"secp256k1","protocol":"lss"}`, 422, "unsupported", "protocol", "Ask for protocol dkls23"},
		{"lss on ed25519", "keygen", `{"curve":"ed25519","protocol":"lss"}`, 422, "unsupported", "protocol", "not in this build"},
		{"bls on secp256k1", "keygen", `{"curve":"secp256k1","protocol":"bls"}`, 422, "unsupported", "protocol", "not in this build"},
		{"DKLS23", "keygen", `{"curve":"secp256k1","protocol":"DKLS23"}`, 422, "invalid", "protocol", "unknown"},
		{"other protocol", "keygen", `{"curve":"ed25519","protocol":"frots"}`, 422, "invalid", "protocol", "unknown"},
		{"purpose", "keygen", `{"curve":"ed25519","purpose":"bridge"}`, 422, "unsupported", "purpose", "Leave purpose out"},
		{"threshold 0", "keygen", `{"curve":"ed25519","threshold":0}`, 422, "invalid", "threshold", "threshold"},
		{"threshold -1", "keygen", `{"curve":"ed25519","threshold":-1}`, 422, "invalid", "threshold", "threshold"},
		{"threshold 1.5", "keygen", `{"curve":"ed25519","threshold":1.5}`, 422, "invalid", "threshold", "integer"},
		{"threshold 1e99", "keygen", `{"curve":"ed25519","threshold":1e99}`, 422, "invalid", "threshold", "threshold"},
		{"threshold 1e999", "keygen", `{"curve":"ed25519","threshold":1e999}`, 400, "malformed", "", ""},
		{"threshold in words", "keygen", `{"curve":"ed25519","threshold":"2"}`, 422, "invalid", "threshold", "integer"},
		{"t > n", "keygen", `{"curve":"ed25519","threshold":4,"total":3}`, 422, "invalid", "threshold", "more than the 3 nodes"},
		{"t > names", "keygen", `{"curve":"ed25519","threshold":3,"parties":["a","b"]}`, 422, "invalid", "threshold", "more than the 2 nodes"},
		{"total of 0", "keygen", `{"curve":"ed25519","total":0}`, 422, "invalid", "total", "list of node names"},
		{"total in words", "keygen", `{"curve":"ed25519","total":"3"}`, 422, "invalid", "total", "list of node names"},
		{"total, an object", "keygen", `{"curve":"ed25519","total":{}}`, 422, "invalid", "total", "list of node names"},
		{"no names", "keygen", `{"curve":"ed25519","parties":[]}`, 422, "invalid", "parties", "list of node names"},
		{"names of lists", "keygen", `{"curve":"ed25519","parties":[[],[]]}`, 422, "invalid", "parties", "list of node names"},
		{"sizes differ", "keygen", `{"curve":"ed25519","total":3,"parties":["a","b"]}`, 422, "invalid", "parties", "another field"},
		{"named twice over", "keygen", `{"curve":"ed25519","total":["a"],"parties":["a"]}`, 422, "invalid", "parties", "already"},
		{"a node twice", "keygen", `{"curve":"ed25519","parties":["a","b","a"]}`, 422, "invalid", "parties[2]", "again"},
		{"no name", "keygen", `{"curve":"ed25519","parties":["a b"]}`, 422, "invalid", "parties[0]", "not a node's name"},
		{"long label", "keygen", `{"curve":"ed25519","label":"` + strings.Repeat("ä", 100) + `"}`, 422, "invalid", "label", "200 bytes"},
		{"label with a blank", "keygen", `{"curve":"ed25519","label":"treasury "}`, 422, "invalid", "label", "a blank at its beginning or end"},
		{"label with a bell", "keygen", `{"curve":"ed25519","label":"\u0007"}`, 422, "invalid", "label", "cannot be seen"},
		{"label with C1", "keygen", `{"curve":"ed25519","label":"\u009b2J"}`, 422, "invalid", "label", "cannot be seen"},
		{"label from the right", "keygen", `{"curve":"ed25519","label":"a\u202eb"}`, 422, "invalid", "label", "cannot be seen"},
		{"label of two lines", "keygen", `{"curve":"ed25519","label":"a\u2028b"}`, 422, "invalid", "label", "cannot be seen"},
		{"long session", "keygen", `{"curve":"ed25519","session_id":"` + strings.Repeat("s", 129) + `"}`, 422, "invalid", "session_id", "128"},
		{"empty session", "keygen", `{"curve":"ed25519","session_id":""}`, 422, "invalid", "session_id", "1 to 128"},
		{"session with space", "keygen", `{"curve":"ed25519","session_id":"a b"}`, 422, "invalid", "session_id", "visible"},
		{"session, a number", "keygen", `{"curve":"ed25519","session_id":5}`, 422, "invalid", "session_id", "string"},
		{"vault name", "vaults/a%20b/wallets", `{"curve":"ed25519"}`, 422, "invalid", "path.vaultId", ""},

		{"31 bytes", "sign", digest(31), 422, "invalid", "message_hash", "31 bytes"},
		{"33 bytes", "sign", digest(33), 422, "invalid", "message_hash", "33 bytes"},
		{"33 bytes, payload", "generate_mpc_sig", strings.ReplaceAll(digest(33), "message_hash", "payload"), 422, "invalid", "payload",
			"exactly 32"},
		{"not hex", "sign", sign(`"message":"0xzz"`), 422, "invalid", "message", "hex"},
		{"odd hex", "sign", sign(`"message":"0x123"`), 422, "invalid", "message", "even number"},
		{"nothing", "sign", `{"wallet_id":"w_ed"}`, 422, "invalid", "message_hash", "nothing to sign"},
		{"empty text", "sign", sign(`"message":""`), 422, "invalid", "message_hash", "nothing to sign"},
		{"two messages", "sign", sign(`"message":"0x01","payload":"0x01"`), 422, "invalid", "message", "both"},
		{"a transaction too", "sign", sign(`"message":"0x01","chain":"solana",` + tx), 422, "invalid", "message", "both"},
		{"of no chain", "sign", sign(tx), 422, "invalid", "chain", "no chain"},
		{"no bytes of it", "sign", sign(`"chain":"solana","transaction":{"format":"transaction","bytes":"0xzz"}`), 422, "invalid",
			"transaction.bytes", "hex"},
		{"too long", "sign", sign(`"message":"` + strings.Repeat("00", appliance.MaxMessage+1) + `"`), 422, "invalid", "message", "65537 bytes"},
		{"no key", "sign", `{"message":"0x01"}`, 422, "invalid", "wallet_id", "no key"},
		{"unknown wallet", "sign", `{"wallet_id":"w_no","message":"0x01"}`, 404, "not_found", "", "no such wallet"},
		{"two keys", "sign", `{"wallet_id":"w_tap","public_key":"` + fmt.Sprintf("%x", edPublic) + `","message":"0x01"}`, 422, "invalid",
			"public_key", "not the key of wallet_id"},
		{"key of 5 bytes", "sign", `{"public_key":"0x0102030405","message":"0x01"}`, 422, "invalid", "public_key", "5 bytes"},
		{"unknown signer", "sign", sign(`"message":"0x01","signers":["node1","node9"]`), 422, "invalid", "signers[1]", "node9 holds no share"},
		{"signer twice", "sign", sign(`"message":"0x01","signers":["node1","node1"]`), 422, "invalid", "signers[1]", "again"},
		{"too few signers", "sign", sign(`"message":"0x01","signers":["node1"]`), 422, "invalid", "signers", "needs 2"},
		{"signers, a number", "sign", sign(`"message":"0x01","signers":2`), 422, "invalid", "signers", "array"},
		{"wrong chain", "sign", sign(`"message":"0x01","chain":"bitcoin"`), 422, "invalid", "chain", "bitcoin"},
		{"chain in capitals", "sign", sign(`"message":"0x01","chain":"Solana"`), 422, "invalid", "chain", ""},

		{"the empty message", "sign", `{"wallet_id":"w_ed","message":"0x"}`, 422, "invalid", "message", "message is empty"},
		{"other threshold", "refresh", `{"wallet_id":"w_ed","new_threshold":3}`, 422, "unsupported", "new_threshold",
			"Resharing is not in this build"},
		{"other total", "refresh", `{"wallet_id":"w_ed","new_total":5}`, 422, "unsupported", "new_total", "Resharing is not in this build"},
		{"other parties", "wallets/w_ed/reshare", `{"new_participants":["node1","node2","node4"]}`, 422, "unsupported", "new_parties", "node4"},
		{"reshare with wallet_id", "wallets/w_ed/reshare", `{"wallet_id":"w_tap"}`, 422, "invalid", "wallet_id", "unknown field"},
		{"reshare of nothing", "wallets/w_no/reshare", `{}`, 404, "not_found", "", ""},
		{"proof with a field", "wallets/w_ed/prove-threshold", `{"x":1}`, 422, "invalid", "x", "unknown field"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake()
			p := wantProblem(t, send(t, devServer(f), "POST", "/api/v1/"+c.path, c.body), c.status, c.code)
			if !strings.Contains(p.Detail, c.says) || !strings.HasSuffix(p.Detail, ".") || len(p.Detail) > 600 {
				t.Errorf("detail %q does not say %q", p.Detail, c.says)
			}
			if c.field != "" && (len(p.Errors) == 0 || p.Errors[0].Field != c.field) {
				t.Errorf("errors %+v do not name %s", p.Errors, c.field)
			}
			if p.Retryable {
				t.Error("calls bad input retryable")
			}
			if len(f.keygens)+len(f.signs)+len(f.renewals)+len(f.proofs) != 0 {
				t.Error("the node was asked")
			}
		})
	}
}

// Goal: paths, methods, queries and media types are refused as problems too. Method: table.
func TestBadRequests(t *testing.T) {
	h := devServer(newFake())
	for _, c := range []struct {
		method, path string
		header       []string
		status       int
		code         string
	}{
		{"GET", "/", nil, 404, "not_found"},
		{"GET", "/api/v1/nothing", nil, 404, "not_found"},
		{"GET", "/api/v2/wallets", nil, 404, "not_found"},
		{"GET", "/api/v1/wallets/w_no", nil, 404, "not_found"},
		{"GET", "/api/v1/receipts/r_no", nil, 404, "not_found"},
		{"GET", "/api/v1/keygen", nil, 405, "method"},
		{"DELETE", "/api/v1/wallets/w_ed", nil, 405, "method"},
		{"POST", "/livez", nil, 405, "method"},
		{"OPTIONS", "/api/v1/sign", nil, 405, "method"},
		{"GET", "/api/v1/wallets?page_size=0", nil, 422, "invalid"},
		{"GET", "/api/v1/wallets?page_size=1001", nil, 422, "invalid"},
		{"GET", "/api/v1/wallets?page_size=x", nil, 422, "invalid"},
		{"GET", "/api/v1/wallets?page_size=5&page_size=6", nil, 422, "invalid"},
		{"GET", "/api/v1/wallets?page_size=5;page_token=x", nil, 422, "invalid"},
		{"GET", "/api/v1/wallets?size=10", nil, 422, "invalid"},
		{"GET", "/api/v1/wallets?page_token=" + strings.Repeat("a", 600), nil, 422, "invalid"},
		{"POST", "/api/v1/sign", []string{"Content-Type", "text/xml"}, 415, "media_type"},
		{"POST", "/api/v1/sign", []string{"Content-Type", "text/plain"}, 415, "media_type"},
		{"POST", "/api/v1/sign", []string{"Content-Type", "multipart/form-data; boundary=x"}, 415, "media_type"},
		{"POST", "/api/v1/sign", []string{"Content-Type", ";;"}, 415, "media_type"},
		{"POST", "/api/v1/sign", []string{"Content-Encoding", "gzip"}, 415, "media_type"},
	} {
		w := send(t, h, c.method, c.path, "{}", c.header...)
		wantProblem(t, w, c.status, c.code)
		if (c.status == 405) != (w.Header().Get("Allow") != "") {
			t.Errorf("%s %s: Allow %q", c.method, c.path, w.Header().Get("Allow"))
		}
	}
	for _, ct := range []string{"", "application/json", "application/json; charset=utf-8", "Application/JSON",
		"application/x-www-form-urlencoded"} {
		if w := send(t, h, "POST", "/api/v1/keygen", `{"curve":"ed25519"}`, "Content-Type", ct); w.Code != 200 {
			t.Errorf("%q: %d", ct, w.Code)
		}
	}
}

// Goal: every code of the node has its status, and what caused a 5xx stays in the log. Method: a node that fails with each.
func TestNodeErrors(t *testing.T) {
	const secret = "cause-not-for-outside"
	for code, status := range map[problem.Code]int{
		problem.Invalid: 422, problem.Denied: 403, problem.NotFound: 404, problem.Conflict: 409, problem.Quorum: 503,
		problem.Overload: 429, problem.Timeout: 504, problem.HSM: 503, problem.Integrity: 500, problem.Unsupported: 422,
		problem.Blame: 502, problem.Internal: 500, problem.Starting: 503, problem.PairState: 503, problem.Attempt: 503, problem.Presig: 503,
		problem.Held: 503,
	} {
		var log bytes.Buffer
		f := newFake()
		f.err = &problem.Error{Code: code, Message: "what", Next: "Do this", Field: "f", Culprits: []transport.NodeID{"node2"},
			Err: fmt.Errorf("attest: %s", secret)}
		h := New(Config{Backend: f, Dev: true, Logger: logTo(&log)})
		w := send(t, h, "POST", "/api/v1/keygen", `{"curve":"ed25519"}`)
		p := wantProblem(t, w, status, string(code))
		if p.Retryable != problem.As(f.err).Code.Retryable() || len(p.Culprits) != 1 || p.Culprits[0] != "node2" ||
			!strings.Contains(p.Detail, "Do this.") || p.Errors[0].Field != "f" {
			t.Errorf("%s: %+v", code, p)
		}
		if leaked := strings.Contains(w.Body.String(), secret); leaked != (status < 500) {
			t.Errorf("%s: cause shown: %v", code, leaked)
		} else if leaked && !strings.HasPrefix(p.Detail, "what: "+secret) {
			t.Errorf("%s: %s", code, p.Detail)
		}
		if logged := strings.Contains(log.String(), secret); logged != (status >= 500) {
			t.Errorf("%s: cause logged: %v", code, logged)
		}
	}
	for err, want := range map[error]struct {
		status int
		code   string
	}{
		errors.New(secret):       {500, "internal"},
		context.DeadlineExceeded: {504, "timeout"},
		fmt.Errorf("x: %w", &problem.Error{Code: "new_code", Message: secret}): {500, "internal"},
	} {
		f := newFake()
		f.err = err
		w := send(t, devServer(f), "GET", "/api/v1/wallets", "")
		wantProblem(t, w, want.status, want.code)
		if strings.Contains(w.Body.String(), secret) {
			t.Errorf("shown: %s", w.Body)
		}
	}
}

// Goal: no code of the node is left without a status. Method: read its constants from the source.
func TestCodesAreKnown(t *testing.T) {
	src, err := os.ReadFile("../problem/problem.go")
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`\w+ +Code = "(\w+)"`).FindAllStringSubmatch(string(src), -1)
	if len(codes) < 14 {
		t.Errorf("found %d codes", len(codes))
	}
	for _, c := range codes {
		if kinds[problem.Code(c[1])].status == 0 {
			t.Errorf("%s would be a 500", c[1])
		}
	}
}

// Goal: a panic ends in a 500 that says nothing, and in the log. Method: a node that panics with a secret.
func TestPanic(t *testing.T) {
	var log bytes.Buffer
	f := newFake()
	f.panics = "inner-secret"
	h := New(Config{Backend: f, Dev: true, Logger: logTo(&log), MaxConcurrent: 1})
	for range 2 { // the place in the queue must come back
		w := send(t, h, "POST", "/api/v1/keygen", `{"curve":"ed25519"}`)
		p := wantProblem(t, w, 500, "internal")
		if strings.Contains(w.Body.String(), "inner-secret") || !strings.Contains(log.String(), "inner-secret") ||
			!strings.Contains(log.String(), strings.TrimPrefix(p.Instance, "urn:uuid:")) {
			t.Errorf("%s / %s", w.Body, log.String())
		}
	}
	f.panics = http.ErrAbortHandler
	defer func() {
		if recover() == nil {
			t.Error("http.ErrAbortHandler was swallowed")
		}
	}()
	send(t, h, "POST", "/api/v1/keygen", `{"curve":"ed25519"}`)
}

// Goal: a refused body gives its place back. Method: one place, two bad bodies.
func TestBadBodyLeavesItsPlace(t *testing.T) {
	h := New(Config{Backend: newFake(), Dev: true, MaxConcurrent: 1})
	for range 2 {
		wantProblem(t, send(t, h, "POST", "/api/v1/sign", `{`), 400, "malformed")
	}
}

// Goal: a request that the node does not finish ends in 504. Method: a node that waits for the end of the context.
func TestTimeout(t *testing.T) {
	f := newFake()
	f.hold = make(chan struct{})
	h := New(Config{Backend: f, Dev: true, Timeout: time.Millisecond})
	p := wantProblem(t, send(t, h, "POST", "/api/v1/sign", `{"wallet_id":"w_ed","message":"0x01"}`), 504, "timeout")
	if !p.Retryable || !strings.Contains(p.Detail, "session_id") {
		t.Errorf("%+v", p)
	}
}

// Goal: a body that stalls is given up with 408, one that breaks off with 400. Method: readers that fail as sockets do.
func TestSlowBody(t *testing.T) {
	h := devServer(newFake())
	for err, want := range map[error]int{&net.OpError{Op: "read", Err: timeoutError{}}: 408, io.ErrUnexpectedEOF: 400} {
		r := httptest.NewRequest("POST", "http://localhost/api/v1/sign", io.MultiReader(strings.NewReader(`{"wallet`), failing{err}))
		r.RemoteAddr = "127.0.0.1:1"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		wantProblem(t, w, want, map[int]string{408: "slow_client", 400: "malformed"}[want])
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type timeoutError struct{}

func (timeoutError) Error() string { return "timeout" }
func (timeoutError) Timeout() bool { return true }

// Goal: logs hold one line for each request and nothing of a body, a query or a token. Method: a marked request.
func TestLogHasNoBodies(t *testing.T) {
	var log bytes.Buffer
	h := New(Config{Backend: newFake(), Dev: true, Logger: logTo(&log)})
	send(t, h, "POST", "/api/v1/sign", `{"wallet_id":"w_ed","message":"0xc0ffee11"}`, "Authorization", "Bearer tok-mark")
	send(t, h, "POST", "/api/v1/sign", `{"wallet_id":"w_ed","message":"c0ffee11z"}`)
	send(t, h, "GET", "/api/v1/wallets?page_token=c0ffee11", "")
	for _, mark := range []string{"c0ffee11", "tok-mark"} {
		if strings.Contains(log.String(), mark) {
			t.Errorf("%s is in the log: %s", mark, log.String())
		}
	}
	if n := strings.Count(log.String(), "http request"); n != 3 || !strings.Contains(log.String(), `"requester":"dev"`) ||
		!strings.Contains(log.String(), `"status":422`) {
		t.Errorf("%d lines: %s", n, log.String())
	}
}

// Goal: errors do not repeat what was sent, beyond names of fields and nodes. Method: a marked value in every kind of error.
func TestErrorsDoNotEcho(t *testing.T) {
	h := devServer(newFake())
	for _, body := range []string{
		`{"wallet_id":"w_ed","message":"markmark"}`, `{"wallet_id":"w_ed","message":["markmark"]}`, `{"wallet_id":"w_ed","x":"markmark"}`,
		`{"wallet_id":"w_ed","message":"0x01","session_id":"markmark markmark"}`, `{"public_key":"markmark","message":"0x01"}`,
		`{"message":"markmark"`,
	} {
		if w := send(t, h, "POST", "/api/v1/sign", body); strings.Contains(w.Body.String(), "markmark") || w.Code < 400 {
			t.Errorf("%s: %s", body, w.Body)
		}
	}
}

// Goal: every answer carries the headers that keep browsers from doing harm. Method: answers of three kinds.
func TestSecurityHeaders(t *testing.T) {
	h := devServer(newFake())
	seen := map[string]bool{}
	for _, path := range []string{"/livez", "/api/v1/wallets", "/nothing", "/docs"} {
		header := send(t, h, "GET", path, "").Header()
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
			"Referrer-Policy": "no-referrer"} {
			if header.Get(name) != want {
				t.Errorf("%s: %s %q", path, name, header.Get(name))
			}
		}
		if !strings.HasPrefix(header.Get("Content-Security-Policy"), "default-src 'none'") || header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", path, header)
		}
		if id := header.Get("X-Request-Id"); len(id) != 36 || seen[id] {
			t.Errorf("%s: request id %q", path, id)
		} else {
			seen[id] = true
		}
	}
}

// Goal: who asks without a token how the node is hears why, but not where its files lie. Method: checks that name paths of each form.
func TestHealthHasNoPaths(t *testing.T) {
	f := newFake()
	h := New(Config{Backend: f})
	for detail, want := range map[string]string{
		"free space on the disk of /var/lib/mpcd: 60 MiB are left":   "free space on the disk of …: 60 MiB are left",
		"open data/node1/my log/audit.log: input/output error":       "open … …: input/output error",
		`away: "/srv/a b/tokens" is not there (/srv/c)`:              "away: … is not there (…)",
		"pkcs11:token=t?module-path=/usr/lib/x.so: no such file":     "pkcs11:token=t?module-path=…: no such file",
		"keep the disk; see docs/OPERATIONS.md":                      "keep the disk; see docs/OPERATIONS.md",
		"2 of 3 nodes can sign, 2 needed; node3 was never heard":     "2 of 3 nodes can sign, 2 needed; node3 was never heard",
		"it is valid from 2026-01-01T00:00:00Z to 2027-01-01T00:00:": "it is valid from 2026-01-01T00:00:00Z to 2027-01-01T00:00:",
	} {
		f.ready = appliance.Readiness{Checks: []appliance.Check{{Name: "store", Detail: detail, Next: detail}}}
		p := wantProblem(t, send(t, h, "GET", "/readyz", ""), 503, "not_ready")
		v := decode[wire.Health](t, send(t, h, "GET", "/healthz", ""))
		if p.Errors[0].Detail != want+": "+want || !strings.Contains(p.Detail, want) || p.Next != want || v.Checks[0].Detail != want ||
			v.Checks[0].Next != want {
			t.Errorf("%q: %q, %q, %q; want %q", detail, p.Errors[0].Detail, p.Detail, v.Checks[0].Detail, want)
		}
	}
}

// Goal: no words of a check have a path of the host left in them. Method: fuzz; what is left has no slash but the one of an error.
func FuzzHealthHasNoPaths(f *testing.F) {
	f.Add("open /var/lib/mpcd/audit.log: input/output error")
	f.Add(`away: "/srv/a b" is not there (/srv/c), "x`)
	f.Fuzz(func(t *testing.T, detail string) {
		if left := strings.NewReplacer("input/output", "", "docs/OPERATIONS.md", "").Replace(withoutPaths(detail)); strings.Contains(left, "/") {
			t.Errorf("%q of %q", left, detail)
		}
	})
}

// Goal: of a node that no waiting heals it is said what to do, and not to wait, whatever else may heal by itself. Method: checks of both
// kinds, in either order, and each alone.
func TestWaitingHealsNothing(t *testing.T) {
	f := newFake()
	h := New(Config{Backend: f})
	quorum := appliance.Check{Name: "quorum", Detail: "1 of 3 nodes live"}
	member := appliance.Check{Name: "member", Detail: "this node is not a member any more", Next: "stop this node"}
	for _, failing := range [][]appliance.Check{{quorum}, {member}, {quorum, member}, {member, quorum}} {
		f.ready = appliance.Readiness{Checks: append([]appliance.Check{{Name: "token", OK: true}}, failing...)}
		w := send(t, h, "GET", "/readyz", "")
		p := wantProblem(t, w, 503, "not_ready")
		stays := slices.Contains(failing, member)
		if p.Retryable == stays || (w.Header().Get("Retry-After") == "") != stays || strings.Contains(p.Detail, "Stop this node") != stays ||
			strings.Contains(p.Detail, "Retry-After") == stays || strings.Contains(p.Detail, member.Detail) != stays ||
			len(p.Errors) != len(failing) {
			t.Errorf("%v: %+v", failing, p)
		}
		for i, c := range decode[wire.Health](t, send(t, h, "GET", "/healthz", "")).Checks[1:] {
			if c.Next != failing[i].Next || c.Detail != failing[i].Detail {
				t.Errorf("/healthz: %+v of %+v", c, failing[i])
			}
		}
	}
}

// Goal: of what may heal by waiting, and of which there is more to say, it is said, and to ask again. Method: a node whose peers tell it
// that it runs twice, as they do for a while of a run that has ended.
func TestWaitingMayHeal(t *testing.T) {
	f := newFake()
	f.ready = appliance.Readiness{Checks: []appliance.Check{{Name: "run", Detail: "this node runs twice", Next: "wait 20s", Heals: true}}}
	w := send(t, New(Config{Backend: f}), "GET", "/readyz", "")
	p := wantProblem(t, w, 503, "not_ready")
	if !p.Retryable || w.Header().Get("Retry-After") == "" || !strings.Contains(p.Next, "wait 20s") {
		t.Errorf("%+v", p)
	}
}

// Goal: readiness says why, liveness asks nobody, and startup waits for boot. Method: a node that is not ready.
func TestHealth(t *testing.T) {
	f := newFake()
	started := false
	h := New(Config{Backend: f, Started: func() bool { return started }}) // no token: probes have none
	get := func(path string) *httptest.ResponseRecorder { return send(t, h, "GET", path, "") }
	if w := get("/readyz"); w.Code != 200 || strings.Contains(w.Body.String(), "checks") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if v := decode[wire.Health](t, get("/readyz?verbose")); !v.Ready || len(v.Checks) != 1 || v.Version != "v1.2.3" {
		t.Errorf("%+v", v)
	}
	wantProblem(t, get("/startupz"), 503, "not_ready")
	started = true
	if w := get("/startupz"); w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
	f.ready = appliance.Readiness{Checks: []appliance.Check{{Name: "token", OK: true}, {Name: "quorum", Detail: "1 of 3 nodes live"}}}
	p := wantProblem(t, get("/readyz"), 503, "not_ready")
	if len(p.Errors) != 1 || p.Errors[0].Field != "quorum" || !strings.Contains(p.Detail, "1 of 3 nodes live") || !p.Retryable {
		t.Errorf("%+v", p)
	}
	if w := get("/livez"); w.Code != 200 {
		t.Errorf("livez: %d", w.Code)
	}
	if v := decode[wire.Health](t, get("/healthz")); v.Status != "degraded" || len(v.Checks) != 2 {
		t.Errorf("%+v", v)
	}
}
