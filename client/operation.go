package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
)

// Operations lists requests that wait for approvals, or did; of one state, as PENDING_APPROVAL, "" of all.
func (c *Client) Operations(ctx context.Context, state string) ([]Operation, error) {
	path := "/api/v1/operations"
	if state != "" {
		path += "?state=" + url.QueryEscape(state)
	}
	list, err := call[wire.OperationList](ctx, c, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	return list.Operations, nil
}

// operationPath is where one is.
func operationPath(id string) string { return "/api/v1/operations/" + url.PathEscape(id) }

// Operation shows a request that waits for approvals, or did, by its session_id.
func (c *Client) Operation(ctx context.Context, id string) (*Operation, error) {
	if id == "." || id == ".." { // in a path they lead elsewhere
		return nil, fmt.Errorf("%w: %q is no session_id", ErrUnsent, id)
	}
	return call[Operation](ctx, c, http.MethodGet, operationPath(id), nil)
}

// Shown is Operation, or with follow what Follow returns.
func (c *Client) Shown(ctx context.Context, id string, follow bool) (*Operation, error) {
	if follow {
		return c.Follow(ctx, id, nil)
	}
	return c.Operation(ctx, id)
}

// Approve brings an approver's word on an operation.
func (c *Client) Approve(ctx context.Context, id string, x *Approval) (*Operation, error) {
	return call[Operation](ctx, c, http.MethodPost, operationPath(id)+"/approvals", x)
}

// Cancel takes an operation back, in the name of the client's initiator, which asked for it.
func (c *Client) Cancel(ctx context.Context, id string) (*Operation, error) {
	o, err := c.Operation(ctx, id)
	if err != nil {
		return nil, err
	}
	var in attest.Intent
	if err := json.Unmarshal(o.Intent, &in); err != nil {
		return nil, fmt.Errorf("%w: operation %q: %w", ErrUnsent, id, err)
	}
	i := c.initiator
	if in.RequestID != id || in.Initiation == nil || i == nil || i.Name != in.Initiation.By || i.Cluster != in.Cluster {
		return nil, fmt.Errorf("%w: operation %q is of initiator %s@%s, who alone can cancel it", ErrUnsent, id, o.Initiator, o.Cluster)
	}
	sig, err := i.Sign(in.CancelMessage())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsent, err)
	}
	return call[Operation](ctx, c, http.MethodPost, operationPath(id)+"/cancel", &wire.Cancellation{Signature: sig})
}
