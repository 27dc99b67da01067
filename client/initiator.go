package client

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/keyfile"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/threshold"
)

// initiationTTL is how long an initiation holds where Initiator does not say.
const initiationTTL = 15 * time.Minute

// Initiator signs requests, so that the cluster does what they ask for: without, and outside of dev, no signer does.
type Initiator struct {
	Cluster string // whose authority has it
	Name    string // there
	// Sign signs with its key as hsm.Signer does: 64 bytes, of Ed25519, or r and s of ECDSA on P-256 with SHA-256.
	Sign func(message []byte) ([]byte, error)
	TTL  time.Duration // from now to the expiry; 0 is 15 minutes, the most a week
	// HTTP carries what it signs as an HTTP message signature (RFC 9421) in headers, in the place of the field initiation.
	HTTP bool
}

// OpenInitiator is an initiator of a cluster, as NAME@CLUSTER, with its key in a file: PEM, or PEM that age encrypted under a passphrase,
// which is asked for where it is needed. The caller closes it.
func OpenInitiator(who, path string, passphrase func() (*secret.Bytes, error)) (*Initiator, io.Closer, error) {
	i, err := NewInitiator(who, nil)
	if err != nil {
		return nil, nil, err
	}
	key, err := keyfile.Read(path, passphrase)
	if err != nil {
		return nil, nil, err
	}
	i.Sign = key.Sign
	return i, key, nil
}

// NewInitiator is an initiator of a cluster, as NAME@CLUSTER, that signs by a key wherever it is.
func NewInitiator(who string, sign func(message []byte) ([]byte, error)) (*Initiator, error) {
	name, cluster, ok := strings.Cut(who, "@")
	if !ok || name == "" || cluster == "" {
		return nil, fmt.Errorf("client: %q names no initiator: give NAME@CLUSTER", who)
	}
	return &Initiator{Cluster: cluster, Name: name, Sign: sign}, nil
}

// ErrUnsent is of a request that could not be made or signed here: no node was asked for it.
var ErrUnsent = errors.New("client: nothing was asked for")

// initiate signs what an intent asks for, as an initiation for the body or as headers.
func (c *Client) initiate(in attest.Intent) (*wire.Initiation, http.Header, error) {
	i := c.initiator
	ttl := i.TTL
	if ttl == 0 {
		ttl = initiationTTL
	}
	if ttl < 0 || ttl > attest.MaxInitiation {
		return nil, nil, fmt.Errorf("%w: its signature would hold %s, and holds a week at most", ErrUnsent, ttl)
	}
	in.Cluster = i.Cluster
	now := time.Now()
	if !i.HTTP {
		x, err := in.Initiate(i.Name, now.Add(ttl), i.Sign)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrUnsent, err)
		}
		return &wire.Initiation{By: x.By, Expires: x.Expires, Signature: Hex(x.Signature)}, nil, nil
	}
	x, err := in.InitiateHTTP(i.Name, now, now.Add(ttl), i.Sign)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrUnsent, err)
	}
	header := http.Header{}
	header.Set(attest.InitiationField, in.InitiationValue(x.By, x.Expires))
	header.Set("Signature-Input", "sig1="+x.Parameters)
	header.Set("Signature", "sig1=:"+base64.StdEncoding.EncodeToString(x.Signature)+":")
	return nil, header, nil
}

// initiateKeygen fills in what an initiator signs for, all nodes as parties and a majority of them where nobody says, and signs.
func (c *Client) initiateKeygen(ctx context.Context, q *KeygenRequest, group string) (h http.Header, err error) {
	if c.initiator == nil || q.Initiation != nil {
		return nil, nil
	}
	if q.Total == 0 {
		q.Total = len(q.Parties)
	}
	if q.Total == 0 {
		nodes, err := c.Nodes(ctx)
		if err != nil {
			return nil, err
		}
		q.Total = len(nodes)
	}
	if q.Threshold == 0 {
		q.Threshold = q.Total/2 + 1
	}
	in := attest.Intent{Operation: attest.OpKeygen, RequestID: q.SessionID, Signers: make([]threshold.PartyID, q.Total),
		Keygen: &attest.KeygenParams{Threshold: q.Threshold, Kind: kindOf(q.Curve, q.Protocol), Label: q.Label, Group: group,
			Nodes: slices.Sorted(slices.Values(q.Parties))}}
	q.Initiation, h, err = c.initiate(in)
	return h, err
}

// kindOf is the kind of key that a curve and protocol of the API mean.
func kindOf(curve, protocol string) threshold.KindID {
	switch {
	case curve == threshold.Ed25519.Curve:
		return threshold.Ed25519.ID
	case protocol == "frost":
		return threshold.BIP340.ID
	}
	return threshold.ECDSA.ID
}

// initiateSign signs for a signature. A wallet that is named by its public key alone is looked up, and held to that key.
func (c *Client) initiateSign(ctx context.Context, q *SignRequest) (h http.Header, err error) {
	if c.initiator == nil || q.Initiation != nil {
		return nil, nil
	}
	if q.WalletID, err = c.walletOf(ctx, q.WalletID, q.PublicKey); err != nil {
		return nil, err
	}
	message := q.Message
	if len(message) == 0 {
		message = q.MessageHash
	}
	in := attest.Intent{Operation: attest.OpSign, RequestID: q.SessionID, KeyID: q.WalletID, Message: attest.Hex(message), Chain: q.Chain}
	if q.DerivationPath != "" {
		if in.Path, err = wire.ParsePath(q.DerivationPath); err != nil {
			return nil, fmt.Errorf("%w: derivation_path: %w", ErrUnsent, err)
		}
	}
	if t := q.Transaction; t != nil {
		in.Payload = &attest.Payload{Format: intent.Format(t.Format), Bytes: attest.Hex(t.Bytes), Input: t.Input}
	}
	q.Initiation, h, err = c.initiate(in)
	return h, err
}

// initiateRefresh signs for a refresh.
func (c *Client) initiateRefresh(ctx context.Context, q *RefreshRequest) (h http.Header, err error) {
	if c.initiator == nil || q.Initiation != nil {
		return nil, nil
	}
	if q.WalletID, err = c.walletOf(ctx, q.WalletID, q.PublicKey); err != nil {
		return nil, err
	}
	q.Initiation, h, err = c.initiate(attest.Intent{Operation: attest.OpRefresh, RequestID: q.SessionID, KeyID: q.WalletID})
	return h, err
}

// walletOf is the wallet's ID. One that a node tells of a public key must be the name of that key.
func (c *Client) walletOf(ctx context.Context, id string, pub Hex) (string, error) {
	if id != "" {
		return id, nil
	}
	w, err := c.Wallet(ctx, pub.String())
	if err != nil {
		return "", err
	}
	for _, k := range threshold.Kinds() {
		if key := groupKey(k, pub); key != nil && attest.KeyID(k.ID, key) == w.WalletID {
			return w.WalletID, nil
		}
	}
	return "", fmt.Errorf("client: the node says that %s is wallet %q, whose name is of another key: ask another node", pub, w.WalletID)
}

// groupKey is the key of a kind that a public key in any of its forms names, as wallets are named by it; nil where it is none.
func groupKey(k threshold.Kind, pub []byte) []byte {
	key := k.Shown(pub)
	switch {
	case key == nil:
		return nil
	case k.Forms[0] == threshold.FormXOnly: // the even point (BIP 340)
		return append([]byte{2}, key...)
	case k.Forms[0] == threshold.FormUncompressed:
		return append([]byte{2 | key[len(key)-1]&1}, key[1:33]...)
	}
	return key
}
