package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/luxfi/mpcd/attest"
)

// SignLater asks for a signature that is not waited for, and returns the operation that it is to come of: Follow follows it, and the same
// request has the signature then. Where the node has the answer already, or can only give it to who waits, it is over.
func (c *Client) SignLater(ctx context.Context, r *SignRequest) (*Operation, error) {
	q := *r
	q.SessionID = c.session(q.SessionID)
	header, err := c.initiateSign(ctx, &q)
	if err != nil {
		return nil, err
	}
	return c.later(ctx, "/api/v1/sign", attest.OpSign, q.SessionID, header, q)
}

// KeygenLater asks for a key, in a group of wallets unless it is "", as SignLater does for a signature.
func (c *Client) KeygenLater(ctx context.Context, group string, r *KeygenRequest) (*Operation, error) {
	q := *r
	q.SessionID = c.session(q.SessionID)
	header, err := c.initiateKeygen(ctx, &q, group)
	if err != nil {
		return nil, err
	}
	path := "/api/v1/keygen"
	if group != "" {
		path = "/api/v1/vaults/" + url.PathEscape(group) + "/wallets"
	}
	return c.later(ctx, path, attest.OpKeygen, q.SessionID, header, q)
}

// RefreshLater asks for a refresh as SignLater does for a signature.
func (c *Client) RefreshLater(ctx context.Context, r *RefreshRequest) (*Operation, error) {
	q := *r
	q.SessionID = c.session(q.SessionID)
	header, err := c.initiateRefresh(ctx, &q)
	if err != nil {
		return nil, err
	}
	return c.later(ctx, "/api/v1/refresh", attest.OpRefresh, q.SessionID, header, q)
}

// later sends a request whose answer is not waited for. The operation alone has an intent: what has none is the answer itself.
func (c *Client) later(ctx context.Context, path string, op attest.Operation, session string, h http.Header, q any) (*Operation, error) {
	if h == nil {
		h = http.Header{}
	}
	h.Set("Prefer", "respond-async")
	o, err := send[Operation](ctx, c, http.MethodPost, path, h, q)
	if err == nil && len(o.Intent) == 0 {
		o = &Operation{ID: session, State: "SUCCEEDED", Operation: string(op), ReceiptID: o.ReceiptID, WalletID: o.WalletID}
	}
	return o, err
}
