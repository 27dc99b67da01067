package gcpkms

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/luxfi/mpcd/hsm"
	parts "github.com/luxfi/mpcd/internal/parts/gcpkms"
)

// Goal: every status is the right sentinel with a next step, and is repeated if and only if that may help. Method: a server that
// answers with it, once and always.
func TestStatuses(t *testing.T) {
	b := newBed(t)
	if _, err := b.Sign(b.ctx, p256, nil); err != nil {
		t.Fatal(err)
	}
	hasty := brisk
	hasty.total = 50 * time.Millisecond
	for _, c := range []struct {
		code   codes.Code
		want   error
		says   string
		repeat bool
	}{
		{codes.NotFound, hsm.ErrNoKey, "check project, location", false},
		{codes.PermissionDenied, hsm.ErrUnavailable, "grant cloudkms.cryptoKeyVersions.useToSign", false},
		{codes.Unauthenticated, hsm.ErrUnavailable, "gcloud auth application-default login", false},
		{codes.FailedPrecondition, hsm.ErrUnavailable, "state of the key's versions", false},
		{codes.InvalidArgument, hsm.ErrKeyType, "refuses the request", false},
		{codes.Unimplemented, hsm.ErrUnsupported, "does not know", false},
		{codes.OutOfRange, hsm.ErrUnavailable, "outofrange", false},
		{codes.ResourceExhausted, hsm.ErrUnavailable, "raise the quota", true},
		{codes.Unavailable, hsm.ErrUnavailable, "check the network", true},
		{codes.DeadlineExceeded, hsm.ErrUnavailable, "deadlineexceeded", true},
		{codes.Internal, hsm.ErrUnavailable, "internal", true},
		{codes.Unknown, hsm.ErrUnavailable, "unknown", true},
		{codes.Canceled, hsm.ErrUnavailable, "canceled", true}, // by a connection that ended, not by the caller
		{codes.Aborted, hsm.ErrUnavailable, "aborted", true},
	} {
		t.Run(c.code.String(), func(t *testing.T) {
			fault := parts.Fault{Method: "AsymmetricSign", Times: 1, Err: status.Error(c.code, "word of the\nservice")}
			heal := b.server.Inject(fault)
			_, err := b.Sign(b.ctx, p256, nil)
			heal()
			if (err == nil) != c.repeat {
				t.Errorf("once: %v", err)
			}
			tok := openAt(t, b.server, hasty)
			if _, err := tok.PublicKey(b.ctx, p256); err != nil {
				t.Fatal(err)
			}
			fault.Times = 0
			before := b.server.Calls("AsymmetricSign")
			heal = b.server.Inject(fault)
			defer heal()
			_, err = tok.Sign(b.ctx, p256, nil)
			if !errors.Is(err, c.want) || !says(err, c.says, "word of the service", "sign with", b.versionName(p256, "1")) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %v with %q, the word of the service and the key", err, c.want, c.says)
			}
			if n := b.server.Calls("AsymmetricSign") - before; (n > 1) != c.repeat {
				t.Errorf("%d attempts", n)
			}
		})
	}
}

// Goal: a service that never answers costs the caller's deadline and no more, and the error tells both. Method: hold every call; with
// short attempts, one held call is repeated.
func TestDeadline(t *testing.T) {
	b := newBed(t)
	if _, err := b.Sign(b.ctx, p256, nil); err != nil {
		t.Fatal(err)
	}
	never := make(chan struct{})
	heal := b.server.Inject(parts.Fault{Hold: never})
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Millisecond)
	defer cancel()
	if _, err := b.Sign(ctx, p256, nil); !errors.Is(err, hsm.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	heal()

	short := brisk
	short.attempt = 50 * time.Millisecond
	tok := openAt(t, b.server, short)
	if _, err := tok.PublicKey(b.ctx, p256); err != nil {
		t.Fatal(err)
	}
	b.server.Inject(parts.Fault{Method: "AsymmetricSign", Times: 1, Hold: never})
	if _, err := tok.Sign(within(t), p256, nil); err != nil {
		t.Errorf("one held call: %v", err)
	}
}

