package awskms

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
	"github.com/luxfi/mpcd/internal/parts/moto"
)

var drivers = hsm.Drivers{"awskms": Open}

// running is the one moto of this test binary, started where a test first wants it.
var running = sync.OnceValues(moto.Start)

func TestMain(m *testing.M) {
	for _, name := range []string{"AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_ROLE_ARN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS"} {
		_ = os.Unsetenv(name)
	}
	for _, pair := range new(moto.Server).Environment() {
		name, value, _ := strings.Cut(pair, "=")
		if name != "AWS_ENDPOINT_URL" {
			_ = os.Setenv(name, value)
		}
	}
	started := false
	start := running
	running = func() (*moto.Server, error) { started = true; return start() }
	code := m.Run()
	if s, err := start(); started && err == nil {
		s.Stop()
	}
	os.Exit(code)
}

func motoServer(t testing.TB) *moto.Server {
	t.Helper()
	s, err := running()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fast are limits for tests that make the service fail.
var fast = limits{attempt: 2 * time.Second, call: 10 * time.Second, backoff: time.Millisecond}

// openAt opens a token on an empty KMS behind the endpoint.
func openAt(t testing.TB, endpoint, region string, o hsm.Options, l limits) *token {
	t.Helper()
	u, err := hsm.ParseURI(fmt.Sprintf("awskms:region=%s?endpoint=%s", region, endpoint))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := open(t.Context(), u, o, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tok.Close() })
	return tok
}

// openMoto opens a token on an empty KMS of moto.
func openMoto(t testing.TB) *token {
	s := motoServer(t)
	return openAt(t, s.URL, s.Region(), hsm.Options{}, standardLimits)
}

// generate makes a key or ends the test.
func generate(t testing.TB, tok *token, keyID string, kind hsm.KeyType) {
	t.Helper()
	if err := tok.GenerateKey(t.Context(), keyID, kind); err != nil {
		t.Fatal(err)
	}
}

// Goal: the driver keeps the contract. Method: the suite, against moto; every token is a region of its own, hence empty.
func TestConformance(t *testing.T) {
	hsmtest.Run(t, func(t *testing.T) hsm.Token { return openMoto(t) }, hsmtest.Name("AWS KMS (moto)"))
}
