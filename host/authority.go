package host

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/keyfile"
)

// initiationTTL is how long what a node of dev signs for its callers holds.
const initiationTTL = time.Hour

// ReadAuthority reads a chain of authorities, and holds it against the operator's key.
func ReadAuthority(path string, root ed25519.PublicKey) (attest.AuthorityChain, error) {
	b, err := durable.ReadFile(path, attest.MaxJSON)
	if err != nil {
		return nil, err
	}
	c, err := attest.ParseAuthority(b, root)
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeIntegrity, Err: fault.Doing(path, err), Do: "fetch the authority from the officers again"}
	}
	return c, nil
}

// readAuthority reads what authority names. There may be none yet, where the node has one of its own or the others send one.
func (h *Host) readAuthority() (attest.AuthorityChain, error) {
	if h.config.Authority == "" {
		return nil, nil
	}
	c, err := ReadAuthority(h.config.Authority, ed25519.PublicKey(h.roster.Load().Root))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return c, fault.Doing("authority", err)
}

// loadAuthority tells the node who may ask, and in dev signs for who does not.
func (b *boot) loadAuthority(context.Context) (err error) {
	b.node.Authority, err = b.readAuthority()
	if err != nil || b.config.Initiator == "" {
		return err
	}
	if !b.config.Dev {
		return fault.Usage("take dev.initiator out of mpcd.yaml", "dev.initiator is set: a node that signs for whoever asks is for dev alone")
	}
	key, err := keyfile.Read(b.config.Initiator, nil)
	if err := b.opened.keep(key, err); err != nil {
		return fault.Usage("name the key file of an initiator, which only its owner may read", "dev.initiator: %w", err)
	}
	name, err := initiatorOf(b.node.Authority, key)
	if err != nil {
		return err
	}
	b.options.Log.Warn("dev: this node signs as an initiator whatever it is asked for", "initiator", name)
	b.node.Initiate = func(_ context.Context, in *attest.Intent) (err error) {
		in.Initiation, err = in.Initiate(name, time.UnixMilli(in.Created).Add(initiationTTL), key.Sign)
		return err
	}
	return nil
}

// initiatorOf is the name of the initiator that has a key.
func initiatorOf(c attest.AuthorityChain, key *keyfile.Key) (string, error) {
	der, err := attest.MarshalPublicKey(key.Public())
	if err != nil {
		return "", err
	}
	if len(c) > 0 {
		all := c[len(c)-1].Authority.Initiators
		if i := slices.IndexFunc(all, func(x attest.Initiator) bool { return bytes.Equal(x.Key, der) }); i >= 0 {
			return all[i].Name, nil
		}
	}
	return "", fault.Usage("give the key of an initiator, or have the officers add it",
		"the authority has no initiator with the key of dev.initiator")
}

// takeUpAuthority has the node use the chain in the file, if it is longer than the one in use.
func (h *Host) takeUpAuthority(ctx context.Context) {
	c, err := h.readAuthority()
	if err == nil && c != nil {
		err = h.Node.TakeAuthority(ctx, c)
	}
	if err != nil {
		h.options.Log.Warn("the authority is not taken up", "file", h.config.Authority, "error", err)
	}
}
