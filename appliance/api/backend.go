package api

import (
	"context"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/attest"
)

// Backend is the node, as the API needs it. Implementations are safe for concurrent use and fail with *problem.Error.
//
// Keygen, Sign and Refresh owe idempotency: for a SessionID seen before with the same BodyHash, which is of what is
// asked for, they return the same values, also after a restart, and for another BodyHash they fail with problem.Conflict.
type Backend interface {
	Keygen(ctx context.Context, r appliance.KeygenRequest) (*appliance.Wallet, error)
	Sign(ctx context.Context, r appliance.SignRequest) (*appliance.Signature, error)
	Refresh(ctx context.Context, r appliance.RefreshRequest) (*appliance.Wallet, error)
	// ProveThreshold runs the proof again: every quorum signs, one signer fewer does not.
	ProveThreshold(ctx context.Context, walletID string) (*appliance.Wallet, error)
	// Wallet finds a wallet by its id, or by its public key in lower-case hex without 0x: 32 bytes of Ed25519 or BIP-340, or the 65
	// of an uncompressed secp256k1 point, which is an ECDSA key or else stands for the BIP-340 key of its x coordinate.
	Wallet(ctx context.Context, idOrPublicKeyHex string) (*appliance.Wallet, error)
	// Derive shows the key that a path leads to below an active wallet. It fails with CodeUnsupported where the wallet's scheme derives
	// none; an empty path is the wallet's key. It, and Sign for the path of its request, name derivation_path as the field at fault.
	Derive(ctx context.Context, walletID string, path []uint32) (*appliance.Child, error)
	// Wallets returns a page and the token of the next one, empty at the end.
	Wallets(ctx context.Context, p appliance.Page) ([]appliance.Wallet, string, error)
	// Operation shows a request that waits for people, or did, by its session_id; Operations lists those of one state, "" of all.
	Operation(ctx context.Context, session string) (*appliance.Operation, error)
	Operations(ctx context.Context, state appliance.OperationState) ([]appliance.Operation, error)
	// Later has a request done that its caller does not wait for; nil where only who waits can have it. Follow has a channel filled when an
	// operation has changed, or may have, until stop is called.
	Later(ctx context.Context, r appliance.Request) (*appliance.Operation, error)
	Follow(session string) (changed <-chan struct{}, stop func())
	// Approve takes an approver's word, that a request may be done or that it may not; Cancel the initiator's that it takes it back.
	Approve(ctx context.Context, session string, x attest.Approval) (*appliance.Operation, error)
	Cancel(ctx context.Context, session string, signature []byte) (*appliance.Operation, error)
	// Freeze freezes the cluster, a vault or a wallet; Freezes lists what is frozen, or was; Thaw takes the officers' word on a freeze.
	Freeze(ctx context.Context, r appliance.FreezeRequest) (*appliance.FreezeState, error)
	Freezes(ctx context.Context) ([]appliance.FreezeState, error)
	Thaw(ctx context.Context, id attest.Hash, signatures []attest.AuthoritySignature) (*appliance.FreezeState, error)
	Nodes() []appliance.NodeStatus
	Receipt(ctx context.Context, id string) (*attest.Receipt, error)
	// Audit returns a page and the token of the next one, empty at the end.
	Audit(ctx context.Context, p appliance.Page) ([]audit.Entry, string, error)
	// Checkpoints are the newest of the node's own audit log and of those it has witnessed.
	Checkpoints(ctx context.Context) ([]appliance.Checkpoint, error)
	Readiness() appliance.Readiness
	Version() string
}
