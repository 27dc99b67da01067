package wire

import (
	"encoding/json"
	"time"
)

// The values of status.
const (
	StatusCompleted = "completed" // the key signs; the signature is there
	StatusPending   = "pending"   // the key exists and is not active yet
)

// Wallet is a key as the outside sees it.
type Wallet struct {
	SessionID   string            `json:"session_id,omitempty" doc:"Idempotency key of the ceremony that made this answer."`
	WalletID    string            `json:"wallet_id" example:"w_5f1c" doc:"Name of the key, derived from its public key."`
	Label       string            `json:"label,omitempty"`
	Group       string            `json:"vault,omitempty" doc:"The name the wallet is grouped under."`
	PublicKey   Hex               `json:"public_key" doc:"ECDSA: 65 bytes, the uncompressed point. Ed25519: 32 bytes. BIP-340: 32 bytes, the x-only output key."`
	Address     string            `json:"address" doc:"The address on the primary chain of this kind of key: Ethereum (EIP-55), Solana, Bitcoin Taproot."`
	Addresses   map[string]string `json:"addresses" doc:"Every address of the key, by chain."`
	Protocol    string            `json:"protocol" example:"dkls23" doc:"What really ran."`
	Curve       string            `json:"curve" example:"secp256k1"`
	Threshold   int               `json:"threshold" example:"2" doc:"Signers needed."`
	Total       int               `json:"total" example:"3" doc:"Parties that hold a share."`
	Parties     []string          `json:"parties" doc:"The nodes that hold a share."`
	Epoch       uint64            `json:"epoch" doc:"How often the shares were made anew."`
	State       string            `json:"state" example:"active" doc:"staged, proving or active; only an active key signs."`
	Created     *time.Time        `json:"created,omitempty"`
	Coordinator string            `json:"coordinator,omitempty" example:"node1" doc:"In the answer of a request: the node that led the ceremony, whichever node answers."`
	Status      string            `json:"status" example:"completed" doc:"completed once the key is active, pending before."`
}

// VaultWallet is a Wallet with its keys and addresses also under the names that client banks use.
type VaultWallet struct {
	Wallet
	ECDSAPubKey   Hex    `json:"ecdsa_pub_key,omitempty" doc:"ECDSA wallets: the uncompressed point."`
	EdDSAPubKey   Hex    `json:"eddsa_pub_key,omitempty" doc:"Ed25519 wallets: the public key."`
	SchnorrPubKey Hex    `json:"schnorr_pub_key,omitempty" doc:"BIP-340 wallets: the x-only output key."`
	ETHAddress    string `json:"eth_address,omitempty"`
	BTCAddress    string `json:"btc_address,omitempty" doc:"bc1q of an ECDSA wallet, bc1p of a BIP-340 wallet."`
	SOLAddress    string `json:"sol_address,omitempty"`
	XRPAddress    string `json:"xrp_address,omitempty"`
	DOTAddress    string `json:"dot_address,omitempty"`
	ADAAddress    string `json:"ada_address,omitempty"`
}

// WalletList is a page of wallets.
type WalletList struct {
	Wallets       []Wallet `json:"wallets"`
	NextPageToken string   `json:"next_page_token" doc:"Pass it as page_token for the next page; empty at the end."`
}

// Child is a key below a wallet's own, as BIP 32's public derivation gives it. It signs by SignRequest.DerivationPath.
type Child struct {
	WalletID       string            `json:"wallet_id" example:"w_5f1c" doc:"The wallet that signs for it."`
	DerivationPath string            `json:"derivation_path" example:"m/0/5" doc:"From the wallet's key to this one."`
	PublicKey      Hex               `json:"public_key" doc:"65 bytes, the uncompressed point."`
	Address        string            `json:"address" doc:"As a wallet's: Ethereum (EIP-55)."`
	Addresses      map[string]string `json:"addresses" doc:"Every address of the key, by chain."`
	Protocol       string            `json:"protocol" example:"dkls23" doc:"What makes its signatures."`
	Curve          string            `json:"curve" example:"secp256k1"`
}

