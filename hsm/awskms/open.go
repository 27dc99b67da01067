package awskms

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go/logging"

	"github.com/luxfi/mpcd/hsm"
)

const (
	provider        = "awskms"
	sessionsDefault = 16
	credentialLimit = 15 * time.Second // to find credentials: the instance role is asked last, and nobody may be there
)

// limits are how long things may take.
type limits struct {
	attempt time.Duration // one request
	call    time.Duration // one operation with its retries, where the caller sets no earlier deadline
	backoff time.Duration // the first wait; it doubles, up to backoffMax, and half of each is drawn at random
}

var standardLimits = limits{attempt: 10 * time.Second, call: 30 * time.Second, backoff: 50 * time.Millisecond}

// Open prepares a client of AWS KMS for the URI; see the package for its parts. It finds credentials, but asks KMS nothing: whether
// a key can be used, its first use or hsm.SelfTest tells. Options.Sessions bounds the requests under way (16 if it is 0).
//
// Errors wrap hsm.ErrURI for a URI that contradicts itself, hsm.ErrCredentials where there are none. It is an hsm.OpenFunc.
func Open(ctx context.Context, u *hsm.URI, o hsm.Options) (hsm.Token, error) {
	return open(ctx, u, o, standardLimits)
}

func open(ctx context.Context, u *hsm.URI, o hsm.Options, l limits) (*token, error) {
	t := &token{keyID: u.Attr("key-id"), region: u.Attr("region"), limits: l, log: o.Log(), keys: map[string]*key{}}
	t.fixed = t.region != ""
	if t.keyID != "" {
		k, err := parseKeyID(t.keyID)
		if err != nil {
			return nil, fmt.Errorf("%w: key-id: %w", hsm.ErrURI, err)
		}
		if k.region != "" && t.region != "" && k.region != t.region {
			return nil, fmt.Errorf("awskms: %w: key-id is in region %s, region= says %s; drop one of them", hsm.ErrURI, k.region, t.region)
		}
		if k.region != "" {
			t.region, t.fixed = k.region, true
		}
	}
	if raw := u.Attr("endpoint"); raw != "" {
		if _, err := checkEndpoint(raw); err != nil {
			return nil, err
		}
	}
	sessions := o.Sessions
	if sessions <= 0 {
		sessions = sessionsDefault
	}
	t.slots = make(chan struct{}, sessions)
	if err := t.connect(ctx, u.Attr("endpoint"), sessions); err != nil {
		return nil, err
	}
	if t.software {
		t.log.Warn("the KMS endpoint is not Amazon's: nothing proves that hardware guards the keys", "endpoint", t.endpoint.String())
	}
	return t, nil
}

// connect makes the client and finds the credentials.
func (t *token) connect(ctx context.Context, endpoint string, sessions int) error {
	transport := awshttp.NewBuildableClient().WithTimeout(t.limits.attempt).WithTransportOptions(func(tr *http.Transport) {
		tr.MaxIdleConnsPerHost = sessions
	})
	find, cancel := context.WithTimeout(ctx, credentialLimit)
	defer cancel()
	cfg, err := config.LoadDefaultConfig(find, config.WithHTTPClient(transport), config.WithLogger(logging.Nop{}))
	if err != nil {
		return fmt.Errorf("awskms: %w: the AWS configuration does not load: %w", hsm.ErrNoToken, err)
	}
	if t.region == "" {
		t.region = cfg.Region
	}
	cfg.Region = t.region
	t.client = kms.NewFromConfig(cfg, func(o *kms.Options) {
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
	})
	// The environment can name an endpoint as well (AWS_ENDPOINT_URL_KMS), so it is the client that tells.
	if base := t.client.Options().BaseEndpoint; base != nil {
		u, err := checkEndpoint(*base)
		if err != nil {
			return err
		}
		t.endpoint, t.software = u, !isAWS(u)
	}
	found, err := cfg.Credentials.Retrieve(find)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("awskms: %w", ctx.Err())
		}
		return fmt.Errorf("awskms: %w for AWS; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_WEB_IDENTITY_TOKEN_FILE "+
			"and AWS_ROLE_ARN, or give the instance a role: %w", hsm.ErrCredentials, err)
	}
	t.account = found.AccountID
	return nil
}

// label says where the keys are.
func label(region string, endpoint *url.URL) string {
	if region == "" {
		region = "any region"
	}
	if endpoint == nil {
		return region
	}
	return region + " at " + endpoint.String()
}
