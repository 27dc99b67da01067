package attest

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/luxfi/mpcd/threshold"
)

// RosterVersion is the version of Roster this program makes and reads.
const RosterVersion = 1

// Limits of a roster.
const (
	MaxNodes      = 256
	maxText       = 256  // bytes of an endpoint or a facility
	witnessKeyLen = 1312 // any bytes of that length are a key of ML-DSA-44 (FIPS 204, algorithm 23)
)

// Roster says who is a member of a cluster. It is written at enrolment, signed by the operator's root key, and never
// discovered.
type Roster struct {
	Version uint8        `cbor:"1,keyasint" json:"version"`
	Cluster string       `cbor:"2,keyasint" json:"cluster"`
	Serial  uint64       `cbor:"3,keyasint" json:"serial"` // from 1, one more with every change; nodes refuse to go back
	Nodes   []RosterNode `cbor:"4,keyasint" json:"nodes"`  // ascending by party
}

// RosterNode is one node and the public keys pinned for it.
type RosterNode struct {
	ID        string            `cbor:"1,keyasint" json:"id"`
	Party     threshold.PartyID `cbor:"2,keyasint" json:"party"`
	Identity  Hex               `cbor:"3,keyasint" json:"identity"`   // Ed25519, 32 bytes: signs its messages
	Seal      Hex               `cbor:"4,keyasint" json:"seal"`       // X25519, 32 bytes: HPKE to it (RFC 9180)
	CosignKey Hex               `cbor:"5,keyasint" json:"cosign_key"` // PKIX DER, P-256 or Ed25519, in its token
	AttestKey Hex               `cbor:"6,keyasint" json:"attest_key"` // PKIX DER, P-256 or Ed25519, in its token
	Endpoint  string            `cbor:"7,keyasint" json:"endpoint"`
	Facility  string            `cbor:"8,keyasint" json:"facility"`
	// Removed says that the node is a member no more: nobody hears or chooses it, and what it attests under this roster counts for nothing.
	// It stays in the roster, so that its party is never given twice and its keys' committees keep their names.
	Removed bool `cbor:"9,keyasint,omitempty" json:"removed,omitempty"`
	// WitnessKey is ML-DSA-44, 1,312 bytes: it cosigns the others' checkpoints beside Identity. A node that was enrolled before has none.
	WitnessKey Hex `cbor:"10,keyasint,omitempty" json:"witness_key,omitempty"`
}

// Cosign is the key that cosigns intents.
func (n RosterNode) Cosign() (crypto.PublicKey, error) { return ParsePublicKey(n.CosignKey) }

// Attest is the key that attests shares and settlements.
func (n RosterNode) Attest() (crypto.PublicKey, error) { return ParsePublicKey(n.AttestKey) }

// Validate refuses a roster that no cluster may have: bad names, parties out of order, and keys that are missing, broken or
// used twice, be it by two nodes or for two purposes.
func (r Roster) Validate() error {
	switch {
	case r.Version != RosterVersion:
		return fmt.Errorf("attest: roster version %d, this program reads %d", r.Version, RosterVersion)
	case !name.MatchString(r.Cluster):
		return fmt.Errorf("attest: roster: %q is no name for a cluster; use a-z, 0-9, dot, dash, underscore, at most 63", clip(r.Cluster))
	case r.Serial == 0:
		return errors.New("attest: roster serial 0; the first is 1")
	case len(r.Members()) == 0 || len(r.Nodes) > MaxNodes:
		return fmt.Errorf("attest: roster of %d nodes, want 1 to %d", len(r.Nodes), MaxNodes)
	}
	ids, keys, last := map[string]bool{}, map[string]string{}, threshold.PartyID(0)
	for _, n := range r.Nodes {
		if err := n.validate(); err != nil {
			return fmt.Errorf("attest: roster: node %q: %w", clip(n.ID), err)
		}
		if ids[n.ID] {
			return fmt.Errorf("attest: roster: node %q twice", n.ID)
		}
		if n.Party <= last {
			return fmt.Errorf("attest: roster: node %q: party %d after %d; parties ascend and are never given twice", n.ID, n.Party, last)
		}
		ids[n.ID], last = true, n.Party
		own := []Hex{n.Identity, n.Seal, n.CosignKey, n.AttestKey}
		if string(n.CosignKey) == string(n.AttestKey) {
			own = own[:3] // one key may do both: each signature says what kind it is
		}
		if len(n.WitnessKey) > 0 {
			own = append(own, n.WitnessKey)
		}
		for _, k := range own {
			if other, ok := keys[string(k)]; ok {
				return fmt.Errorf("attest: roster: node %q has a key that is already one of node %q; every node has keys of its own",
					n.ID, other)
			}
			keys[string(k)] = n.ID
		}
	}
	return nil
}

