package attest

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold"
)

// AuthorityVersion is the version of Authority this program makes and reads.
const AuthorityVersion = 1

// Limits of an authority and of the chain it stands in.
const (
	maxOfficers   = 32
	maxInitiators = 1024
	maxGrants     = 64 // of an initiator
	maxAssets     = 1024
	maxChain      = 1024 // authorities; MaxJSON bounds their bytes
)

// RootSigner is the name by which the operator's root key signs the first authority.
const RootSigner = "root"

// Authority says who may ask a cluster for what. The first of a cluster is signed by the operator's root key, each later one by as many
// officers of the one before as its quorum says, or by its authors what the rules are made of (duties): no node, and no single officer
// where the quorum is more than one, changes it.
type Authority struct {
	Version    uint8       `cbor:"1,keyasint" json:"version"`
	Cluster    string      `cbor:"2,keyasint" json:"cluster"`
	Serial     uint64      `cbor:"3,keyasint" json:"serial"`   // from 1, one more with every change
	Prior      Hash        `cbor:"4,keyasint" json:"prior"`    // Digest of the one before; zero in the first
	Quorum     int         `cbor:"5,keyasint" json:"quorum"`   // officers who must sign the next
	Officers   []Officer   `cbor:"6,keyasint" json:"officers"` // ascending by name
	Initiators []Initiator `cbor:"7,keyasint" json:"initiators"`
	// Policy is the rules, in Cedar, by which every signer judges what an initiator asks for; without any, nothing is permitted.
	Policy string         `cbor:"8,keyasint,omitempty" json:"policy,omitempty"`
	Assets []policy.Asset `cbor:"9,keyasint,omitempty" json:"assets,omitempty"` // whose amounts the rules name
	// Approvers are the people whose approvals the rules may want, ascending by name.
	Approvers []Approver `cbor:"10,keyasint,omitempty" json:"approvers,omitempty"`
	// Authors are who alone change Policy and Assets, where there are any, and nothing else; ascending by name, and nobody of the others.
	Authors      []Officer `cbor:"11,keyasint,omitempty" json:"authors,omitempty"`
	AuthorQuorum int       `cbor:"12,keyasint,omitempty" json:"author_quorum,omitempty"` // authors who must sign the next rules
}

// Officer is a person who changes the authority, together with others; an author of its rules is written alike.
type Officer struct {
	Name string `cbor:"1,keyasint" json:"name"`
	Key  Hex    `cbor:"2,keyasint" json:"key"` // PKIX DER, P-256 or Ed25519
}

// Initiator is somebody, or something, that may ask: what its key has not signed, no signer does.
type Initiator struct {
	Name string  `cbor:"1,keyasint" json:"name"`
	Key  Hex     `cbor:"2,keyasint" json:"key"` // PKIX DER, P-256 or Ed25519
	May  []Grant `cbor:"3,keyasint" json:"may"`
}

// Grant is what an initiator may ask for, and of the wallets of which vaults.
type Grant struct {
	Operations []Operation `cbor:"1,keyasint" json:"operations"` // sign, sign-raw, keygen, refresh
	Vaults     []string    `cbor:"2,keyasint" json:"vaults"`     // AnyVault is all; "" those of no vault
}

// AnyVault in a grant means wallets of all vaults, and of none.
const AnyVault = "*"

