package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
)

// identitySecret is the name under which the vault keeps what a node's identity and HPKE keys are made from: a byte of its version, and
// 64 random ones.
const (
	identitySecret  = "identity"
	identityVersion = 1
	identityLen     = 1 + 64
)

// identity opens the node's identity from the vault.
func identity(ctx context.Context, node transport.NodeID, v *vault.Vault) (transport.Identity, transport.Peer, error) {
	seed, err := v.GetSecret(ctx, identitySecret)
	if err != nil {
		return transport.Identity{}, transport.Peer{}, fmt.Errorf("identity key: %w", err)
	}
	defer seed.Wipe()
	b := seed.Bytes()
	const what = "the identity in the vault"
	switch {
	case len(b) != identityLen:
		err = problem.Unreadable(what, problem.Restore, fmt.Errorf("%d bytes, not %d", len(b), identityLen))
	case b[0] != identityVersion:
		err = problem.Unreadable(what, problem.Restore, &canon.VersionError{Got: b[0], Want: identityVersion})
	default:
		return transport.NewIdentity(node, bytes.NewReader(b[1:]))
	}
	return transport.Identity{}, transport.Peer{}, err
}

// makeIdentity makes the identity of a new node in its vault; one that is there is kept.
func makeIdentity(ctx context.Context, node transport.NodeID, v *vault.Vault, random io.Reader) (transport.Identity, transport.Peer,
	error) {
	id, peer, err := identity(ctx, node, v)
	if !errors.Is(err, vault.ErrNotFound) {
		return id, peer, err
	}
	seed := secret.New(identityLen)
	defer seed.Wipe()
	seed.Bytes()[0] = identityVersion
	if _, err := io.ReadFull(random, seed.Bytes()[1:]); err != nil {
		return id, peer, err
	}
	if err := v.PutSecret(ctx, identitySecret, seed.Bytes()); err != nil {
		return id, peer, err
	}
	return identity(ctx, node, v)
}

// remade is what to do about a node whose data directory is another than the one enrolled: a roster gives no name to another identity.
func remade(node string) string {
	return "put the data directory back that was enrolled; if it is lost, `mpcd node roster remove " + node + "` at the operator's, and " +
		"`mpcd node enroll --new DIR` here, under another name"
}

// enrolledIdentity opens the identity, which must be the one that the roster has, with its witness key, where the roster has that.
func enrolledIdentity(ctx context.Context, v *vault.Vault, m attest.RosterNode) (transport.Identity, error) {
	id, peer, err := identity(ctx, transport.NodeID(m.ID), v)
	if err == nil && (!bytes.Equal(m.Identity, peer.Identity) || !bytes.Equal(m.Seal, peer.HPKE) ||
		len(m.WitnessKey) > 0 && !bytes.Equal(m.WitnessKey, peer.WitnessKey)) {
		err = &fault.Error{Code: fault.CodeIntegrity, Err: fmt.Errorf("the identity in the vault is not the one the roster has for %s", m.ID),
			Do: remade(m.ID)}
	}
	return id, err
}
