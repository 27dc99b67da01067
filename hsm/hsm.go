// Package hsm is the border to security modules: small interfaces, the URIs that name tokens, and a table of drivers.
//
// A token is opened by a URI from a list that the program writes down (Drivers). What it can do is told by the interfaces
// it implements, asked for once, at boot, with As. The package knows neither shares nor vaults.
package hsm

import (
	"context"
	"crypto"
)

// Signer signs with a key that never leaves the token. It is the interface of the seed documents, verbatim; a superset of
// their HSMProvider.
//
// Sign takes the message itself, not a digest: P-256, secp256k1 and RSA keys hash it with SHA-256 first, Ed25519 keys sign
// it as it is (RFC 8032). ECDSA signatures are raw r‖s, 64 bytes (as COSE wants them, RFC 9053 §2.1); Ed25519 64 bytes; RSA
// RSASSA-PSS, 384 bytes.
// Implementations are safe for concurrent use and keep neither message nor signature.
type Signer interface {
	Sign(ctx context.Context, keyID string, message []byte) ([]byte, error)
	Verify(ctx context.Context, keyID string, message, signature []byte) (bool, error)
	Provider() string
}

// HSMProvider is the part of Signer the seed documents' server asks for.
type HSMProvider interface {
	Sign(ctx context.Context, keyID string, message []byte) ([]byte, error)
	Verify(ctx context.Context, keyID string, message, signature []byte) (bool, error)
}

// PasswordProvider yields a secret that unlocks a database, decrypted or read through a provider.
type PasswordProvider interface {
	GetPassword(ctx context.Context, keyID string) (string, error)
}

// KeyWrapper seals short secrets (a DEK of 32 bytes) under a key that stays in the token, the KEK. The aad is bound: Unwrap
// fails with ErrIntegrity for another aad, another key or changed bytes.
type KeyWrapper interface {
	Wrap(ctx context.Context, keyID string, dek, aad []byte) ([]byte, error)
	Unwrap(ctx context.Context, keyID string, wrapped, aad []byte) ([]byte, error)
}

// PublicKeyer tells the public half: ed25519.PublicKey, *ecdsa.PublicKey (P-256), Secp256k1PublicKey, *rsa.PublicKey (3072 bits).
type PublicKeyer interface {
	PublicKey(ctx context.Context, keyID string) (crypto.PublicKey, error)
}

// KeyType names what GenerateKey makes.
type KeyType string

// The kinds of key a token may be asked for.
const (
	KeyEd25519   KeyType = "ed25519"
	KeyP256      KeyType = "p256"
	KeySecp256k1 KeyType = "secp256k1"
	KeyRSA3072   KeyType = "rsa3072"     // RSASSA-PSS with SHA-256, MGF1-SHA-256 and a salt of 32 bytes (RFC 8017 §8.1)
	KeyAESWrap   KeyType = "aes256-wrap" // a KEK for KeyWrapper: AES-256, or what the token offers in its place
)

// KeyGenerator makes a persistent, non-extractable key in the token. ErrKeyExists if keyID is taken.
type KeyGenerator interface {
	GenerateKey(ctx context.Context, keyID string, t KeyType) error
}

// RandomSource reads the token's generator.
type RandomSource interface {
	Random(ctx context.Context, n int) ([]byte, error)
}

// KeyInfo is what a token says of a key.
type KeyInfo struct {
	ID             string  `json:"id"`
	Type           KeyType `json:"type"`
	Sensitive      bool    `json:"sensitive"`       // CKA_SENSITIVE: never readable in the clear
	Extractable    bool    `json:"extractable"`     // CKA_EXTRACTABLE
	Local          bool    `json:"local"`           // CKA_LOCAL: made in the token
	NeverExtracted bool    `json:"never_extracted"` // CKA_NEVER_EXTRACTABLE
}

// KeyLister lists the keys of a token, without any secret.
type KeyLister interface {
	Keys(ctx context.Context) ([]KeyInfo, error)
}

