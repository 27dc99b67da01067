package threshold

import (
	"io"

	"github.com/luxfi/mpcd/internal/secret"
)

// Ceremony is a Session, or something that wraps one: what the appliance drives.
type Ceremony[R any] interface {
	Start() ([]Message, error)
	Step(m Message) ([]Message, error)
	Missing() []PartyID
	Round() int
	Result() (R, bool)
	Erase()
}

// Provision is one party's secret material with every other party of a committee, made once for all keys of the committee
// (for DKLs23 the oblivious-transfer correlations of its pairs). It belongs to one pair-epoch. It may be used by many sessions
// at once; Destroy takes effect when they have ended.
type Provision interface {
	// Digest is the same for all parties: what they certify, and what a proposal names.
	Digest() [32]byte
	// PairEpoch counts the provisions of a committee, from 1.
	PairEpoch() uint64
	// Bytes encodes it, secrets included, for the vault. Of a banned peer nothing is left in it but the ban.
	Bytes() *secret.Bytes
	// Ban destroys what is shared with the peer: sessions with it end, new ones are refused. A fault of kind Ban does so by
	// itself; the caller stores Bytes again before the abort is told.
	Ban(peer PartyID)
	Banned() []PartyID
	Destroy()
}

// Provisioner is a scheme that presigns only with a Provision.
type Provisioner interface {
	Scheme
	// NewProvision prepares the ceremony that makes a provision among the whole committee; epoch is higher than any before.
	NewProvision(s Setup, epoch uint64, rand io.Reader) (Ceremony[Provision], error)
	ParseProvision(b []byte) (Provision, error)
	// PresignFor makes presignatures for exactly the requests given, one of each key, with the provision, which is nil on an
	// observer. The requests are bound into the session, so SignShare needs no agreement. Nil requests make presignatures for
	// any request of their keys: each needs Agree before SignShare.
	PresignFor(p Provision, s Setup, keys []PresignKey, reqs []SignRequest, rand io.Reader) (*Session[[]*Presignature], error)
	// Agree binds presignatures that were made for any request, all of the same signers, to one request each (PROTOCOLS A.3.5).
	// The result goes into SignRequest.Agreement of every request. A session that fails burns them.
	Agree(s Setup, reqs []SignRequest, rand io.Reader) (*Session[[][32]byte], error)
	// MaxBatch is the most requests of one PresignFor, and of one Agree.
	MaxBatch() int
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
