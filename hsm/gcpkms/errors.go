package gcpkms

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/luxfi/mpcd/hsm"
)

// The next steps that several errors share.
const (
	adviceCredentials = "run `gcloud auth application-default login`, or give the node a service account by " +
		"GOOGLE_APPLICATION_CREDENTIALS or workload identity"
	adviceReach = "check the network, the endpoint and Google's status page"
)

// errState marks what the service refuses in the present state of the key.
var errState = errors.New("refused in its present state")

func (a act) errorf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if errors.Is(err, errClosed) {
		return errClosed
	}
	return fmt.Errorf("gcpkms: %s %s: %w", a.verb, a.name, err)
}

// explain says what was done when err came, and what err means.
func (a act) explain(err error) error { return a.errorf("%w", a.meaning(err)) }

// meaning turns a status of gRPC into a sentinel, a fact and a next step; any other error means itself.
func (a act) meaning(err error) error {
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	what := clip(s.Message())
	switch s.Code() {
	case codes.NotFound:
		return fmt.Errorf("%w: %s; check project, location and name, or make it", a.missing, what)
	case codes.AlreadyExists:
		return fmt.Errorf("%w: %s; choose another key ID, names in Cloud KMS are never free again", hsm.ErrKeyExists, what)
	case codes.PermissionDenied:
		return fmt.Errorf("%w: permission denied: %s; grant %s to the node's service account", hsm.ErrUnavailable, what, a.permission)
	case codes.Unauthenticated:
		return fmt.Errorf("%w (%w that hold): %s; %s", hsm.ErrUnavailable, hsm.ErrCredentials, what, adviceCredentials)
	case codes.FailedPrecondition:
		return fmt.Errorf("%w: %w: %s; look at the state of the key's versions", hsm.ErrUnavailable, errState, what)
	case codes.InvalidArgument:
		return fmt.Errorf("%w: the service refuses the request: %s", a.invalid, what)
	case codes.Unimplemented:
		return fmt.Errorf("%w: the service does not know the operation: %s", hsm.ErrUnsupported, what)
	case codes.ResourceExhausted:
		return fmt.Errorf("%w: throttled: %s; raise the quota of Cloud KMS, or send less", hsm.ErrUnavailable, what)
	}
	return fmt.Errorf("%w: %s: %s; %s", hsm.ErrUnavailable, strings.ToLower(s.Code().String()), what, adviceReach)
}
