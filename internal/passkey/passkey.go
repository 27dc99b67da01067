// Package passkey has a browser on this machine make a passkey, or sign with one: at a page that is shown there alone, and answered once.
//
// What the page shows, and has signed, is as good as the browser and this machine are. What comes of it is judged by attest.
package passkey

import (
	"context"
	"crypto/rand"
	_ "embed" // the page
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
)

// Page is what is shown, and what its buttons have signed.
type Page struct {
	Title string
	Rows  [][2]string
	RPID  string
	Asks  []Ask
}

// Ask is a button: it has a passkey sign a challenge.
type Ask struct {
	Label     string
	Challenge attest.Hash
	// MakeFor makes the passkey before, with the name under which its person finds it; "" has any passkey of the RP ID sign.
	MakeFor string
}

// Answer is what a passkey signed.
type Answer struct {
	Ask               int        `json:"ask"` // which of the page's
	Key               attest.Hex `json:"key"` // PKIX DER of the passkey that was made; empty where none was
	AuthenticatorData attest.Hex `json:"authenticator_data"`
	ClientData        attest.Hex `json:"client_data_json"`
	Signature         attest.Hex `json:"signature"`
}

// Sign is the answer as the word of an approver: x has the signature in 64 bytes, whatever form the browser gave it.
func (a Answer) Sign(x *attest.Approval) error {
	x.Assertion, x.Signature = &attest.Assertion{AuthenticatorData: a.AuthenticatorData, ClientData: a.ClientData}, a.Signature
	if len(a.Signature) == signatureBytes {
		return nil // Ed25519
	}
	var rs struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(a.Signature, &rs)
	if err != nil || len(rest) > 0 || rs.R.Sign() <= 0 || rs.S.Sign() <= 0 || max(rs.R.BitLen(), rs.S.BitLen()) > signatureBytes/2*8 {
		return errors.New("the browser gave a signature that is neither of Ed25519 nor of ECDSA on P-256")
	}
	x.Signature = make(attest.Hex, signatureBytes)
	rs.R.FillBytes(x.Signature[:signatureBytes/2])
	rs.S.FillBytes(x.Signature[signatureBytes/2:])
	return nil
}

const (
	signatureBytes = 64
	maxAnswer      = 16 << 10
	maxHeader      = 16 << 10
	// slow is how long a browser may take to send a request, or to take an answer.
	slow = 10 * time.Second
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// Serve shows a page on this machine, at a port, 0 for any, until take is content with an answer, or ctx ends. tell is given the address,
// which nobody else can guess.
func Serve(ctx context.Context, port uint16, page Page, tell func(address string), take func(Answer) error) error {
	ls, err := listen(ctx, port)
	if err != nil {
		return err
	}
	page.Rows = slices.Clone(page.Rows)
	for i, r := range page.Rows {
		if !attest.Printable(r[1]) {
			page.Rows[i][1] = strconv.Quote(r[1])
		}
	}
	host := net.JoinHostPort(attest.Localhost, strconv.Itoa(int(portOf(ls[0]))))
	s := &site{page: page, host: host, path: "/" + rand.Text(), take: take, done: make(chan struct{})}
	server := &http.Server{Handler: s, ReadTimeout: slow, WriteTimeout: slow, MaxHeaderBytes: maxHeader}
	failed := make(chan error, len(ls))
	for _, l := range ls {
		go func() { failed <- server.Serve(l) }()
	}
	tell("http://" + host + s.path)
	select {
	case <-s.done:
		err = nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case err = <-failed:
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), slow)
	defer cancel()
	return errors.Join(err, server.Shutdown(last)) // the browser hears that its answer was taken
}

// listen takes a port of localhost, of IPv4 and, where the machine has it, of IPv6: else another user could have that, and with it
// whoever's browser tries it first.
func listen(ctx context.Context, port uint16) ([]net.Listener, error) {
	var c net.ListenConfig
	four, err := c.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return nil, err
	}
	six, err := c.Listen(ctx, "tcp6", net.JoinHostPort("::1", strconv.Itoa(int(portOf(four)))))
	switch {
	case err == nil:
		return []net.Listener{four, six}, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, errors.Join(err, four.Close())
	}
	return []net.Listener{four}, nil // no IPv6 here
}

func portOf(l net.Listener) uint16 { return l.Addr().(*net.TCPAddr).AddrPort().Port() }

// site serves one page.
type site struct {
	page       Page
	host, path string
	take       func(Answer) error
	done       chan struct{}

	mu      sync.Mutex
	settled bool // done is closed
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	nonce := rand.Text()
	for k, v := range map[string]string{
		"Cache-Control":                "no-store",
		"Content-Security-Policy":      policy(nonce),
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Referrer-Policy":              "no-referrer",
		"X-Content-Type-Options":       "nosniff",
	} {
		w.Header().Set(k, v)
	}
	switch {
	case r.Host != s.host || r.URL.Path != s.path: // another name may have been made to lead here
		http.NotFound(w, r)
	case r.Method == http.MethodGet:
		s.show(w, nonce)
	case r.Method != http.MethodPost || r.Header.Get("Origin") != "http://"+s.host || r.Header.Get("Content-Type") != "application/json":
		http.Error(w, "only this page answers here", http.StatusForbidden)
	default:
		s.hear(w, r)
	}
}

// policy has the page run its own script, and speak to its own address alone.
func policy(nonce string) string {
	return strings.ReplaceAll("default-src 'none'; script-src 'nonce-N'; style-src 'nonce-N'; connect-src 'self'; base-uri 'none'; "+
		"form-action 'none'; frame-ancestors 'none'", "N", nonce)
}

func (s *site) show(w http.ResponseWriter, nonce string) {
	type ask struct {
		Label     string `json:"label"`
		Challenge string `json:"challenge"`
		MakeFor   string `json:"makeFor"`
	}
	var asks []ask
	for _, a := range s.page.Asks {
		asks = append(asks, ask{a.Label, base64.StdEncoding.EncodeToString(a.Challenge[:]), a.MakeFor})
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = pageTemplate.Execute(w, map[string]any{"Page": s.page, "Nonce": nonce, "Asks": asks}) // who asked has gone
}

// hear takes one answer at a time; of one that does not hold the page is told, and may bring another.
func (s *site) hear(w http.ResponseWriter, r *http.Request) {
	var a Answer
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAnswer))
	if err == nil {
		err = canon.UnmarshalJSON(b, &a)
	}
	if err == nil && (a.Ask < 0 || a.Ask >= len(s.page.Asks)) {
		err = fmt.Errorf("the page has no button %d", a.Ask)
	}
	if err == nil {
		err = s.judge(a)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	fmt.Fprint(w, "Done. You may close this page.")
}

// judge takes one answer at a time, and none after a good one.
func (s *site) judge(a Answer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settled {
		return errors.New("it was answered before")
	}
	if err := s.take(a); err != nil {
		return err
	}
	s.settled = true
	close(s.done)
	return nil
}
