package appliance

import (
	"time"

	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// Limits on what callers may ask.
const (
	// MaxMessage is the longest EdDSA message to sign, in bytes.
	MaxMessage = 64 << 10
	// listNodes is what to do about the name of a node that is none.
	listNodes = "name nodes that `mpcd node list` lists, or GET /api/v1/nodes"
	// MaxLabel is the longest label, in bytes.
	MaxLabel = 128
)

// KeygenRequest asks for a new key.
type KeygenRequest struct {
	SessionID string             // idempotency key; made if empty
	Threshold int                // signers needed; 0 takes the cluster's default
	Total     int                // parties; 0 takes len(Parties), or the cluster's default
	Parties   []transport.NodeID // who holds shares; nil takes the first Total nodes of the roster, whichever node is asked
	Curve     string             // "ed25519", "secp256k1"
	Protocol  string             // "frost", "dkls23"; empty takes the fastest sound one
	Label     string
	Group     string // a name to group wallets by; may be empty
	Requester string // who asked, as authenticated
	BodyHash  [32]byte
	Consent
}

// Consent is who signed that a request is wanted, and may be done.
type Consent struct {
	// Initiation is an initiator's signature that it wants this; nil where the node signs for its callers, in development.
	Initiation *attest.Initiation
	// Field is attest.InitiationField as the request has it, where the initiation is an HTTP message signature.
	Field string
	// Approvals are the words of people that it may be done, ascending by name.
	Approvals []attest.Approval
}

// SignRequest asks for one signature.
type SignRequest struct {
	SessionID string             // idempotency key; made if empty
	WalletID  string             // or PublicKey
	PublicKey []byte             // any valid encoding of the wallet's public key
	Path      []uint32           // ECDSA: BIP-32 indexes below the wallet key, none hardened, at most MaxPath; nil signs with the wallet key
	Message   []byte             // EdDSA: the message; BIP-340, ECDSA: the 32-byte digest; or Payload
	Payload   *attest.Payload    // what the message is made of, on the network that Chain names
	Signers   []transport.NodeID // nil lets the node choose
	Chain     string             // for the receipt
	Requester string
	BodyHash  [32]byte
	Consent
}

// RefreshRequest asks for new shares of the same key.
type RefreshRequest struct {
	SessionID string
	WalletID  string
	PublicKey []byte
	Requester string
	BodyHash  [32]byte
	Consent
	Release []transport.NodeID // ends this node's bans of these nodes, with the pair state that the refresh makes
}

// Wallet is a key as the outside sees it.
type Wallet struct {
	SessionID   string
	ID          string // "w_…", derived from the group key
	Label       string
	Group       string
	Kind        threshold.Kind
	Protocol    string // that signs, where nobody says otherwise: "frost", "dkls23"
	PublicKey   []byte // Kind's first form: Ed25519 32 bytes; BIP-340 32 bytes, x-only output key; ECDSA 65 bytes, uncompressed
	Threshold   int
	Parties     []transport.NodeID
	Epoch       uint64
	State       keys.State
	Created     time.Time
	Coordinator transport.NodeID // of the request that this answers; empty in lists
}

// Child is a key below a wallet's.
type Child struct {
	WalletID  string
	Path      []uint32
	PublicKey []byte // as Wallet.PublicKey
}

// Signature is the answer to a SignRequest.
type Signature struct {
	SessionID   string
	WalletID    string
	Path        []uint32 // as in the request
	PublicKey   []byte   // what it verifies under: the wallet's, or the child's at Path
	Bytes       []byte
	RecoveryID  int // -1 where there is none
	Signers     []transport.NodeID
	ReceiptID   string
	Receipt     *attest.Receipt
	Coordinator transport.NodeID // that led the ceremony
}

// NodeStatus is what a node knows of a member of the roster.
type NodeStatus struct {
	ID       transport.NodeID
	Party    threshold.PartyID
	Self     bool
	Live     bool
	LastSeen time.Time // zero if never
	Version  string
	Facility string
	Accused  bool          // an abort named it since this process started
	Limited  bool          // its proposals are refused, for what came to nothing of them or nobody asked for
	Ready    bool          // it can sign, as it says and as this node sees
	Trouble  string        // why not, in words
	Ahead    time.Duration // of our clock, lately
	Behind   int           // keys of which it holds no share, or an older one
}

// Check is one line of readiness.
type Check struct {
	Name   string
	OK     bool
	Detail string
	Next   string // what to do about it, where no waiting heals it; "" where it may
	Heals  bool   // waiting may heal it, though Next says more than to wait
}

// Words are Detail and Next in one line.
func (c Check) Words() string {
	if c.Next == "" {
		return c.Detail
	}
	return c.Detail + ": " + c.Next
}

// Readiness tells whether the node can serve a signature now.
type Readiness struct {
	Ready  bool
	Checks []Check
	Serial uint64 // of the roster in use
	Roster string // its fingerprint
	Margin int    // how many nodes more can sign than are needed, of the key with the fewest to spare; negative if too few can
}

// Page asks for a part of a list.
type Page struct {
	Size   int      // 1 to 1000; 0 means 100
	Token  string   // where the page before ended; "" starts
	Vaults []string // of wallets: those of these vaults alone, "" for those of none; nil is all
}
