package attest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
)

// FreezeVersion is the version of Freeze this program makes and reads.
const FreezeVersion = 1

// Limits of a freeze.
const (
	MaxReason   = 128 // bytes
	maxFrozen   = 128 // bytes of a vault's name
	freezeNonce = 16
)

// Scope is how much a freeze covers.
type Scope string

// The scopes. A freeze of the cluster has no name.
const (
	ScopeCluster Scope = "cluster"
	ScopeVault   Scope = "vault"
	ScopeWallet  Scope = "wallet"
)

// Freeze is a node's word that what it covers is to be used by nobody until the officers have thawed it. Its node's token attests it, so
// that every node can judge it, whoever brings it.
type Freeze struct {
	Version uint8  `cbor:"1,keyasint" json:"version"`
	Cluster string `cbor:"2,keyasint" json:"cluster"`
	Node    string `cbor:"3,keyasint" json:"node"` // where it was asked for
	Scope   Scope  `cbor:"4,keyasint" json:"scope"`
	Name    string `cbor:"5,keyasint" json:"name,omitempty"` // the vault's, or the wallet's KeyID
	Reason  string `cbor:"6,keyasint" json:"reason"`         // for people, at most MaxReason bytes
	Created int64  `cbor:"7,keyasint" json:"created_ms"`     // Unix milliseconds, the node's clock; the Header's
	Nonce   Hex    `cbor:"8,keyasint" json:"nonce"`          // 16 random bytes: no two freezes are one
}

// Validate checks the shape.
func (f Freeze) Validate() error {
	switch {
	case f.Version != FreezeVersion:
		return fmt.Errorf("%w: freeze version %d, this program reads %d", ErrMalformed, f.Version, FreezeVersion)
	case !name.MatchString(f.Cluster) || !name.MatchString(f.Node):
		return fmt.Errorf("%w: the freeze names no cluster or no node", ErrMalformed)
	case f.Reason == "" || len(f.Reason) > MaxReason || !Printable(f.Reason):
		return fmt.Errorf("%w: the reason of a freeze has 1 to %d bytes that can be seen", ErrMalformed, MaxReason)
	case f.Created <= 0 || len(f.Nonce) != freezeNonce:
		return fmt.Errorf("%w: the freeze has no time, or no nonce of %d bytes", ErrMalformed, freezeNonce)
	}
	ok := false
	switch f.Scope {
	case ScopeCluster:
		ok = f.Name == ""
	case ScopeVault:
		ok = f.Name != "" && len(f.Name) <= maxFrozen && Printable(f.Name)
	case ScopeWallet:
		ok = IsKeyID(f.Name)
	}
	if !ok {
		return fmt.Errorf("%w: a freeze is of the cluster, without a name, or of a vault or a wallet, by its name", ErrMalformed)
	}
	return nil
}

// message is the leaf that the node's token attests.
func (f Freeze) message() []byte { return canon.MustMarshal([]any{"mpcd/v1/freeze", f}) }

// Digest names the freeze: what officers thaw by it is this one and no other.
func (f Freeze) Digest() Hash { return canon.Hash("mpcd/v1/freeze/digest", f.message()) }

// Covers tells whether the freeze is of what is done with a wallet of a vault; a key to be made is no wallet yet.
func (f Freeze) Covers(wallet, vault string) bool {
	switch f.Scope {
	case ScopeVault:
		return f.Name == vault
	case ScopeWallet:
		return f.Name == wallet
	}
	return true
}

// What is what is frozen, in words.
func (f Freeze) What() string {
	if f.Scope == ScopeCluster {
		return "the cluster"
	}
	return fmt.Sprintf("%s %s", f.Scope, f.Name)
}

// ParseFreeze reads the JSON of a freeze, strictly.
func ParseFreeze(b []byte) (f Freeze, err error) {
	if err = unmarshalStrict(b, &f); err == nil {
		err = f.Validate()
	}
	return f, err
}

// JSON is what ParseFreeze reads.
func (f Freeze) JSON() []byte {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // our own types always encode
	}
	return b
}

// SignedFreeze is a freeze with its node's attestation.
type SignedFreeze struct {
	Freeze Freeze `cbor:"1,keyasint"`
	Cose   Hex    `cbor:"2,keyasint"` // COSE_Sign1_Tagged over the Header, KindFreeze, of the one leaf
}

// Attest has the token of the node attest the freeze with its attestation key.
func (f Freeze) Attest(ctx context.Context, h hsm.Signer, key Key) (*SignedFreeze, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	b, err := Attest(ctx, h, key, Header{Kind: KindFreeze, Cluster: f.Cluster, Node: f.Node, Time: f.Created}, [][]byte{f.message()})
	if err != nil {
		return nil, err
	}
	return &SignedFreeze{f, b.Cose}, nil
}

// Verify judges a freeze under a roster of the cluster: a member's token has made it, and it says so itself.
func (s SignedFreeze) Verify(r Roster) error {
	f := s.Freeze
	if err := f.Validate(); err != nil {
		return err
	}
	if f.Cluster != r.Cluster {
		return misbound("cluster")
	}
	n, err := r.Node(f.Node)
	if err != nil {
		return err
	}
	pub, err := n.Attest()
	if err != nil {
		return err
	}
	b, err := VerifyBatch(pub, Expect{Kind: KindFreeze, Cluster: r.Cluster, Node: f.Node}, [][]byte{f.message()}, s.Cose)
	if err == nil && b.Header.Time != f.Created {
		return misbound("created_ms")
	}
	return err
}

// Thaw is the officers' word that one freeze is over. It holds under the authority that it names, while that is in force: no signature of
// theirs that was too few to thaw is enough under a later one.
type Thaw struct {
	Cluster   string `cbor:"1,keyasint" json:"cluster"`
	Freeze    Hash   `cbor:"2,keyasint" json:"freeze"`    // Freeze.Digest
	Authority Hash   `cbor:"3,keyasint" json:"authority"` // Authority.Digest
}

// SignedThaw is a thaw with the words of officers.
type SignedThaw struct {
	Thaw       Thaw                 `cbor:"1,keyasint" json:"thaw"`
	Signatures []AuthoritySignature `cbor:"2,keyasint" json:"signatures"`
}

// message is what officers sign.
func (t Thaw) message() []byte { return canon.MustMarshal([]any{"mpcd/v1/thaw", t}) }

// Sign makes an officer's signature.
func (t Thaw) Sign(by string, sign SignFunc) (AuthoritySignature, error) {
	sig, err := sign(t.message())
	if err != nil {
		return AuthoritySignature{}, fmt.Errorf("attest: sign thaw: %w", err)
	}
	return AuthoritySignature{by, sig}, nil
}

// CheckThaw judges the officers' word on a freeze under this authority: as many as its quorum have signed, each once, and nobody else.
func (a Authority) CheckThaw(f Freeze, t SignedThaw) error {
	switch {
	case t.Thaw.Cluster != a.Cluster || f.Cluster != a.Cluster:
		return misbound("cluster")
	case t.Thaw.Freeze != f.Digest():
		return misbound("freeze")
	case t.Thaw.Authority != a.Digest():
		return misbound("authority")
	case len(t.Signatures) > maxOfficers:
		return errors.New("attest: thaw: more signatures than an authority has officers")
	}
	if err := signedBy(t.Thaw.message(), t.Signatures, []duty{a.officers()}, false); err != nil {
		return fmt.Errorf("%w: the thaw: %w", ErrAuthority, err)
	}
	return nil
}
