package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
)

// identitySecret is the name under which the vault keeps the 64 bytes that a node's identity and HPKE keys are made from.
const identitySecret = "identity"

// identity opens the node's identity from the vault.
func identity(ctx context.Context, node transport.NodeID, v *vault.Vault) (transport.Identity, transport.Peer, error) {
	seed, err := v.GetSecret(ctx, identitySecret)
	if err != nil {
		return transport.Identity{}, transport.Peer{}, fmt.Errorf("identity key: %w", err)
	}
	defer seed.Wipe()
	return transport.NewIdentity(node, bytes.NewReader(seed.Bytes()))
}

// makeIdentity makes the identity of a new node in its vault; one that is there is kept.
func makeIdentity(ctx context.Context, node transport.NodeID, v *vault.Vault, random io.Reader) (transport.Identity, transport.Peer,
	error) {
	id, peer, err := identity(ctx, node, v)
	if !errors.Is(err, vault.ErrNotFound) {
		return id, peer, err
	}
	seed := secret.New(64)
	defer seed.Wipe()
	if _, err := io.ReadFull(random, seed.Bytes()); err != nil {
		return id, peer, err
	}
	if err := v.PutSecret(ctx, identitySecret, seed.Bytes()); err != nil {
		return id, peer, err
	}
	return identity(ctx, node, v)
}

// enrolledIdentity opens the identity, which must be the one that the roster has.
func enrolledIdentity(ctx context.Context, v *vault.Vault, m attest.RosterNode) (transport.Identity, error) {
	id, peer, err := identity(ctx, transport.NodeID(m.ID), v)
	if err == nil && (!bytes.Equal(m.Identity, peer.Identity) || !bytes.Equal(m.Seal, peer.HPKE)) {
		err = &fault.Error{Code: fault.CodeIntegrity, Err: fmt.Errorf("the identity in the vault is not the one the roster has for %s", m.ID),
			Do: "use the data directory that was enrolled, or enrol the node anew"}
	}
	return id, err
}
