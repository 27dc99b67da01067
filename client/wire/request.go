package wire

// KeygenRequest asks for a new key: POST /api/v1/keygen.
type KeygenRequest struct {
	SessionID string   `json:"session_id,omitempty"` // idempotency key, at most 128 bytes; the client makes one if empty
	Threshold int      `json:"threshold,omitempty"`  // signers needed; 0 takes the cluster's default
	Total     int      `json:"total,omitempty"`      // parties; 0 takes len(Parties), or the cluster's default
	Parties   []string `json:"parties,omitempty"`    // who holds shares; empty lets the node choose
	Curve     string   `json:"curve"`                // "ed25519", "secp256k1"
	Protocol  string   `json:"protocol,omitempty"`   // "dkls23", "frost"; empty takes the fastest sound one
	Label     string   `json:"label,omitempty"`      // at most 128 bytes
	// Initiation is an initiator's signature that it wants this: attest.Intent.InitiationMessage.
	Initiation *Initiation `json:"initiation,omitempty"`
	Approvals  []Approval  `json:"approvals,omitempty"` // of this initiation, where the rules want them
}

// Initiation is an initiator's word on a request, for which its session_id must be given, and its wallet or all of the new key's numbers.
type Initiation struct {
	By        string `json:"by"`         // name of the initiator in the cluster's authority
	Expires   int64  `json:"expires_ms"` // Unix milliseconds, at most a week ahead
	Signature Hex    `json:"signature"`  // 64 bytes
}

// SignRequest asks for one signature: POST /api/v1/sign. The key is named by PublicKey or WalletID. What is signed stands in
// exactly one of Transaction, MessageHash and Message, the latter two raw: for ECDSA and BIP-340 the 32-byte digest that the chain
// computes, which is not hashed again; for Ed25519 the message itself, at most 64 KiB. DerivationPath has an ECDSA wallet sign with a key
// below its own.
type SignRequest struct {
	SessionID   string `json:"session_id,omitempty"`
	PublicKey   Hex    `json:"public_key,omitempty"`
	WalletID    string `json:"wallet_id,omitempty"`
	MessageHash Hex    `json:"message_hash,omitempty"`
	Message     Hex    `json:"message,omitempty"`
	// Transaction is in the place of a message: Chain says of which network it is.
	Transaction *Transaction `json:"transaction,omitempty"`

	Signers        []string `json:"signers,omitempty"`         // empty lets the node choose
	DerivationPath string   `json:"derivation_path,omitempty"` // as ParsePath reads it; empty signs with the wallet key
	// what the signature is for, as Wallet.Addresses names it; stands in the receipt
	Chain      string      `json:"chain,omitempty"`
	Initiation *Initiation `json:"initiation,omitempty"`
	Approvals  []Approval  `json:"approvals,omitempty"` // as of KeygenRequest; without, what wants them waits as an operation
}

// Transaction is a payload as its network writes it before it is signed: every signer reads it for itself.
type Transaction struct {
	Format string `json:"format"` // one of intent.Formats of the chain
	Bytes  Hex    `json:"bytes"`
	Input  int    `json:"input,omitempty"` // that is to be signed, of a psbt
}

// RefreshRequest asks for new shares of the same key: POST /api/v1/refresh. The New fields may only repeat what is, in a build
// that refreshes within the same committee.
type RefreshRequest struct {
	SessionID    string   `json:"session_id,omitempty"`
	PublicKey    Hex      `json:"public_key,omitempty"`
	WalletID     string   `json:"wallet_id,omitempty"`
	NewThreshold int      `json:"new_threshold,omitempty"`
	NewTotal     int      `json:"new_total,omitempty"`
	NewParties   []string `json:"new_parties,omitempty"`
	Release      []string `json:"release,omitempty"` // nodes whose bans by the answering node end

	Initiation *Initiation `json:"initiation,omitempty"`
	Approvals  []Approval  `json:"approvals,omitempty"` // as of KeygenRequest
}

// Approval is an approver's word, with the request or on its operation, POST /api/v1/operations/{id}/approvals:
// attest.Intent.ApprovalMessage.
type Approval struct {
	By        string `json:"by"`         // name of the approver in the cluster's authority
	Expires   int64  `json:"expires_ms"` // Unix milliseconds, at most a week ahead
	Signature Hex    `json:"signature"`  // 64 bytes
	Rejects   bool   `json:"rejects,omitempty"`
	// Assertion is what a passkey has signed; nil for the word of a key that signs as it is.
	Assertion *Assertion `json:"assertion,omitempty"`
}

// Assertion is what an authenticator of WebAuthn signed: attest.Assertion.
type Assertion struct {
	AuthenticatorData Hex `json:"authenticator_data"` // 37 bytes
	ClientData        Hex `json:"client_data_json"`   // as the browser wrote it, at most 1024 bytes
}

// Cancellation is an initiator's word that it takes its request back, POST /api/v1/operations/{id}/cancel: attest.Intent.CancelMessage.
type Cancellation struct {
	Signature Hex `json:"signature"` // 64 bytes
}

// FreezeRequest stops all that is done with a wallet, a vault or the cluster: POST /api/v1/freezes.
type FreezeRequest struct {
	Scope  string `json:"scope"`          // cluster, vault, wallet
	Name   string `json:"name,omitempty"` // the vault's, or the wallet's; none of the cluster
	Reason string `json:"reason"`
}

// ThawRequest is the officers' word that a freeze is over, POST /api/v1/freezes/{id}/thaw: attest.Thaw.
type ThawRequest struct {
	Signatures []OfficerWord `json:"signatures"`
}

// OfficerWord is one officer's signature.
type OfficerWord struct {
	By        string `json:"by"`
	Signature Hex    `json:"signature"` // 64 bytes
}