// Signature is the answer to a SignRequest. It verified under PublicKey before it left the node.
type Signature struct {
	SessionID      string            `json:"session_id,omitempty"`
	WalletID       string            `json:"wallet_id"`
	PublicKey      Hex               `json:"public_key,omitempty" doc:"What the signature verifies under, written as a wallet's: the wallet's key, or the key below it at derivation_path."`
	DerivationPath string            `json:"derivation_path,omitempty" example:"m/0/5" doc:"The path of the request, if it had one."`
	Address        string            `json:"address,omitempty" doc:"With derivation_path: the address of public_key, as a wallet's."`
	Addresses      map[string]string `json:"addresses,omitempty" doc:"With derivation_path: every address of public_key, by chain."`
	Protocol       string            `json:"protocol" example:"dkls23" doc:"What really ran."`
	Signature      Hex               `json:"signature" doc:"64 bytes. ECDSA: r and s, big-endian, s in the lower half. Ed25519 and BIP-340: R and s, as RFC 8032 and BIP-340 write them."`
	RecoveryID     *int              `json:"recovery_id,omitempty" doc:"ECDSA only: which key r and s recover to (SEC 1 §4.1.6). 0 or 1, the parity of the nonce point's y; 2 is added where its x is not below the group order, which happens about once in 2^127 signatures. Ethereum's y_parity."`
	R              Hex               `json:"r" doc:"The first 32 bytes of the signature."`
	S              Hex               `json:"s" doc:"The last 32 bytes of the signature."`
	V              *int              `json:"v,omitempty" doc:"ECDSA only: 27 + recovery_id, as Ethereum's ecrecover and signed messages (EIP-191) take it. Not the v of a transaction: one of EIP-155 has 35 + 2 * chain id + recovery_id, typed ones have recovery_id."`
	Status         string            `json:"status" example:"completed"`
	Signers        []string          `json:"signers" doc:"The nodes whose shares made it."`
	ReceiptID      string            `json:"receipt_id,omitempty" doc:"GET /api/v1/receipts/{id} returns the chain of evidence, from any node."`
	Coordinator    string            `json:"coordinator" example:"node1" doc:"The node that led the ceremony, whichever node answers."`
}

// Node is what the answering node knows of a member of the roster.
type Node struct {
	ID       string     `json:"id" example:"node1"`
	Party    int        `json:"party" doc:"The node's number in committees."`
	Self     bool       `json:"self" doc:"True for the node that answers."`
	Live     bool       `json:"live"`
	LastSeen *time.Time `json:"last_seen,omitempty"`
	Version  string     `json:"version,omitempty"`
	Facility string     `json:"facility,omitempty"`
	Accused  bool       `json:"accused" doc:"An abort named the node since the answering one started."`
	Limited  bool       `json:"limited,omitempty" doc:"The answering node refuses its proposals: too many came to nothing, or were unasked for."`
	Ready    bool       `json:"ready" doc:"The node can sign, as it says and as the answering one sees."`
	Trouble  string     `json:"trouble,omitempty" doc:"Why not: gone, not ready, a clock that is off, two runs of one node."`
	AheadMS  int64      `json:"clock_ahead_ms" doc:"By how much its clock is ahead of the answering node's, in milliseconds; below zero behind."`
}

// NodeList is the roster.
type NodeList struct {
	Nodes []Node `json:"nodes"`
}

// AuditEntry is one line of the audit log.
type AuditEntry struct {
	Seq    uint64            `json:"seq"`
	TimeMS int64             `json:"time_ms" doc:"Milliseconds since 1970, UTC."`
	Node   string            `json:"node"`
	Event  string            `json:"event"`
	Facts  map[string]string `json:"facts,omitempty"`
}

// Event is what a webhook of events is told of an entry of a node's audit log: the body of a Standard Webhooks message.
type Event struct {
	Type      string     `json:"type"` // Data.Event
	Timestamp time.Time  `json:"timestamp"`
	Data      AuditEntry `json:"data"`
}

// AuditList is a page of the audit log.
type AuditList struct {
	Entries       []AuditEntry `json:"entries"`
	NextPageToken string       `json:"next_page_token"`
}

// Check is one line of readiness.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
	Next   string `json:"next,omitempty" doc:"What to do about it, where no waiting heals it."`
}

// Health is the answer of the health endpoints.
type Health struct {
	Status  string  `json:"status" example:"ok"`
	Version string  `json:"version,omitempty"`
	Ready   bool    `json:"ready" required:"false" doc:"Whether the node can serve a signature now; /livez and /startupz do not say."`
	Checks  []Check `json:"checks,omitempty"`
	Serial  uint64  `json:"roster_serial,omitempty" doc:"Of the roster in use; /healthz alone says it."`
	Roster  string  `json:"roster,omitempty" doc:"The fingerprint of the roster in use; /healthz alone says it."`
}

