package sim

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkls23"
	"github.com/luxfi/mpcd/vault"
)

// PairSecrets is what a node holds with one peer for DKLs23 signatures, taken apart from the record in its vault as a thief would.
type PairSecrets struct {
	Peer     threshold.PartyID
	Delta    []byte   // 16 bytes: which leaf of each tree this node does not know, as Alice
	Sender   [][]byte // 16 bytes each, as Alice: three leaves of each of 64 trees
	Receiver [][]byte // 16 bytes each, as Bob: all four; the peer's Sender holds three of them
	Seed     []byte   // 32 bytes, of the zero shares; the peer's is the same
}

// pairRecord is the record of threshold/dkls23 that holds the pair state of a committee.
type pairRecord struct {
	Version   uint8               `cbor:"1,keyasint"`
	ID        [32]byte            `cbor:"2,keyasint"`
	Epoch     uint64              `cbor:"3,keyasint"`
	Party     threshold.PartyID   `cbor:"4,keyasint"`
	Committee threshold.Committee `cbor:"5,keyasint"`
	Pairs     []struct {
		Sender   []byte `cbor:"1,keyasint,omitempty"`
		Receiver []byte `cbor:"2,keyasint,omitempty"`
		Seed     []byte `cbor:"3,keyasint,omitempty"`
	} `cbor:"6,keyasint"`
}

// The encodings of threshold/internal/ot: a version, a role and a public id come before the secrets.
const (
	pairHeader = 2 + 32
	pairLeaf   = 16
	pairTrees  = 64
)

// OpenPairs opens the pair state that a key's committee has in the vault.
func OpenPairs(v *vault.Vault, key threshold.KeyInfo) ([]PairSecrets, error) {
	c := key.Committee
	c.Threshold = 0
	name := canon.Hash("mpcd/v1/pair-state/name", []byte(dkls23.ID), canon.MustMarshal(c))
	b, err := v.GetSecret(context.Background(), fmt.Sprintf("pair-state/%x", name[:16]))
	if err != nil {
		return nil, err
	}
	defer b.Wipe()
	var r pairRecord
	if err := canon.Unmarshal(b.Bytes(), &r); err != nil {
		return nil, err
	}
	peers := slices.DeleteFunc(slices.Clone(c.Parties), func(p threshold.PartyID) bool { return p == r.Party })
	if len(peers) != len(r.Pairs) {
		return nil, fmt.Errorf("sim: pair state with %d peers, want %d", len(r.Pairs), len(peers))
	}
	var out []PairSecrets
	for i, x := range r.Pairs {
		if len(x.Sender) != pairHeader+pairLeaf+3*pairTrees*pairLeaf || len(x.Receiver) != pairHeader+4*pairTrees*pairLeaf || len(x.Seed) != 32 {
			return nil, fmt.Errorf("sim: pair state of %d, %d and %d bytes: the record is not what it was", len(x.Sender),
				len(x.Receiver), len(x.Seed))
		}
		out = append(out, PairSecrets{Peer: peers[i], Delta: bytes.Clone(x.Sender[pairHeader:][:pairLeaf]), Seed: bytes.Clone(x.Seed),
			Sender:   slices.Collect(slices.Chunk(bytes.Clone(x.Sender[pairHeader+pairLeaf:]), pairLeaf)),
			Receiver: slices.Collect(slices.Chunk(bytes.Clone(x.Receiver[pairHeader:]), pairLeaf))})
	}
	return out, nil
}
