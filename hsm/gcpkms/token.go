package gcpkms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"sync"

	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/luxfi/mpcd/hsm"
)

const (
	provider        = "gcpkms"
	sessionsDefault = 32   // parallel calls
	cacheMax        = 1024 // most keys that are remembered
)

// Token is a key ring, or all of Cloud KMS where the URI names none. It is safe for concurrent use.
type Token struct {
	client *kms.KeyManagementClient
	home   resource // what the URI names
	plain  bool     // a server on this machine, not Google's
	log    *slog.Logger
	pace   pace
	slots  chan struct{} // one for each parallel call

	mu     sync.Mutex
	closed bool
	keys   map[string]*key // by the most particular name asked for
}

// The token has every ability of the border but counting, and MAC and VerifyMAC.
var (
	_ hsm.Token        = (*Token)(nil)
	_ hsm.PublicKeyer  = (*Token)(nil)
	_ hsm.KeyWrapper   = (*Token)(nil)
	_ hsm.KeyGenerator = (*Token)(nil)
	_ hsm.KeyLister    = (*Token)(nil)
	_ hsm.RandomSource = (*Token)(nil)
	_ hsm.KeyAttester  = (*Token)(nil)
)

// Open connects to the key ring of the URI, and asks for it: ErrNoToken if it is not there, ErrUnavailable if the service does not
// answer or wants other credentials. A URI without a key ring ("gcp") asks nobody. It is an hsm.OpenFunc; the Token is a *Token.
func Open(ctx context.Context, u *hsm.URI, o hsm.Options) (hsm.Token, error) {
	t, err := open(ctx, u, o, steady)
	if err != nil {
		return nil, err
	}
	return t, nil
}

func open(ctx context.Context, u *hsm.URI, o hsm.Options, p pace) (*Token, error) {
	home, ok := parseResource(u.Path)
	if !ok && u.Path != "" {
		return nil, fmt.Errorf("gcpkms: %w: %q is no projects/P/locations/L/keyRings/R[/cryptoKeys/K[/cryptoKeyVersions/N]]", hsm.ErrURI,
			clip(u.Path))
	}
	e, err := parseEndpoint(u.Attr("endpoint"))
	if err != nil {
		return nil, err
	}
	client, err := connect(ctx, e)
	if err != nil {
		return nil, err
	}
	sessions := o.Sessions
	if sessions <= 0 {
		sessions = sessionsDefault
	}
	t := &Token{client: client, home: home, plain: e.plain, log: o.Log(), pace: p, slots: make(chan struct{}, sessions),
		keys: map[string]*key{}}
	if e.plain {
		t.log.Warn("gcpkms: a server on this machine in the place of Google's, for tests and demos: no hardware guards the keys",
			"endpoint", e.address)
	}
	if err := t.findRing(ctx); err != nil {
		_ = client.Close()
		return nil, err
	}
	return t, nil
}

// findRing makes sure that there is the key ring. Who may only sign in it may not ask for it; then the first use tells.
func (t *Token) findRing(ctx context.Context) error {
	if t.home.ring == "" {
		return nil
	}
	a := act{verb: "open key ring", name: t.home.ring, permission: "cloudkms.keyRings.get", missing: hsm.ErrNoToken, invalid: hsm.ErrURI}
	_, err := call(ctx, t, a, func(ctx context.Context) (struct{}, error) {
		ring, err := t.client.GetKeyRing(ctx, &kmspb.GetKeyRingRequest{Name: t.home.ring})
		if status.Code(err) == codes.PermissionDenied {
			t.log.Warn("gcpkms: no permission to ask for the key ring; the first use of a key will tell whether it is there", "name", t.home.ring)
			return struct{}{}, nil
		}
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, same("name", ring.Name, t.home.ring)
	})
	return err
}

// ready is an error once the token is closed, or ctx is done.
func (t *Token) ready(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return errClosed
	}
	return ctx.Err()
}

var errClosed = fmt.Errorf("gcpkms: %w: the token is closed", hsm.ErrUnavailable)

// Provider is "gcpkms".
func (t *Token) Provider() string { return provider }

// Info describes the key ring, without asking the service. The protection level of a key is in its evidence.
func (t *Token) Info(ctx context.Context) (hsm.TokenInfo, error) {
	if err := t.ready(ctx); err != nil {
		return hsm.TokenInfo{}, err
	}
	info := hsm.TokenInfo{
		Provider: provider, Label: path.Base(t.home.ring), Manufacturer: "Google", Model: "Cloud KMS", Serial: t.home.ring,
		SoftwareOnly: t.plain, MaxSessions: uint64(cap(t.slots)), OpenSessions: uint64(len(t.slots)),
	}
	if t.home.ring == "" {
		info.Label = "gcp"
	}
	if t.plain {
		info.Manufacturer, info.Model = "unknown", "server on this machine that speaks Cloud KMS"
	}
	return info, nil
}

// Close ends all calls. It is idempotent.
func (t *Token) Close() error {
	t.mu.Lock()
	closed := t.closed
	t.closed = true
	t.mu.Unlock()
	if closed {
		return nil
	}
	if err := t.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("gcpkms: close: %w", err)
	}
	return nil
}
