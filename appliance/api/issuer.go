package api

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

const (
	// keysEvery is how often an issuer's keys are fetched, keysAgain how soon again where that failed.
	keysEvery = 10 * time.Minute
	keysAgain = 30 * time.Second
	// keysApart is how often at most they are fetched besides, for a token that names a key that is not known: anybody can write one.
	keysApart = 30 * time.Second
	// keysWait is how long a request with such a token waits for them.
	keysWait = 2 * time.Second
	// keysKept is how long keys count that could not be fetched again.
	keysKept = 24 * time.Hour
	// fetchTimeout and fetchMax bound one answer of an issuer, the header of it at headerMax.
	fetchTimeout = 10 * time.Second
	fetchMax     = 256 << 10
	// oidcPrefix begins the name of who has a token of an issuer, so that nobody there can be given the name of somebody here.
	oidcPrefix = "oidc:"
)

// IssuerConfig is an OpenID provider whose tokens let in.
type IssuerConfig struct {
	URL        string         // https://…, as iss has it
	Audience   string         // aud of its tokens for this cluster
	RolesClaim string         // the claim with the roles; "" is roles
	KeysHost   string         // host, or host:port, of its keys, where it is another than the issuer's
	Roots      *x509.CertPool // of the CAs of its certificate; nil is the system's
	Logger     *slog.Logger   // told when its keys cannot be fetched, and when they can again; nil is nobody
}

// Issuer is an OpenID provider (OpenID Connect Discovery 1.0) and the keys that it published last (RFC 7517). Run fetches them; until it
// has them, and when they could not be fetched for a day, none of its tokens is taken. It is asked over https only, with no proxy, no
// redirect is followed, and what it says counts if it is small and says nothing twice.
type Issuer struct {
	IssuerConfig
	parser *jwt.Parser
	client *http.Client
	now    func() time.Time
	keys   atomic.Pointer[keySet]
	limit  *rate.Limiter // of fetches because of unknown keys
	ask    chan struct{} // has one when a fetch is wanted

	mu    sync.Mutex
	round chan struct{} // closed when the fetch that is waited for ended; nil where none is
}

// CheckIssuer refuses a URL that no issuer may have here, or host of keys.
func CheckIssuer(issuer, keysHost string) error {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.ContainsAny(issuer, "?#") {
		return fmt.Errorf("%q is no https:// URL of an issuer, without a user, ? and #", issuer)
	}
	if k, err := url.Parse("https://" + keysHost); keysHost != "" && (err != nil || k.Host != keysHost || k.User != nil) {
		return fmt.Errorf("%q is no host of keys, as keys.example or keys.example:8443", keysHost)
	}
	return nil
}

// NewIssuer asks nobody yet.
func NewIssuer(c IssuerConfig) (*Issuer, error) { return newIssuer(c, time.Now) }

func newIssuer(c IssuerConfig, now func() time.Time) (*Issuer, error) {
	if err := CheckIssuer(c.URL, c.KeysHost); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if c.Audience == "" {
		return nil, errors.New("api: the issuer's audience is empty: set the aud of its tokens for this cluster")
	}
	c.RolesClaim = or(c.RolesClaim, "roles")
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Issuer{IssuerConfig: c, now: now, limit: rate.NewLimiter(rate.Every(keysApart), 1), ask: make(chan struct{}, 1),
		parser: newParser(c.Audience, now, []string{"EdDSA", "ES256", "RS256"}, jwt.WithIssuer(c.URL)),
		client: newFetcher(c.Roots)}, nil
}

// Run fetches the keys, every ten minutes and when a token names one that is not known, until ctx ends.
func (i *Issuer) Run(ctx context.Context) {
	failed := false
	for {
		wait, err := keysEvery, i.Fetch(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = keysAgain
			if !failed {
				last, do := "never", "none of its tokens is taken until then"
				if at := i.Fetched(); !at.IsZero() {
					last, do = at.UTC().Format(time.RFC3339), "the last keys count for "+keysKept.String()
				}
				i.Logger.Warn("the keys of the issuer of tokens cannot be fetched", "issuer", i.URL, "error", err, "last", last,
					"do", "see whether the issuer answers; "+do)
			}
		case failed:
			i.Logger.Info("the keys of the issuer of tokens are fetched again", "issuer", i.URL)
		}
		failed = err != nil
		i.fetched()
		again := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			again.Stop()
			return
		case <-again.C:
		case <-i.ask:
			again.Stop()
		}
	}
}

// Fetch fetches the keys now. Where it fails, those from before stay.
func (i *Issuer) Fetch(ctx context.Context) error {
	discovery, err := i.get(ctx, strings.TrimSuffix(i.URL, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return err
	}
	if said, _ := discovery["issuer"].(string); said != i.URL {
		return fmt.Errorf("the discovery document is of issuer %q, and %q is configured", clip(said), i.URL)
	}
	at, _ := discovery["jwks_uri"].(string)
	u, err := url.Parse(at)
	own, _ := url.Parse(i.URL)
	if err != nil || u.Scheme != "https" || u.User != nil || !strings.EqualFold(u.Host, or(i.KeysHost, own.Host)) {
		return fmt.Errorf("jwks_uri %q is not of https and host %s", clip(at), or(i.KeysHost, own.Host))
	}
	document, err := i.get(ctx, at)
	if err != nil {
		return err
	}
	keys, err := parseKeySet(document)
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	i.keys.Store(&keySet{keys, i.now()})
	return nil
}

// get reads a small JSON object that says nothing twice.
func (i *Issuer) get(ctx context.Context, at string) (map[string]any, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	b, err := fetch(i.client, r, fetchMax)
	if err != nil {
		return nil, err
	}
	object, err := parseStrict(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return object, nil
}

// Fetched is when its keys were fetched last; zero is never.
func (i *Issuer) Fetched() time.Time {
	if set := i.keys.Load(); set != nil {
		return set.at
	}
	return time.Time{}
}

// held is the key of a kid, if it counts; nil otherwise.
func (i *Issuer) held(kid string) *issuerKey {
	if set := i.keys.Load(); set != nil && i.now().Sub(set.at) < keysKept {
		return set.of[kid]
	}
	return nil
}

// find is held, of a kid that may be new: the keys are fetched for it, but not again and again.
func (i *Issuer) find(ctx context.Context, kid string) *issuerKey {
	if k := i.held(kid); k != nil {
		return k
	}
	if round := i.soon(); round != nil {
		enough := time.NewTimer(keysWait)
		defer enough.Stop()
		select {
		case <-round:
		case <-enough.C:
		case <-ctx.Done():
		}
	}
	return i.held(kid)
}

// soon has the keys fetched, unless that was asked for a moment ago, and returns what is closed then; nil where there is none.
func (i *Issuer) soon() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.round == nil && i.limit.AllowN(i.now(), 1) {
		i.round = make(chan struct{})
		select {
		case i.ask <- struct{}{}:
		default:
		}
	}
	return i.round
}

// fetched lets go who waits for a fetch.
func (i *Issuer) fetched() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.round != nil {
		close(i.round)
		i.round = nil
	}
}