// Operation is a request that waits for people to approve it, or did, as the answering node knows it.
type Operation struct {
	ID        string          `json:"id" doc:"The session_id of the request."`
	State     string          `json:"state" enum:"PENDING_APPROVAL,RUNNING,SUCCEEDED,FAILED,EXPIRED,CANCELLED" doc:"RUNNING: enough have approved it; it is done now, or tried again until it expires."`
	Needs     map[string]int  `json:"needs,omitempty" doc:"PENDING_APPROVAL: of which groups of approvers how many must have approved, in all."`
	Approved  []string        `json:"approved" doc:"Who has approved it."`
	Rejected  []string        `json:"rejected" doc:"Who has rejected it, for good."`
	Why       string          `json:"why,omitempty" doc:"Why it failed, or cannot be judged now."`
	ReceiptID string          `json:"receipt_id,omitempty" doc:"SUCCEEDED: that of the signature; the request, repeated, has the signature."`
	Operation string          `json:"operation" enum:"sign,keygen,refresh" doc:"What is asked for; the request, repeated, has the answer when it has SUCCEEDED."`
	WalletID  string          `json:"wallet_id" doc:"The wallet; of a keygen the one that was made, empty before it has SUCCEEDED."`
	Initiator string          `json:"initiator" doc:"Who asks, in the cluster's authority."`
	ExpiresMS int64           `json:"expires_ms" doc:"Unix time in ms until which it waits."`
	Intent    json.RawMessage `json:"intent" doc:"What is asked for, as the receipt of a signature will have it; an approver reads this and signs for it."`
	Key       json.RawMessage `json:"key,omitempty" doc:"The wallet's key, as receipts have it; none of a keygen."`
	Cluster   string          `json:"cluster" doc:"Whose authority it is under."`
}

// Freeze is what a node has frozen, as the answering node knows it.
type Freeze struct {
	ID        string          `json:"id" doc:"The digest of the statement, by which officers thaw it."`
	Frozen    string          `json:"frozen" example:"wallet w_5f1c" doc:"What it covers, in words."`
	Reason    string          `json:"reason" doc:"Why, as whoever froze it says."`
	InForce   bool            `json:"in_force" doc:"False once officers have thawed it."`
	Statement json.RawMessage `json:"statement" doc:"What the node's token attested: scope, name, reason, node and time."`
	Authority string          `json:"authority" doc:"The digest of the authority in force, under which officers thaw it."`
	ThawedBy  []string        `json:"thawed_by" doc:"The officers who did."`
	Note      string          `json:"note,omitempty" doc:"Of a new freeze, in words: that the node knows no wallet of the vault, as where its name was misspelled."`
}

// Checkpoint is the newest head of a node's audit log that its token signed and the node asked has cosigned; of its own log, with the
// cosignatures of others.
type Checkpoint struct {
	Node        string `json:"node"`
	Entries     uint64 `json:"entries" doc:"How many the log had."`
	Checkpoint  string `json:"checkpoint" doc:"The signed note (C2SP tlog-checkpoint) with cosignatures (C2SP tlog-cosignature)."`
	Trouble     string `json:"trouble,omitempty" doc:"What is wrong with that log, in words; absent where nothing is."`
	Before      string `json:"before,omitempty" doc:"The last that the node asked had cosigned of a log that did not grow on, where there was one."`
	WitnessedMS int64  `json:"witnessed_ms" doc:"When the node asked has cosigned it; of its own, when another has. Unix milliseconds, 0 if never."`
	// CosignedBy is who, by the cosignatures in it, and CosignedMLDSA who of them by ML-DSA-44 too.
	CosignedBy    []string `json:"cosigned_by" doc:"The nodes that have cosigned it."`
	CosignedMLDSA []string `json:"cosigned_mldsa" doc:"Those of them that have by ML-DSA-44 too, and not by Ed25519 alone."`
}

// CheckpointList is one for each node whose log was seen.
type CheckpointList struct {
	Checkpoints []Checkpoint `json:"checkpoints"`
}

// FreezeList is the freezes that a node knows, those in force first.
type FreezeList struct {
	Freezes []Freeze `json:"freezes"`
}

// OperationList is the operations that a node knows.
type OperationList struct {
	Operations []Operation `json:"operations"`
}
