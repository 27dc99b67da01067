package api

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// maxConcurrent is how many API requests are worked on at once unless Config says otherwise.
	maxConcurrent = 1024
	// requestTimeout is how long the node may take to answer unless Config says otherwise.
	requestTimeout = 60 * time.Second
)

// Config is what New needs. Backend is required, everything else has the default its comment names.
type Config struct {
	Backend Backend
	// Auth says who asks; nil is Dev where Dev is set, and lets nobody in elsewhere.
	Auth Authenticator
	// Dev serves one developer on this machine: it refuses requests whose Host is not loopback (DNS rebinding) and requests that
	// a page of another origin sent (cross-site request forgery), because there is no token to tell them apart.
	Dev bool
	// Metrics answers /metrics; nil serves Registry.
	Metrics http.Handler
	// OpenMetrics serves /metrics without a token.
	OpenMetrics bool
	// Registry takes the metrics of HTTP; nil makes one.
	Registry *prometheus.Registry
	// Logger takes one line for each request, without bodies: of who is known at info, of probes and strangers at debug. Nil discards them.
	Logger *slog.Logger
	// Denials counts who is turned away; nil counts nobody.
	Denials *Denials
	// Started tells /startupz that boot is over; nil means that it is, once there is a handler.
	Started func() bool
	// MaxConcurrent is how many API requests are worked on at once before 429, a quarter of them of one caller; 0 means 1024.
	MaxConcurrent int
	// Timeout is how long the node may take to answer before 504; 0 means a minute.
	Timeout time.Duration
	// Rand names requests; nil is crypto/rand.
	Rand io.Reader
}

// server is the handler that New makes.
type server struct {
	Config
	mux       *http.ServeMux
	rules     map[string]rule // by pattern of mux; a route without a rule is closed
	places    *shares         // one for each API request being worked on
	streams   *shares         // one for each stream of events
	streamers *shares         // what each caller has of them
	callers   *shares         // what each caller has of them, or is about to: its body is being read
	meter     *meter
	openapi   []byte
	docs      []byte
}

// New returns the API of a node. It panics without a Backend, and if two routes are the same: both are our own mistakes.
func New(c Config) http.Handler { return newServer(c) }

func newServer(c Config) *server {
	if c.Backend == nil {
		panic("api: no Backend")
	}
	if c.Auth == nil {
		c.Auth = nobody{}
		if c.Dev {
			c.Auth = Dev{}
		}
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.Metrics == nil {
		c.Metrics = promhttp.HandlerFor(c.Registry, promhttp.HandlerOpts{})
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Started == nil {
		c.Started = func() bool { return true }
	}
	if c.MaxConcurrent <= 0 {
		c.MaxConcurrent = maxConcurrent
	}
	if c.Timeout <= 0 {
		c.Timeout = requestTimeout
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	s := &server{
		Config:    c,
		mux:       http.NewServeMux(),
		rules:     map[string]rule{},
		places:    newShares(c.MaxConcurrent),
		streams:   newShares(streamsAll),
		streamers: newShares(streamsCaller),
		callers:   newShares(c.MaxConcurrent / callerShare),
		meter:     newMeter(c.Registry),
	}
	doc := humago.New(s.mux, humaConfig(c.Backend.Version()))
	s.routes(doc)
	s.openapi = renderOpenAPI(doc.OpenAPI())
	s.docs = renderDocs(doc.OpenAPI())
	return s
}

// humaConfig turns off everything that huma would serve by itself, and everything that is not JSON.
func humaConfig(version string) huma.Config {
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "mpcd",
				Version:     or(version, "dev"),
				Description: "A node of a threshold-signing cluster: it makes keys that no node holds, and signs with them.",
				License:     &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Servers: []*huma.Server{{URL: "/", Description: "The node that serves this document."}},
			Components: &huma.Components{
				Schemas: newRegistry(),
				SecuritySchemes: map[string]*huma.SecurityScheme{bearer: {
					Type: "http", Scheme: "bearer", BearerFormat: "JWT",
					Description: "A JWT (EdDSA, ES256 or RS256) with aud, exp, sub and roles, and vaults if it is for some alone. " +
						"A client whose certificate is known needs none, nor does dev on the same machine.",
				}},
			},
		},
		Formats: map[string]huma.Format{
			"application/json": huma.DefaultJSONFormat,
			"json":             huma.DefaultJSONFormat, // what huma looks up for application/problem+json
		},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{translate},
	}
}

// call is what the door found out about a request.
type call struct {
	id        string // a UUID
	requester string
	vaults    []string // that the caller is let in for; nil is all
	session   string   // idempotency key, from the header or the body; may be empty
	header    http.Header
	later     bool // it would rather not wait for the answer
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{}
}

func instance(ctx context.Context) string { return "urn:uuid:" + callOf(ctx).id }
