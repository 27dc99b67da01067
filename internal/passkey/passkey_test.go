package passkey

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/passkey/passkeytest"
)

// page is what the tests have shown.
var page = Page{Title: "Approve pay-1", RPID: attest.Localhost, Rows: [][2]string{{"send", "5 <b>ethereum</b>"}, {"memo", "a\u202eb"}},
	Asks: []Ask{{Label: "Approve"}, {Label: "Make", MakeFor: "ann@treasury"}}}

// call sends a request as a browser would, but for what change does to it.
func call(t *testing.T, method, address, body string, change func(*http.Request)) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method != http.MethodGet {
		r.Header.Set("Origin", "http://"+r.Host)
		r.Header.Set("Content-Type", "application/json")
	}
	if change != nil {
		change(r)
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	b, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.StatusCode, string(b), w.Header
}

const answer = `{"ask":0,"key":"0x","authenticator_data":"0x01","client_data_json":"0x02","signature":"0x03"}`

// Goal: the page shows what it is given, as text, to whoever has its address under its own name, and takes one good answer from itself.
// Method: requests of a browser, and with one thing wrong.
func TestServe(t *testing.T) {
	address := make(chan string, 1)
	served := make(chan error, 1)
	var got []Answer
	go func() {
		served <- Serve(t.Context(), 0, page, func(a string) { address <- a }, func(a Answer) error {
			if got = append(got, a); len(a.Signature) > 1 {
				return errors.New("it does not hold")
			}
			return nil
		})
	}()
	at := <-address
	status, text, header := call(t, http.MethodGet, at, "", nil)
	if status != http.StatusOK || !strings.Contains(text, "5 &lt;b&gt;ethereum") || strings.Contains(text, "\u202e") ||
		!strings.Contains(text, `"a\u202eb"`) && !strings.Contains(text, `a\u202eb`) {
		t.Errorf("%d %s", status, text)
	}
	csp := header.Get("Content-Security-Policy")
	if header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(csp, "default-src 'none'; ") ||
		!strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("%v", header)
	}
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	root := at[:strings.LastIndex(at, "/")]
	for name, x := range map[string]struct {
		want                  int
		method, address, body string
		change                func(*http.Request)
	}{
		"another path": {http.StatusNotFound, http.MethodGet, root + "/", "", nil},
		"guessed":      {http.StatusNotFound, http.MethodPost, root + "/" + strings.Repeat("A", 26), answer, nil},
		"rebound":      {http.StatusNotFound, http.MethodGet, at, "", func(r *http.Request) { r.Host = "evil.example:80" }},
		"rebound answer": {http.StatusNotFound, http.MethodPost, at, answer, func(r *http.Request) {
			r.Host = "evil.example"
			r.Header.Set("Origin", "http://evil.example")
		}},
		"another page's":  {http.StatusForbidden, http.MethodPost, at, answer, set("Origin", "https://evil.example")},
		"no page's":       {http.StatusForbidden, http.MethodPost, at, answer, func(r *http.Request) { r.Header.Del("Origin") }},
		"a form's":        {http.StatusForbidden, http.MethodPost, at, answer, set("Content-Type", "text/plain")},
		"another method":  {http.StatusForbidden, http.MethodPut, at, answer, nil},
		"no answer":       {http.StatusUnprocessableEntity, http.MethodPost, at, `{"ask":0}`, nil},
		"no button":       {http.StatusUnprocessableEntity, http.MethodPost, at, strings.Replace(answer, "0,", "2,", 1), nil},
		"before all":      {http.StatusUnprocessableEntity, http.MethodPost, at, strings.Replace(answer, "0,", "-1,", 1), nil},
		"long":            {http.StatusUnprocessableEntity, http.MethodPost, at, answer + strings.Repeat(" ", maxAnswer), nil},
		"does not hold":   {http.StatusUnprocessableEntity, http.MethodPost, at, strings.Replace(answer, "0x03", "0x0304", 1), nil},
		"a long header's": {http.StatusRequestHeaderFieldsTooLarge, http.MethodGet, at, "", set("X", strings.Repeat("a", 64<<10))},
	} {
		if status, text, _ := call(t, x.method, x.address, x.body, x.change); status != x.want {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if len(got) != 1 {
		t.Errorf("it was asked to judge %d answers, of which one has the form", len(got))
	}
	if status, text, _ := call(t, http.MethodPost, at, answer, nil); status != http.StatusOK || !strings.HasPrefix(text, "Done.") {
		t.Errorf("%d %s", status, text)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := http.DefaultClient.Get(at); err == nil { //nolint:noctx // nobody is there
		t.Error("it is shown after it was answered")
	}
}

// Goal: a page ends with what its command waits for, and says why. Method: a deadline, and a port that another has.
func TestServeEnds(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("too late"))
	defer cancel()
	if err := Serve(ctx, 0, page, func(string) {}, nil); err == nil || !strings.Contains(err.Error(), "too late") {
		t.Error(err)
	}
	ls, err := listen(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range ls {
		defer l.Close()
	}
	if _, err := listen(t.Context(), portOf(ls[0])); err == nil {
		t.Error("the port of another was taken")
	}
	six, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here")
	}
	defer six.Close()
	if _, err := listen(t.Context(), portOf(six)); err == nil {
		t.Error("a port of which another has the half was taken")
	}
}

// Goal: whatever form a browser gives a signature in, the approval has 64 bytes that attest verifies. Method: an authenticator of either
// kind, and signatures that are none.
func TestAnswer(t *testing.T) {
	for _, ed := range []bool{false, true} {
		key := passkeytest.New(attest.Localhost, ed)
		who := attest.Approver{Name: "ann", Key: key.Public(), Passkey: &attest.Passkey{RPID: attest.Localhost,
			Origins: []string{"http://localhost"}}}
		s := key.Sign("http://localhost:8123", attest.PasskeyChallenge([]byte("m")))
		a := Answer{AuthenticatorData: s.AuthenticatorData, ClientData: s.ClientData, Signature: s.DER}
		var x attest.Approval
		if err := a.Sign(&x); err != nil || string(x.Signature) != string(s.Raw) {
			t.Errorf("ed25519 %v: %v", ed, err)
		}
		if err := who.Verify([]byte("m"), x); err != nil {
			t.Error(err)
		}
	}
	for name, der := range map[string]string{"nothing": "", "trailing": "\x30\x06\x02\x01\x01\x02\x01\x01\x00",
		"negative": "\x30\x06\x02\x01\xff\x02\x01\x01",
		"zero":     "\x30\x06\x02\x01\x01\x02\x01\x00", "long": "\x30\x26\x02\x21\x01" + strings.Repeat("\x00", 32) + "\x02\x01\x01"} {
		var x attest.Approval
		if (Answer{Signature: attest.Hex(der)}).Sign(&x) == nil {
			t.Errorf("%s is a signature", name)
		}
	}
}

// Goal: no bytes that a browser gives as a signature panic, and what is taken has 64.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(passkeytest.New(attest.Localhost, false).Sign("http://localhost", [32]byte{}).DER))
	f.Fuzz(func(t *testing.T, b []byte) {
		var x attest.Approval
		if (Answer{Signature: b}).Sign(&x) == nil && len(x.Signature) != signatureBytes {
			t.Errorf("%d bytes", len(x.Signature))
		}
	})
}
