package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/luxfi/mpcd/client/wire"
)

// The shapes of requests and answers, and their parts.
type (
	KeygenRequest  = wire.KeygenRequest
	SignRequest    = wire.SignRequest
	RefreshRequest = wire.RefreshRequest
	Wallet         = wire.Wallet
	VaultWallet    = wire.VaultWallet
	Transaction    = wire.Transaction
	Signature      = wire.Signature
	Child          = wire.Child
	Node           = wire.Node
	AuditEntry     = wire.AuditEntry
	Operation      = wire.Operation
	Approval       = wire.Approval
	Assertion      = wire.Assertion
	Health         = wire.Health
	Hex            = wire.Hex
)

// Keygen makes a key that no node holds.
func (c *Client) Keygen(ctx context.Context, r *KeygenRequest) (*Wallet, error) {
	q := *r
	q.SessionID = c.session(q.SessionID)
	header, err := c.initiateKeygen(ctx, &q, "")
	if err != nil {
		return nil, err
	}
	return send[Wallet](ctx, c, http.MethodPost, "/api/v1/keygen", header, q)
}

// CreateWallet makes a key in the wallet group of the name, which the API's path calls a vault. The group need not exist before.
func (c *Client) CreateWallet(ctx context.Context, group string, r *KeygenRequest) (*VaultWallet, error) {
	q := *r
	q.SessionID = c.session(q.SessionID)
	header, err := c.initiateKeygen(ctx, &q, group)
	if err != nil {
		return nil, err
	}
	return send[VaultWallet](ctx, c, http.MethodPost, "/api/v1/vaults/"+url.PathEscape(group)+"/wallets", header, q)
}

// KeygenIn is Keygen, or of a group that is not "" CreateWallet.
func (c *Client) KeygenIn(ctx context.Context, group string, r *KeygenRequest) (*Wallet, error) {
	if group == "" {
		return c.Keygen(ctx, r)
	}
	w, err := c.CreateWallet(ctx, group, r)
	if err != nil {
		return nil, err
	}
	return &w.Wallet, nil
}

// Sign signs one message or digest.
func (c *Client) Sign(ctx context.Context, r *SignRequest) (*Signature, error) {
	q := *r
	q.SessionID = c.session(q.SessionID)
	header, err := c.initiateSign(ctx, &q)
	if err != nil {
		return nil, err
	}
	return send[Signature](ctx, c, http.MethodPost, "/api/v1/sign", header, q)
}

// Refresh makes the shares of a key anew; the key and its addresses stay.
func (c *Client) Refresh(ctx context.Context, r *RefreshRequest) (*Wallet, error) {
	q := *r
	q.SessionID = c.session(q.SessionID)
	header, err := c.initiateRefresh(ctx, &q)
	if err != nil {
		return nil, err
	}
	return send[Wallet](ctx, c, http.MethodPost, "/api/v1/refresh", header, q)
}

// ProveThreshold has the cluster prove again that every quorum of the wallet signs and one signer fewer does not.
func (c *Client) ProveThreshold(ctx context.Context, walletID string) (*Wallet, error) {
	return call[Wallet](ctx, c, http.MethodPost, "/api/v1/wallets/"+url.PathEscape(walletID)+"/prove-threshold", struct{}{})
}

// Wallet shows the wallet with this id, or this public key in hex.
func (c *Client) Wallet(ctx context.Context, idOrPublicKey string) (*Wallet, error) {
	return call[Wallet](ctx, c, http.MethodGet, "/api/v1/wallets/"+url.PathEscape(idOrPublicKey), nil)
}

// Derive shows the key at a path below an ECDSA wallet, as "m/0/5", with its addresses; nothing is signed. Its signatures are
// asked for by SignRequest.DerivationPath.
func (c *Client) Derive(ctx context.Context, idOrPublicKey, path string) (*Child, error) {
	return call[Child](ctx, c, http.MethodGet, "/api/v1/wallets/"+url.PathEscape(idOrPublicKey)+"/derive?path="+url.QueryEscape(path), nil)
}

// Page asks for a part of a list.
type Page struct {
	Size  int    // 1 to 1000; 0 lets the node choose
	Token string // the token that the page before returned; empty begins
}

func (p Page) query() string {
	q := url.Values{}
	if p.Size > 0 {
		q.Set("page_size", strconv.Itoa(p.Size))
	}
	if p.Token != "" {
		q.Set("page_token", p.Token)
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// Wallets lists wallets and returns the token of the next page, empty at the end.
func (c *Client) Wallets(ctx context.Context, p Page) ([]Wallet, string, error) {
	list, err := call[wire.WalletList](ctx, c, http.MethodGet, "/api/v1/wallets"+p.query(), nil)
	if err != nil {
		return nil, "", err
	}
	return list.Wallets, list.NextPageToken, nil
}

// AllWallets reads every page.
func (c *Client) AllWallets(ctx context.Context) ([]Wallet, error) {
	all := []Wallet{}
	for page := (Page{Size: 500}); ; {
		ws, next, err := c.Wallets(ctx, page)
		if err != nil {
			return nil, err
		}
		if all = append(all, ws...); next == "" {
			return all, nil
		}
		page.Token = next
	}
}

// Nodes shows the roster, as the answering node sees it.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	list, err := call[wire.NodeList](ctx, c, http.MethodGet, "/api/v1/nodes", nil)
	if err != nil {
		return nil, err
	}
	return list.Nodes, nil
}

// Receipt returns the chain of evidence for a signature, as JSON, which mpcd attest verify checks offline.
func (c *Client) Receipt(ctx context.Context, id string) (json.RawMessage, error) {
	r, err := call[json.RawMessage](ctx, c, http.MethodGet, "/api/v1/receipts/"+url.PathEscape(id), nil)
	if err != nil {
		return nil, err
	}
	return *r, nil
}

// Audit reads the answering node's audit log and returns the token of the next page, empty at the end.
func (c *Client) Audit(ctx context.Context, p Page) ([]AuditEntry, string, error) {
	list, err := call[wire.AuditList](ctx, c, http.MethodGet, "/api/v1/audit"+p.query(), nil)
	if err != nil {
		return nil, "", err
	}
	return list.Entries, list.NextPageToken, nil
}

// Checkpoints lists the checkpoints of audit logs that a node has: its own, and those it has witnessed.
func (c *Client) Checkpoints(ctx context.Context) ([]wire.Checkpoint, error) {
	list, err := call[wire.CheckpointList](ctx, c, http.MethodGet, "/api/v1/audit/checkpoints", nil)
	if err != nil {
		return nil, err
	}
	return list.Checkpoints, nil
}

// Health asks the first node that answers how it is.
func (c *Client) Health(ctx context.Context) (*Health, error) {
	return call[Health](ctx, c, http.MethodGet, "/healthz", nil)
}
