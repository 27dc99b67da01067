package tpm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

const (
	provider      = "tpm"
	defaultDevice = "/dev/tpmrm0"
	defaultParent = tpm2.TPMHandle(0x81000001) // the storage root key (TCG TPM v2.0 Provisioning Guidance, table 2)

	parentFirst, parentLast = 0x81000000, 0x817fffff // persistent handles of the owner (part 2, 7.5)

	pinMax      = 32               // bytes: an authorization value is at most a digest of the object's name algorithm
	closeWait   = 2 * time.Second  // for the operation that runs
	connectWait = 30 * time.Second // for a device that does not answer
)

// Token is an open TPM. It is safe for concurrent use; operations are one at a time.
type Token struct {
	uri     *hsm.URI
	options hsm.Options
	log     *slog.Logger
	path    string // of the device
	parent  tpm2.TPMHandle
	pcrs    selection
	pin     *secret.Bytes // nil for none

	life context.Context // ends with Close
	end  context.CancelFunc
	turn chan struct{} // holds one token while an operation runs; all below belongs to that operation

	link    *link
	chip    chip
	root    *root // the parent of all keys; nil if it is not there
	dir     directory
	endorse *endorsement    // nil until it was asked for
	proven  map[string]bool // names of objects whose authorization value was accepted
	closed  bool
}

// The token has every ability of the border.
var (
	_ hsm.Token            = (*Token)(nil)
	_ hsm.PublicKeyer      = (*Token)(nil)
	_ hsm.KeyWrapper       = (*Token)(nil)
	_ hsm.KeyGenerator     = (*Token)(nil)
	_ hsm.KeyLister        = (*Token)(nil)
	_ hsm.RandomSource     = (*Token)(nil)
	_ hsm.MonotonicCounter = (*Token)(nil)
	_ hsm.KeyAttester      = (*Token)(nil)
	_ hsm.OpenFunc         = Open
)

// Open connects to the TPM that the URI names and reads which keys are in it; it changes nothing. Attributes: device= (/dev/tpmrm0),
// handle= (the persistent handle of the keys' parent, 0x81000001), object= (the key for an empty key ID), pin-source= (authorization
// value of the keys, and of the owner and endorsement hierarchies where they have one), pcrs= (sha256:0,2,7: what Wrap binds to).
//
// Errors: ErrURI, ErrNoToken, ErrUnavailable. The authorization value is first tried when a key needs it. It is an hsm.OpenFunc, and
// the hsm.Token is a *Token.
func Open(ctx context.Context, u *hsm.URI, o hsm.Options) (hsm.Token, error) {
	t := &Token{uri: u, options: o, log: o.Log(), path: u.Attr("device"), parent: defaultParent, turn: make(chan struct{}, 1),
		proven: map[string]bool{}}
	if t.path == "" {
		t.path = defaultDevice
	}
	if !filepath.IsAbs(t.path) {
		return nil, fmt.Errorf("tpm: %w: name the device by its full path: tpm:device=%%2Fdev%%2Ftpmrm0", hsm.ErrURI)
	}
	if h := u.Attr("handle"); h != "" {
		n, err := strconv.ParseUint(h, 0, 32)
		if err != nil || n < parentFirst || n > parentLast {
			return nil, fmt.Errorf("tpm: %w: handle= must be a persistent handle of the owner, 0x%x to 0x%x", hsm.ErrURI, parentFirst, parentLast)
		}
		t.parent = tpm2.TPMHandle(n)
	}
	var err error
	if t.pcrs, err = parsePCRs(u.Attr("pcrs")); err != nil {
		return nil, err
	}
	if source := u.Attr("pin-source"); source != "" {
		if t.pin, err = hsm.ReadPIN(source); err != nil {
			return nil, err
		}
		if n := t.pin.Len(); n > pinMax {
			t.pin.Wipe()
			return nil, fmt.Errorf("tpm: %w: the authorization value in pin-source has %d bytes, a TPM takes at most %d", hsm.ErrURI, n, pinMax)
		}
	}
	t.life, t.end = context.WithCancel(context.Background())
	if _, err := run(ctx, t, func(o *op) (struct{}, error) { return struct{}{}, nil }); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// connect opens a link and reads what the TPM is and holds. The caller has the turn.
func (t *Token) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	l, err := dial(ctx, t.path)
	if err != nil {
		return err
	}
	t.link, t.dir, t.root, t.endorse = l, nil, nil, nil
	o := &op{t: t, ctx: ctx}
	if err := o.meet(); err != nil {
		t.drop()
		return err
	}
	return nil
}

// meet asks who answers, and clears away what an earlier connection left.
func (o *op) meet() error {
	var err error
	if o.t.chip, err = o.identify(); err != nil {
		return err
	}
	if !o.t.link.managed {
		if err := o.sweep(); err != nil {
			return explain("flush what was left in the TPM", err)
		}
	}
	if err := o.findRoot(); err != nil {
		return err
	}
	return o.scan(true)
}

// drop gives up the connection.
func (t *Token) drop() {
	if t.link != nil {
		t.link.close()
		t.link = nil
	}
}

// Provider is "tpm".
func (t *Token) Provider() string { return provider }

// Close waits for the operation that runs, at most two seconds, then it cuts it off; it ends the connection and wipes the
// authorization value. Later operations fail with ErrUnavailable. It is idempotent.
func (t *Token) Close() error {
	select {
	case t.turn <- struct{}{}:
	case <-time.After(closeWait):
		t.end()
		t.turn <- struct{}{} // what runs ends with its context
	}
	defer func() { <-t.turn }()
	t.closed = true
	t.end()
	t.drop()
	t.pin.Wipe()
	return nil
}