// Validate refuses an authority that no cluster may have: bad names, one name or key twice, a quorum that cannot be, empty grants.
func (a Authority) Validate() error {
	switch {
	case a.Version != AuthorityVersion:
		return fmt.Errorf("attest: authority version %d, this program reads %d", a.Version, AuthorityVersion)
	case !name.MatchString(a.Cluster):
		return fmt.Errorf("attest: authority: %q is no name for a cluster; use a-z, 0-9, dot, dash, underscore, at most 63", clip(a.Cluster))
	case a.Serial == 0 || (a.Serial == 1) != (a.Prior == Hash{}):
		return errors.New("attest: authority: serials are from 1, and each but the first names the one before")
	case len(a.Officers) > maxOfficers || a.Quorum < 1 || a.Quorum > len(a.Officers):
		return fmt.Errorf("attest: authority: a quorum of %d among %d officers; name 1 to %d officers, and at most as many as a quorum",
			a.Quorum, len(a.Officers), maxOfficers)
	case len(a.Authors) > maxOfficers || a.AuthorQuorum < min(1, len(a.Authors)) || a.AuthorQuorum > len(a.Authors):
		return fmt.Errorf("attest: authority: a quorum of %d among %d authors; name at most %d authors, and of those there are 1 or more as a "+
			"quorum", a.AuthorQuorum, len(a.Authors), maxOfficers)
	case a.Initiators == nil:
		return errors.New("attest: authority: no list of initiators; an empty one means that nobody may ask")
	case len(a.Policy) > policy.MaxText || len(a.Assets) > maxAssets:
		return fmt.Errorf("attest: authority: a policy of %d bytes and %d assets, at most %d and %d", len(a.Policy), len(a.Assets),
			policy.MaxText, maxAssets)
	case len(a.Initiators) > maxInitiators || len(a.Approvers) > maxApprovers:
		return fmt.Errorf("attest: authority: %d initiators and %d approvers, at most %d of each", len(a.Initiators), len(a.Approvers),
			maxInitiators)
	}
	if err := a.validateRules(); err != nil {
		return err
	}
	return a.validatePeople()
}

func (a Authority) validateRules() error {
	if !Printable(strings.NewReplacer("\n", "", "\t", "").Replace(a.Policy)) {
		return errors.New("attest: authority: the policy has characters that cannot be seen")
	}
	assets := map[policy.Asset]bool{}
	for _, x := range a.Assets {
		is := policy.Asset{Network: x.Network, ID: x.ID}
		if assets[is] {
			return fmt.Errorf("attest: authority: asset %q of %q stands twice; its decimals are one number", clip(x.ID), clip(x.Network))
		}
		assets[is] = true
		if x.Decimals < 0 || x.Decimals > policy.MaxDecimals || len(x.Network) > maxText || len(x.ID) > maxText || !Printable(x.Network+x.ID) {
			return fmt.Errorf("attest: authority: asset %q: decimals are 0 to %d, and texts that can be seen", clip(x.ID), policy.MaxDecimals)
		}
	}
	return nil
}

func (a Authority) validatePeople() error {
	keys, last := map[string]string{}, ""
	add := func(what, id string, key Hex) error {
		if !name.MatchString(id) || id == RootSigner || id <= last {
			return fmt.Errorf("attest: authority: %s %q: names are a-z, 0-9, dot, dash, underscore, at most 63, ascend, and none is %q",
				what, clip(id), RootSigner)
		}
		if other, ok := keys[string(key)]; ok {
			return fmt.Errorf("attest: authority: %s %q has the key of %q; each has one of its own", what, id, other)
		}
		last, keys[string(key)] = id, id
		if err := checkKey(key); err != nil {
			return fmt.Errorf("attest: authority: %s %q: %w", what, id, err)
		}
		return nil
	}
	for _, o := range a.Officers {
		if err := add("officer", o.Name, o.Key); err != nil {
			return err
		}
	}
	last = ""
	for _, x := range a.Authors {
		if err := add("author", x.Name, x.Key); err != nil {
			return err
		}
		if other := a.other(x.Name); other != "" {
			return fmt.Errorf("attest: authority: %q is an author and an %s; nobody is both", x.Name, other)
		}
	}
	last = ""
	for _, i := range a.Initiators {
		if err := add("initiator", i.Name, i.Key); err != nil {
			return err
		}
		if err := i.validate(); err != nil {
			return fmt.Errorf("attest: authority: initiator %q: %w", i.Name, err)
		}
	}
	last = ""
	for _, x := range a.Approvers {
		if err := add("approver", x.Name, x.Key); err != nil {
			return err
		}
		if _, asks := a.Initiator(x.Name); asks {
			return fmt.Errorf("attest: authority: %q asks and approves; nobody does both", x.Name)
		}
		if err := x.validate(); err != nil {
			return fmt.Errorf("attest: authority: approver %q: %w", x.Name, err)
		}
	}
	if _, groups := a.groups(nil); len(groups) > maxGroups {
		return fmt.Errorf("attest: authority: %d groups of approvers, at most %d", len(groups), maxGroups)
	}
	return nil
}

