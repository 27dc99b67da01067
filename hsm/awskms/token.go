package awskms

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/luxfi/mpcd/hsm"
)

const (
	randomMax   = 1 << 16 // most that Random reads, in bytes
	randomChunk = 1024    // API_GenerateRandom, NumberOfBytes
)

// token is a client of KMS. It holds no secret but the credentials within the client.
type token struct {
	keyID    string // of the URI, for the empty key ID
	region   string // "" if neither URI nor environment names one
	fixed    bool   // the URI chose the region: an ARN of another one is refused
	endpoint *url.URL
	software bool
	account  string
	limits   limits
	log      *slog.Logger
	client   *kms.Client
	slots    chan struct{} // one for each request under way

	mu     sync.Mutex
	closed bool
	keys   map[string]*key // by key ID as the caller writes it, once checked
}

var (
	_ hsm.Token        = (*token)(nil)
	_ hsm.PublicKeyer  = (*token)(nil)
	_ hsm.KeyWrapper   = (*token)(nil)
	_ hsm.KeyGenerator = (*token)(nil)
	_ hsm.KeyLister    = (*token)(nil)
	_ hsm.RandomSource = (*token)(nil)
	_ hsm.KeyAttester  = (*token)(nil)
)

// Provider is "awskms".
func (t *token) Provider() string { return provider }

// Info says where the keys are, from the configuration alone. SoftwareOnly is true for an endpoint that is not Amazon's, or not
// behind TLS: nothing proves hardware there.
func (t *token) Info(ctx context.Context) (hsm.TokenInfo, error) {
	info := hsm.TokenInfo{Provider: provider, Label: label(t.region, t.endpoint), Serial: t.account, Manufacturer: "Amazon Web Services",
		Model: "KMS", SoftwareOnly: t.software}
	if t.software {
		info.Manufacturer = "unknown"
	}
	if err := ctx.Err(); err != nil {
		return info, err
	}
	return info, t.open()
}

// Close refuses what comes after it; requests under way run out. It is idempotent.
func (t *token) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed, t.keys = true, nil
	return nil
}

// open is an error once the token is closed.
func (t *token) open() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return fmt.Errorf("awskms: %w: the token is closed", hsm.ErrUnavailable)
	}
	return nil
}

// Random reads 1 to 65,536 bytes of the service's generator, up to 1,024 in a request.
func (t *token) Random(ctx context.Context, n int) ([]byte, error) {
	if n < 1 || n > randomMax {
		return nil, fmt.Errorf("awskms: random: %d bytes, must be 1 to %d", n, randomMax)
	}
	b := make([]byte, 0, n)
	for len(b) < n {
		ask := int32(min(n-len(b), randomChunk))
		out, err := call(ctx, t, request{action: "GenerateRandom"}, t.client.GenerateRandom, &kms.GenerateRandomInput{NumberOfBytes: &ask})
		if err != nil {
			return nil, err
		}
		if len(out.Plaintext) != int(ask) {
			return nil, fmt.Errorf("awskms: %w: GenerateRandom gave %d bytes, not %d", hsm.ErrUnavailable, len(out.Plaintext), ask)
		}
		b = append(b, out.Plaintext...)
	}
	return b, nil
}

// request says what a call is for.
type request struct {
	action string // of the API, as in "kms:Sign"
	keyID  string // as the caller wrote it
	target target
	makes  bool // a repetition may make a second one
}

// call makes one request of KMS, repeated with back-off where that can help, while a slot is held. The errors are of package hsm.
func call[In, Out any](ctx context.Context, t *token, r request, f func(context.Context, *In, ...func(*kms.Options)) (*Out, error),
	in *In) (*Out, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("awskms: %s: %w", r.action, err)
	}
	if err := t.open(); err != nil {
		return nil, err
	}
	region, err := t.regionFor(r.target)
	if err != nil {
		return nil, err
	}
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("awskms: %s waited for other requests: %w", r.action, ctx.Err())
	}
	limited, cancel := context.WithTimeout(ctx, t.limits.call)
	defer cancel()
	deadline, _ := limited.Deadline()
	retryer := newRetryer(t.limits.backoff, deadline, r.makes)
	out, err := f(limited, in, func(o *kms.Options) { o.Retryer, o.Region = retryer, region })
	if r.makes && retryer.unsure {
		t.log.Warn("the answer to a request was lost, which may have left a key without an alias; look for it by its description", "action",
			r.action, "description", description(r.keyID))
	}
	if err != nil {
		return nil, t.explain(ctx, r, region, retryer, err)
	}
	return out, nil
}

// regionFor is where the key is: what an ARN says before what the environment says, but never against the URI.
func (t *token) regionFor(k target) (string, error) {
	switch {
	case k.region != "" && t.fixed && k.region != t.region:
		return "", fmt.Errorf("awskms: %w: %s is in region %s, this token in %s; open another token for it", hsm.ErrNoKey, k.id,
			k.region, t.region)
	case k.region != "":
		return k.region, nil
	case t.region == "":
		return "", fmt.Errorf("awskms: %w: no region; add region= to the URI, set AWS_REGION, or name keys by their ARN", hsm.ErrURI)
	}
	return t.region, nil
}

// shortWait is a context for cleaning up after the caller's may have ended.
func (t *token) shortWait(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), min(t.limits.call, 10*time.Second))
}