func (n RosterNode) validate() error {
	if !name.MatchString(n.ID) {
		return errors.New("no name for a node; use a-z, 0-9, dot, dash, underscore, at most 63")
	}
	if len(n.Endpoint) > maxText || len(n.Facility) > maxText {
		return fmt.Errorf("endpoint and facility have at most %d bytes", maxText)
	}
	if err := CheckEd25519(ed25519.PublicKey(n.Identity)); err != nil {
		return fmt.Errorf("identity key: %w", err)
	}
	if err := checkX25519(n.Seal); err != nil {
		return fmt.Errorf("seal key: %w", err)
	}
	for _, k := range []struct {
		name string
		der  Hex
	}{{"cosign", n.CosignKey}, {"attest", n.AttestKey}} {
		if err := checkKey(k.der); err != nil {
			return fmt.Errorf("%s key: %w", k.name, err)
		}
	}
	if n := len(n.WitnessKey); n != 0 && n != witnessKeyLen {
		return fmt.Errorf("witness key of %d bytes, one of ML-DSA-44 has %d", n, witnessKeyLen)
	}
	return nil
}

// Members are the nodes that were not removed.
func (r Roster) Members() []RosterNode {
	return slices.DeleteFunc(slices.Clone(r.Nodes), func(n RosterNode) bool { return n.Removed })
}

// Node finds a member by its ID.
func (r Roster) Node(id string) (RosterNode, error) {
	for _, n := range r.Nodes {
		switch {
		case n.ID == id && n.Removed:
			return RosterNode{}, fmt.Errorf("%w: node %q was removed from the cluster", ErrUnknownNode, id)
		case n.ID == id:
			return n, nil
		}
	}
	return RosterNode{}, fmt.Errorf("%w: node %q; enrol it, or use a newer roster than serial %d", ErrUnknownNode, clip(id), r.Serial)
}

// ByParty finds a node, also one that was removed, by its party number.
func (r Roster) ByParty(p threshold.PartyID) (RosterNode, error) {
	i, ok := slices.BinarySearchFunc(r.Nodes, p, func(n RosterNode, p threshold.PartyID) int { return int(n.Party) - int(p) })
	if !ok {
		return RosterNode{}, fmt.Errorf("%w: party %d; enrol it, or use a newer roster than serial %d", ErrUnknownNode, p, r.Serial)
	}
	return r.Nodes[i], nil
}

// Committee is the committee of the named nodes, in any order, with t signers needed. It refuses what threshold refuses.
func (r Roster) Committee(ids []string, t int) (threshold.Committee, error) {
	parties := make([]threshold.PartyID, len(ids))
	for i, id := range ids {
		n, err := r.Node(id)
		if err != nil {
			return threshold.Committee{}, err
		}
		parties[i] = n.Party
	}
	slices.Sort(parties)
	return r.committee(parties, t)
}

func (r Roster) committee(parties []threshold.PartyID, t int) (threshold.Committee, error) {
	c := threshold.Committee{Parties: parties, Identities: make([][]byte, len(parties)), Threshold: t}
	for i, p := range parties {
		n, err := r.ByParty(p)
		if err != nil {
			return threshold.Committee{}, err
		}
		c.Identities[i] = n.Identity
	}
	return c, c.Validate()
}