func (i Initiator) validate() error {
	if len(i.May) == 0 || len(i.May) > maxGrants {
		return fmt.Errorf("%d grants, want 1 to %d; leave out who may ask for nothing", len(i.May), maxGrants)
	}
	for _, g := range i.May {
		if len(g.Operations) == 0 || len(g.Vaults) == 0 || len(g.Vaults) > maxInitiators {
			return errors.New("a grant without operations, or without vaults")
		}
		for _, op := range g.Operations {
			if !Initiated(op) && op != OpSignRaw {
				return fmt.Errorf("a grant of %q; use sign, sign-raw, keygen, refresh", clip(string(op)))
			}
		}
		for _, v := range g.Vaults {
			if len(v) > maxText || !Printable(v) {
				return errNotPrintable
			}
		}
	}
	return nil
}

// Allows tells whether an initiator may ask for an operation about wallets of a vault, "" for those of none.
func (i Initiator) Allows(op Operation, vault string) bool {
	return slices.ContainsFunc(i.May, func(g Grant) bool {
		return slices.Contains(g.Operations, op) && (slices.Contains(g.Vaults, AnyVault) || slices.Contains(g.Vaults, vault))
	})
}

// Initiator finds one by its name.
func (a Authority) Initiator(name string) (Initiator, bool) {
	i := slices.IndexFunc(a.Initiators, func(x Initiator) bool { return x.Name == name })
	if i < 0 {
		return Initiator{}, false
	}
	return a.Initiators[i], true
}

// InitiatorOf finds one by its key.
func (a Authority) InitiatorOf(key Hex) (Initiator, bool) {
	i := slices.IndexFunc(a.Initiators, func(x Initiator) bool { return bytes.Equal(x.Key, key) })
	if i < 0 {
		return Initiator{}, false
	}
	return a.Initiators[i], true
}

// Rules reads the policy.
func (a Authority) Rules() (*policy.Rules, error) {
	r, err := policy.Parse(a.Policy)
	if err != nil {
		return nil, fmt.Errorf("attest: authority of serial %d: %w", a.Serial, err)
	}
	return r, nil
}

// Judge asks the rules of the authority about an intent whose initiation and approvals were found good: d is what Decode read of its
// payload, key its wallet's, none for keygen. spent is what was signed before, as signers have counted it; whoever cannot know it, as of a
// receipt, judges with nil by the amounts of the intent alone.
func (a Authority) Judge(rules *policy.Rules, i Intent, d *intent.Decoded, key threshold.KeyInfo, spent policy.Spent) policy.Verdict {
	var by []string
	for _, x := range i.Approvals {
		by = append(by, x.By)
	}
	approved, approvers := a.groups(by)
	q := policy.Request{Initiator: i.Initiation.By, Operation: string(i.asks()), Network: i.Chain, Decoded: d, At: time.UnixMilli(i.Created),
		Assets: a.Assets, Approvals: approved, Approvers: approvers, Spent: spent,
		Wallet: policy.Wallet{ID: i.KeyID, Vault: i.Vault, Kind: string(key.Kind), Threshold: key.Committee.Threshold,
			Parties: key.Committee.N()}}
	if k := i.Keygen; k != nil {
		q.Wallet = policy.Wallet{Vault: k.Group, Kind: string(k.Kind), Threshold: k.Threshold, Parties: len(i.Signers)}
	}
	return rules.Judge(q)
}

// message is what officers and authors sign: the canonical array of a tag and the authority.
func (a Authority) message() []byte { return canon.MustMarshal([]any{"mpcd/v1/authority", a}) }

// Digest names the authority, and with it all before it.
func (a Authority) Digest() Hash { return canon.Hash("mpcd/v1/authority/digest", a.message()) }

// SignFunc signs a message with a key of its maker's: Ed25519, or ECDSA on P-256 with SHA-256 as r and s, both 64 bytes, as hsm.Signer
// does.
type SignFunc func(message []byte) (signature []byte, err error)

// Sign makes an officer's or an author's signature, or the root's on the first: by is the name, or "root".
func (a Authority) Sign(by string, sign SignFunc) (AuthoritySignature, error) {
	if err := a.Validate(); err != nil {
		return AuthoritySignature{}, err
	}
	if _, err := a.Rules(); err != nil {
		return AuthoritySignature{}, err
	}
	sig, err := sign(a.message())
	if err != nil {
		return AuthoritySignature{}, fmt.Errorf("attest: sign authority: %w", err)
	}
	return AuthoritySignature{by, sig}, nil
}

