package hsm

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// Options are the same for every driver.
type Options struct {
	// Dev lets drivers be opened that guard nothing (local).
	Dev bool
	// Logger gets warnings of the token and reconnections, never a secret; nil for none.
	Logger *slog.Logger
	// Sessions bounds the parallel operations on a token; 0 for the driver's choice.
	Sessions int
	// LastPINTry logs in even where the token reports that one more wrong PIN locks it.
	LastPINTry bool
	// Verified says that the caller verifies every signature with the key's pinned public half, so that a driver need not do it too.
	Verified bool
}

// Log is the Logger, or one that drops everything.
func (o Options) Log() *slog.Logger {
	if o.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Logger
}

// OpenFunc opens the token that the URI names. It owes: a Token safe for concurrent use, a wrong PIN never tried twice in a
// process, the errors of this package, and a return when ctx is done.
type OpenFunc func(ctx context.Context, u *URI, o Options) (Token, error)

// Drivers are the drivers of a program by the scheme of their URIs. It is a value that main writes down, not a registry.
type Drivers map[string]OpenFunc

// Open parses the URI, or bare name, and opens the token with the driver of its scheme.
func (d Drivers) Open(ctx context.Context, uri string, o Options) (Token, error) {
	if uri == "env" || uri == "file" {
		return nil, fmt.Errorf("hsm: %w: %s is a source of passwords, not a token; this binary has drivers for %s", ErrURI, uri, d.names())
	}
	u, err := ParseURI(uri)
	if err != nil {
		return nil, fmt.Errorf("%w; this binary has drivers for %s", err, d.names())
	}
	return d.open(ctx, u, o)
}

// NewSigner opens a token by the provider name and settings of the seed documents: kind is a bare name or a URI, cfg holds
// attributes of the URI ("token", "module-path", "pin-source", "region" …).
func (d Drivers) NewSigner(ctx context.Context, kind string, cfg map[string]string, o Options) (Signer, error) {
	u, err := d.parse(kind, cfg)
	if err != nil {
		return nil, err
	}
	return d.open(ctx, u, o)
}

// parse reads a bare name or URI and adds attributes to it.
func (d Drivers) parse(kind string, cfg map[string]string) (*URI, error) {
	u, err := ParseURI(kind)
	if err != nil {
		return nil, fmt.Errorf("%w; this binary has drivers for %s", err, d.names())
	}
	for _, name := range sortedKeys(cfg) {
		if advice := refused[name]; advice != "" {
			return nil, fmt.Errorf("hsm: %w: %s is refused: %s", ErrURI, name, advice)
		}
		if u, err = u.With(name, cfg[name]); err != nil {
			return nil, err
		}
	}
	return u, nil
}

func (d Drivers) open(ctx context.Context, u *URI, o Options) (Token, error) {
	open, ok := d[u.Scheme]
	if !ok {
		return nil, fmt.Errorf("hsm: %w: this binary has no driver for %s, it has %s", ErrUnsupported, u.Scheme, d.names())
	}
	return open(ctx, u, o)
}

func (d Drivers) names() string {
	if len(d) == 0 {
		return "nothing"
	}
	return strings.Join(sortedKeys(d), ", ")
}