// Goal: a caller who gives up gets context.Canceled, not a story about the token, while the call is under way and while it waits for a
// place. Method: hold a call, cancel; with one session, another call.
func TestCancel(t *testing.T) {
	b := newBed(t)
	u, err := hsm.ParseURI(b.server.URI())
	if err != nil {
		t.Fatal(err)
	}
	tok, err := open(b.ctx, u, hsm.Options{Sessions: 1}, brisk)
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	if _, err := tok.PublicKey(b.ctx, p256); err != nil {
		t.Fatal(err)
	}
	began := make(chan struct{})
	b.server.Inject(parts.Fault{Method: "AsymmetricSign", Times: 1, Began: func() { close(began) }, Hold: make(chan struct{})})
	first, cancelFirst := context.WithCancel(within(t))
	defer cancelFirst()
	done := make(chan error, 1)
	go func() { _, err := tok.Sign(first, p256, nil); done <- err }()
	<-began // the first has the one place
	second, cancelSecond := context.WithTimeout(b.ctx, 10*time.Millisecond)
	defer cancelSecond()
	if _, err := tok.Sign(second, p256, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second: %v", err)
	}
	cancelFirst()
	if err := <-done; !errors.Is(err, context.Canceled) || errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("the first: %v", err)
	}
	if _, err := tok.Sign(b.ctx, p256, nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// Goal: cut connections are repaired inside the call, a server that is gone is named, one that comes back is used, and Close ends
// calls. Method: cut in mid-signature, under load and alone; stop; start again on the same socket; close in mid-call.
func TestConnection(t *testing.T) {
	path := "unix:" + filepath.Join(t.TempDir(), "s")
	s, err := parts.Start(path)
	if err != nil {
		t.Fatal(err)
	}
	tok := openAt(t, s, brisk)
	ctx := within(t)
	if err := tok.GenerateKey(ctx, "k", hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		s.Inject(parts.Fault{Method: "AsymmetricSign", Times: 1, Cut: true})
		if _, err := tok.Sign(ctx, "k", []byte("m")); err != nil {
			t.Errorf("cut: %v", err)
		}
	}
	s.Stop()
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := tok.Sign(short, "k", nil); !errors.Is(err, hsm.ErrUnavailable) || !says(err, "check the network") {
		t.Errorf("gone: %v", err)
	}
	if s, err = parts.Start(path); err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if err := tok.GenerateKey(ctx, "k2", hsm.KeyP256); err != nil {
		t.Errorf("back again: %v", err)
	}
	if _, err := tok.PublicKey(ctx, "k2"); err != nil {
		t.Fatal(err)
	}
	began := make(chan struct{})
	s.Inject(parts.Fault{Method: "AsymmetricSign", Times: 1, Began: func() { close(began) }, Hold: make(chan struct{})})
	done := make(chan error, 1)
	go func() { _, err := tok.Sign(ctx, "k2", nil); done <- err }()
	<-began
	if err := tok.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, hsm.ErrUnavailable) || !says(err, "closed") {
		t.Errorf("closed: %v", err)
	}
}

