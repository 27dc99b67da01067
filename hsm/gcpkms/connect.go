package gcpkms

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	kms "cloud.google.com/go/kms/apiv1"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/luxfi/mpcd/hsm"
)

// googleHosts is where credentials may go.
const googleHosts = ".googleapis.com"

// endpoint is where the service is.
type endpoint struct {
	address string // "" for Google's own
	plain   bool   // in the clear and without credentials
}

// parseEndpoint reads the endpoint attribute: "", unix:/path, or host:port.
func parseEndpoint(s string) (endpoint, error) {
	if s == "" {
		return endpoint{}, nil
	}
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return endpoint{}, fmt.Errorf("gcpkms: %w: endpoint %q: name the socket by its full path: unix:/path", hsm.ErrURI, clip(s))
		}
		return endpoint{"unix:" + path, true}, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || port == "" {
		return endpoint{}, fmt.Errorf("gcpkms: %w: endpoint %q must be host:port or unix:/path, without https://", hsm.ErrURI, clip(s))
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return endpoint{"passthrough:///" + s, true}, nil
	}
	if !strings.HasSuffix(host, googleHosts) {
		return endpoint{}, fmt.Errorf("gcpkms: %w: endpoint %q is neither loopback nor a host of googleapis.com; credentials would go to a "+
			"stranger", hsm.ErrURI, clip(s))
	}
	return endpoint{s, false}, nil
}

// connect makes the client. Its own retries are off, for ours know what was damaged; and so is its logging, which
// GOOGLE_SDK_GO_LOGGING_LEVEL would turn on, secrets and all.
func connect(ctx context.Context, e endpoint) (*kms.KeyManagementClient, error) {
	quick := grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
		MinConnectTimeout: 5 * time.Second,
	})
	options := []option.ClientOption{option.WithLogger(slog.New(slog.DiscardHandler)), option.WithTelemetryDisabled()}
	if e.plain {
		conn, err := grpc.NewClient(e.address, quick, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
		if err != nil {
			return nil, fmt.Errorf("gcpkms: %w: %w", hsm.ErrURI, err)
		}
		options = append(options, option.WithGRPCConn(conn))
	} else {
		options = append(options, option.WithGRPCDialOption(quick))
		if e.address != "" {
			options = append(options, option.WithEndpoint(e.address))
		}
	}
	client, err := kms.NewKeyManagementClient(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("gcpkms: %w (%w): no client: %s; %s", hsm.ErrUnavailable, hsm.ErrCredentials, clip(err.Error()), adviceCredentials)
	}
	client.CallOptions = &kms.KeyManagementCallOptions{}
	return client, nil
}
