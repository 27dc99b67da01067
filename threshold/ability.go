package threshold

import (
	"io"

	"github.com/luxfi/mpcd/internal/secret"
)

// PairState is one party's secrets with every other party of a committee, made once for all keys of the committee
// (for DKLs23 the oblivious-transfer correlations of its pairs). It belongs to one pair-epoch. It may be used by many sessions
// at once; Destroy takes effect when they have ended.
type PairState interface {
	// Digest is the same for all parties: what they certify, and what a proposal names.
	Digest() [32]byte
	// PairEpoch is a number to tell pair states of a committee by, from 1. It orders nothing: the digest says which one it is.
	PairEpoch() uint64
	// Bytes encodes it, secrets included and with its version, for the vault. Of a banned peer nothing is left in it but the ban.
	Bytes() *secret.Bytes
	// Ban destroys what is shared with the peer: sessions with it end, new ones are refused. A fault of kind Ban does so by
	// itself; the caller stores Bytes again before the abort is told.
	Ban(peer PartyID)
	Banned() []PartyID
	Destroy()
}

// Pairer is a scheme whose signers need pair state. Without it, the scheme makes and refreshes keys, observes, combines and verifies.
type Pairer interface {
	Scheme
	// NewPairState prepares the ceremony that makes pair state among the whole committee; epoch, from 1, is another than the current.
	NewPairState(s Setup, epoch uint64, rand io.Reader) (*Session[PairState], error)
	// ParsePairState reads what PairState.Bytes wrote.
	ParsePairState(b []byte) (PairState, error)
	// WithPairState is the scheme for one party's signing, with that party's pair state, which stays its owner's. What the scheme
	// can do besides, it can still do. It refuses the pair state of another scheme.
	WithPairState(p PairState) (Scheme, error)
}

// Pooler is a scheme whose presigning is dear: presignatures are worth keeping for requests still to come. Those that Presign makes
// are for any request of their keys; each needs Agree before it signs.
type Pooler interface {
	Scheme
	// PresignFor makes presignatures for exactly the requests given, one of each key. They are bound into the session, so these
	// presignatures need no Agree.
	PresignFor(s Setup, keys []PresignKey, reqs []SignRequest, rand io.Reader) (*Session[[]*Presignature], error)
	// Agree binds presignatures that were made for any request, all of the same signers, to one request each (PROTOCOLS A.3.5).
	// The result goes into SignRequest.Agreement of every request. A session that fails burns them.
	Agree(s Setup, reqs []SignRequest, rand io.Reader) (*Session[[][32]byte], error)
}

// Deriver is a scheme that signs with the keys below a key of its own by public derivation (BIP 32).
type Deriver interface {
	Scheme
	// Derive follows unhardened indexes from the key to a child: its public key in the scheme's encoding of group keys, its chain
	// code, and the tweaks that make a signature of the key one of the child. It is a function of the key's public record, the same
	// for everybody: who signs, and who judges a signature, derives for himself and takes nobody's word for a tweak. An empty path
	// is the key itself, without tweaks. A path is refused if an index is hardened (2³¹ and above), if it is longer than 255, and,
	// which no search will find, if it has no child.
	Derive(info KeyInfo, path []uint32) (pub []byte, chain [32]byte, tweaks []Tweak, err error)
}

// Recoverer is a scheme whose signatures have a recovery ID, 0 to 3, which tells their key among those that they could be of.
type Recoverer interface {
	Scheme
	// RecoveryID is Verify, and tells the one recovery ID that the signature has under the key.
	RecoveryID(groupKey []byte, tweaks []Tweak, message, sig []byte) (int, error)
}
