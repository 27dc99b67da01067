package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/luxfi/mpcd/client/wire"
)

const freezesPath = "/api/v1/freezes"

// Freeze stops all that is done with a wallet, a vault or the cluster, until its officers thaw it.
func (c *Client) Freeze(ctx context.Context, q wire.FreezeRequest) (*wire.Freeze, error) {
	return call[wire.Freeze](ctx, c, http.MethodPost, freezesPath, q)
}

// Freezes lists what is frozen, or was.
func (c *Client) Freezes(ctx context.Context) ([]wire.Freeze, error) {
	list, err := call[wire.FreezeList](ctx, c, http.MethodGet, freezesPath, nil)
	if err != nil {
		return nil, err
	}
	return list.Freezes, nil
}

// Thaw brings the officers' word on a freeze.
func (c *Client) Thaw(ctx context.Context, id string, q wire.ThawRequest) (*wire.Freeze, error) {
	return call[wire.Freeze](ctx, c, http.MethodPost, freezesPath+"/"+url.PathEscape(id)+"/thaw", q)
}