// Goal: Open tells a wrong key ring, location or server at once, and lets those in who may only sign. Method: each of them.
func TestOpen(t *testing.T) {
	s := start(t)
	try := func(uri string) error {
		u, err := hsm.ParseURI(uri)
		if err != nil {
			return err
		}
		hasty := brisk
		hasty.total = 50 * time.Millisecond
		tok, err := open(t.Context(), u, hsm.Options{}, hasty)
		if err == nil {
			_ = tok.Close()
		}
		return err
	}
	if err := try(strings.Replace(s.URI(), "europe-west4", "europe-west3", 1)); !errors.Is(err, hsm.ErrNoToken) ||
		!says(err, "europe-west3", "location") {
		t.Errorf("wrong location: %v", err)
	}
	for _, bad := range []string{"projects/p", "projects/p/locations/l/keyRings/", "keyRings/r",
		"projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/0", "projects/p/locations/l/keyRings/r/",
		"projects/p/locations/l/keyRings/r%20s"} {
		if err := try("gcpkms:" + bad + "?endpoint=" + s.Endpoint()); !errors.Is(err, hsm.ErrURI) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if err := try("gcpkms:" + parts.KeyRing + "?endpoint=127.0.0.1:1"); !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("nobody there: %v", err)
	}
	heal := s.Inject(parts.Fault{Method: "GetKeyRing", Err: status.Error(codes.PermissionDenied, "no")})
	if err := try(s.URI()); err != nil {
		t.Errorf("without permission to ask: %v", err)
	}
	heal()
	defer s.Inject(parts.Fault{Method: "GetKeyRing", Err: status.Error(codes.Unauthenticated, "expired")})()
	if err := try(s.URI()); !errors.Is(err, hsm.ErrUnavailable) || !says(err, "expired", "gcloud auth") {
		t.Errorf("expired credentials: %v", err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none"))
	if err := try("gcpkms:" + parts.KeyRing); !errors.Is(err, hsm.ErrUnavailable) || !says(err, "GOOGLE_APPLICATION_CREDENTIALS") {
		t.Errorf("no credentials: %v", err)
	}
}

// Goal: credentials and plain text go nowhere but where they belong. Method: a table of endpoints.
func TestEndpoint(t *testing.T) {
	for in, want := range map[string]endpoint{
		"":               {"", false},
		"127.0.0.1:80":   {"passthrough:///127.0.0.1:80", true},
		"127.9.9.9:80":   {"passthrough:///127.9.9.9:80", true},
		"[::1]:80":       {"passthrough:///[::1]:80", true},
		"localhost:80":   {"passthrough:///localhost:80", true},
		"unix:/run/sock": {"unix:/run/sock", true},
		"cloudkms.us-east1.rep.googleapis.com:443": {"cloudkms.us-east1.rep.googleapis.com:443", false},
	} {
		if got, err := parseEndpoint(in); err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"127.0.0.1", "10.0.0.1:80", "0.0.0.0:80", "example.com:443", "googleapis.com.example.com:443",
		"evilgoogleapis.com:443", "localhost.example.com:80", "unix:relative", "unix:", "https://cloudkms.googleapis.com", "127.0.0.1:", ":80",
		"127.0.0.1.googleapis.com.evil:1"} {
		if got, err := parseEndpoint(in); !errors.Is(err, hsm.ErrURI) {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
}

// Goal: a token on this machine says that it is software, Google's does not; a key in software is warned of. Method: Info without
// calls; a logger.
func TestSoftwareIsTold(t *testing.T) {
	b := newBed(t)
	for plain, manufacturer := range map[bool]string{true: "unknown", false: "Google"} {
		info, err := (&Token{plain: plain}).Info(b.ctx)
		if err != nil || info.SoftwareOnly != plain || info.Manufacturer != manufacturer || info.Label != "gcp" {
			t.Errorf("%+v, %v", info, err)
		}
	}
	b.make(t, "soft", 12, 5, 1) // EC_SIGN_P256_SHA256, ASYMMETRIC_SIGN, SOFTWARE
	var log bytes.Buffer
	u, err := hsm.ParseURI(b.server.URI())
	if err != nil {
		t.Fatal(err)
	}
	tok, err := Open(b.ctx, u, hsm.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	if !strings.Contains(log.String(), "no hardware guards the keys") {
		t.Errorf("Open does not warn: %s", log.String())
	}
	log.Reset()
	for range 2 {
		if _, err := tok.Sign(b.ctx, "soft", nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "a key in software"); n != 1 {
		t.Errorf("%d warnings: %s", n, log.String())
	}
}

// Goal: no secret reaches a log, not even with the client's debug logging turned on. Method: turn it on, wrap and unwrap, read stderr.
func TestNoSecretLogged(t *testing.T) {
	t.Setenv("GOOGLE_SDK_GO_LOGGING_LEVEL", "debug")
	t.Setenv("GOOGLE_SDK_GO_EXPERIMENTAL_LOGGING", "true")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = w
	read := make(chan []byte, 1)
	go func() { all, _ := io.ReadAll(r); read <- all }()
	b := newBed(t)
	wrapped, err := b.Wrap(b.ctx, string(hsm.KeyAESWrap), []byte("a secret of mine"), nil)
	if err == nil {
		_, err = b.Unwrap(b.ctx, string(hsm.KeyAESWrap), wrapped, nil)
	}
	os.Stderr = stderr
	_ = w.Close()
	if got := <-read; len(got) > 0 {
		t.Errorf("logged: %.300s", got)
	}
	if err != nil {
		t.Error(err)
	}
}