// AuthoritySignature is an officer's or an author's word on an authority.
type AuthoritySignature struct {
	By        string `cbor:"1,keyasint" json:"by"`        // the name in the authority before; "root" on the first
	Signature Hex    `cbor:"2,keyasint" json:"signature"` // 64 bytes: Ed25519, or r and s of ECDSA with SHA-256
}

// SignedAuthority is an authority with the words of those who changed it.
type SignedAuthority struct {
	Authority  Authority            `cbor:"1,keyasint" json:"authority"`
	Signatures []AuthoritySignature `cbor:"2,keyasint" json:"signatures"`
}

// AuthorityChain is every authority a cluster ever had, oldest first, as it stands in authority.json: who reads it needs nothing but the
// root key to know that the last is the one in force.
type AuthorityChain []SignedAuthority

// Verify checks each link: the root's signature on the first, on every other those of who in the one before may change what it changes. It
// returns the one in force. ErrAuthority.
func (c AuthorityChain) Verify(root ed25519.PublicKey) (*Authority, error) {
	if err := CheckEd25519(root); err != nil {
		return nil, fmt.Errorf("%w: root key: %w", ErrAuthority, err)
	}
	rootDER, err := MarshalPublicKey(root)
	if err != nil {
		return nil, err
	}
	if err := c.verify(rootDER, false); err != nil {
		return nil, err
	}
	last := c[len(c)-1].Authority
	return &last, nil
}

// VerifyOfficers is Verify for who has no root key: it does not judge the root's signature on the first. Where the last is unsigned,
// officers and authors are at work on it: what has signed it so far must hold, and may be too few. ErrAuthority.
func (c AuthorityChain) VerifyOfficers(unsigned bool) error { return c.verify(nil, unsigned) }

// verify checks the links of a chain whose first the root signs, unless there is none.
func (c AuthorityChain) verify(root Hex, unsigned bool) error {
	if len(c) == 0 || len(c) > maxChain {
		return fmt.Errorf("%w: %d authorities, want 1 to %d", ErrAuthority, len(c), maxChain)
	}
	prior := Hash{}
	for i, s := range c {
		a := s.Authority
		switch err := a.Validate(); {
		case err != nil:
			return fmt.Errorf("%w: %w", ErrAuthority, err)
		case a.Serial != uint64(i+1) || a.Prior != prior:
			return fmt.Errorf("%w: serial %d does not follow the one before it", ErrAuthority, a.Serial)
		case a.Cluster != c[0].Authority.Cluster:
			return fmt.Errorf("%w: serial %d is of another cluster", ErrAuthority, a.Serial)
		}
		if i > 0 || root != nil {
			if err := signedBy(a.message(), s.Signatures, c.duties(i, root), unsigned && i == len(c)-1); err != nil {
				return fmt.Errorf("%w: serial %d: %w", ErrAuthority, a.Serial, err)
			}
		}
		prior = a.Digest()
	}
	return nil
}

// Named finds an authority of the chain by its digest; nil if it has none such.
func (c AuthorityChain) Named(digest []byte) *Authority {
	for _, s := range c {
		if d := s.Authority.Digest(); bytes.Equal(d[:], digest) {
			return &s.Authority
		}
	}
	return nil
}

// Extends tells whether this chain has all of another, and in the same order: what it may take the place of.
func (c AuthorityChain) Extends(was AuthorityChain) bool {
	n := len(was)
	return n == 0 || len(c) >= n && c[n-1].Authority.Digest() == was[n-1].Authority.Digest()
}

// JSON is the file form, indented, with a line end.
func (c AuthorityChain) JSON() []byte {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		panic(err) // our own types always encode
	}
	return append(b, '\n')
}

// ParseAuthority reads what JSON wrote, strictly, and verifies it under the operator's root key.
func ParseAuthority(b []byte, root ed25519.PublicKey) (AuthorityChain, error) {
	var c AuthorityChain
	if err := unmarshalStrict(b, &c); err != nil {
		return nil, fmt.Errorf("attest: the chain of authorities: %w", err)
	}
	_, err := c.Verify(root)
	return c, err
}

func verifyMessage(der Hex, message, signature []byte) error {
	pub, err := ParsePublicKey(der)
	if err != nil {
		return err
	}
	if ok, err := hsm.Verify(pub, message, signature); err != nil || !ok {
		return errors.Join(errors.New("it does not verify"), err)
	}
	return nil
}