// MonotonicCounter only counts up, in the token, and outlives what is stored beside it.
type MonotonicCounter interface {
	// CreateCounter makes a counter and returns its first value, which may be any. ErrKeyExists if counterID is taken.
	CreateCounter(ctx context.Context, counterID string) (uint64, error)
	// Increment adds one, durably, and returns the new value. ErrNoKey if there is no such counter.
	Increment(ctx context.Context, counterID string) (uint64, error)
	// Read returns the value. ErrNoKey if there is no such counter.
	Read(ctx context.Context, counterID string) (uint64, error)
}

// KeyEvidence is what a token can show for one of its keys: enough for a stranger to appraise it (RFC 9334), with package
// attest/appraise. It holds nothing secret.
type KeyEvidence struct {
	// Format says how to read the rest: EvidenceTPM and so on.
	Format string `json:"format"`
	// Key and Token are what the driver reports. Only what Statement covers is more than a report.
	Key   KeyInfo   `json:"key"`
	Token TokenInfo `json:"token"`
	// PublicKey is the key itself: PKIX DER (RFC 5280 §4.1.2.7), for secp256k1 too (SEC 1 point, OID 1.3.132.0.10).
	PublicKey []byte `json:"public_key"`
	// Nonce is the appraiser's, at most 32 bytes.
	Nonce []byte `json:"nonce,omitempty"`
	// Statement is what the hardware signed, Signature its signature, Certificates the DER chain, leaf first, that says whose the
	// signing key is. All empty where the token signs no evidence.
	Statement    []byte   `json:"statement,omitempty"`
	Signature    []byte   `json:"signature,omitempty"`
	Certificates [][]byte `json:"certificates,omitempty"`
	// Extra are parts of a format that have no place above, by name.
	Extra map[string][]byte `json:"extra,omitempty"`
}

// The formats of evidence.
const (
	EvidenceTPM    = "tpm2-certify"      // TPM2_Certify by a restricted attestation key, endorsement certificate
	EvidencePKCS11 = "pkcs11-attributes" // CKA_* as the token reports them: a report, not a proof
	EvidenceAWS    = "aws-kms-metadata"  // DescribeKey over an authenticated channel: a report
	EvidenceGCP    = "gcp-kms-attestation"
	EvidenceLocal  = "local" // software: proves nothing
)

// KeyAttester shows evidence for a key. nonce is at most 32 bytes and may be empty.
type KeyAttester interface {
	AttestKey(ctx context.Context, keyID string, nonce []byte) (KeyEvidence, error)
}

// TokenInfo describes an open token: for logs, `mpcd hsm list` and the operator.
type TokenInfo struct {
	Provider     string `json:"provider"`
	Label        string `json:"label"`
	Manufacturer string `json:"manufacturer"`
	Model        string `json:"model"`
	Serial       string `json:"serial"`
	Firmware     string `json:"firmware"`
	// SoftwareOnly is true where no hardware guards the keys (SoftHSM, local).
	SoftwareOnly bool `json:"software_only"`
	// PINTriesLow is true where the token reports that a wrong PIN was tried (CKF_USER_PIN_COUNT_LOW, _FINAL_TRY).
	PINTriesLow bool `json:"pin_tries_low"`
	// PINTries is what the token tells of the wrong PINs it still bears: a number, "low", "last" or "locked"; "" if it tells nothing.
	PINTries string `json:"pin_tries,omitempty"`
	// MaxSessions bounds the sessions of this token, OpenSessions counts those of this process; 0 where the token does not tell.
	MaxSessions  uint64 `json:"max_sessions,omitempty"`
	OpenSessions uint64 `json:"open_sessions,omitempty"`
}

// Token is an open security module. Further abilities are the other interfaces of this package.
type Token interface {
	Signer
	Info(ctx context.Context) (TokenInfo, error)
	Close() error
}

// As tells whether the token has the ability T.
//
// A token whose type has more methods than the device behind it has abilities, since it passes calls on, may have a method
// Lacks(ability any) bool; it is asked with a nil *T, such as (*KeyWrapper)(nil), and what it lacks, it does not have.
func As[T any](t any) (T, bool) {
	v, ok := t.(T)
	if l, denies := t.(interface{ Lacks(ability any) bool }); ok && denies && l.Lacks((*T)(nil)) {
		var none T
		return none, false
	}
	return v, ok
}
