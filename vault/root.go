package vault

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/internal/canon"
)

// rootVersion is the version of the root record of a wrapping with a vault key of its own, as Rewrap makes them. Version 2 is
// written in wrapping 0, where it says the same, and in later ones that share the canary of wrapping 0, as Rewrap made them
// before. Version 1, which had the first seven fields only, is read.
const (
	rootVersion       = 3
	sharedRootVersion = 2
)

// root is the one record that stands for all pointers.
type root struct {
	Version   uint64      `cbor:"1,keyasint"`
	Vault     []byte      `cbor:"2,keyasint"` // 16 bytes, random
	Node      string      `cbor:"3,keyasint"`
	KEK       string      `cbor:"4,keyasint"` // for the error message; what counts is whether the KEK opens the canary
	Seq       uint64      `cbor:"5,keyasint"` // number of commits
	Count     uint64      `cbor:"6,keyasint"` // number of pointers
	MAC       []byte      `cbor:"7,keyasint"` // over all other fields and the digest of the pointers
	Wrapping  wrappingID  `cbor:"8,keyasint,omitempty"`
	Provider  string      `cbor:"9,keyasint,omitempty"`  // of the KEK, for the error message
	Anchor    *anchor     `cbor:"10,keyasint,omitempty"` // what the token's counter must say
	Recovery  []byte      `cbor:"11,keyasint,omitempty"` // hash of the recovery record and of the canary's wrapped DEK
	Retiring  *wrappingID `cbor:"12,keyasint,omitempty"` // the wrapping before, still to be removed
	Abandoned *anchor     `cbor:"13,keyasint,omitempty"` // the anchor before, whose counter is still to be moved on
}

// state is what the root says and commits change, in memory: the truth while the vault is open. What it points to is replaced,
// never changed in place.
type state struct {
	seq, count uint64
	set        digest
	anchor     *anchor
	retiring   *wrappingID
	abandoned  *anchor
}

// rootMACv1 is the MAC of a root of version 1.
func (v *Vault) rootMACv1(s state) []byte {
	h := canon.NewHasher("mpcd/v1/vault/root", 5)
	h.Field(v.id[:])
	h.Field([]byte(v.node))
	h.Field(binary.BigEndian.AppendUint64(nil, s.seq))
	h.Field(binary.BigEndian.AppendUint64(nil, s.count))
	h.Field(s.set[:])
	sum := h.Sum()
	return v.keys.rootMAC(sum[:])
}

// rootMAC covers the whole record, and through the digest every pointer.
func (v *Vault) rootMAC(r root, set digest) []byte {
	r.MAC = nil
	sum := canon.Hash("mpcd/v1/vault/root/2", canon.MustMarshal(r), set[:])
	return v.keys.rootMAC(sum[:])
}

func (v *Vault) encodeRoot(s state) []byte {
	version := uint64(sharedRootVersion)
	if v.rekeyed {
		version = rootVersion
	}
	r := root{
		Version: version, Vault: v.id[:], Node: v.node, KEK: v.kek, Seq: s.seq, Count: s.count, Wrapping: v.wrapping, Provider: v.provider,
		Anchor: s.anchor, Recovery: v.recoveryHash(), Retiring: s.retiring, Abandoned: s.abandoned,
	}
	r.MAC = v.rootMAC(r, s.set)
	return canon.MustMarshal(r)
}

func decodeRoot(b []byte) (*root, error) {
	r := new(root)
	if err := canon.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("vault: root record: %w: %w", ErrIntegrity, err)
	}
	plain := r.Wrapping == 0 && r.Provider == "" && r.Anchor == nil && r.Recovery == nil && r.Retiring == nil && r.Abandoned == nil
	if r.Version < 1 || r.Version > rootVersion || len(r.Vault) != 16 {
		return nil, fmt.Errorf("vault: root record of version %d, this program reads 1 to %d: %w", r.Version, rootVersion, ErrIntegrity)
	}
	if r.Version == 1 && !plain || r.Version == rootVersion && r.Wrapping == 0 || r.Recovery != nil && len(r.Recovery) != sha256.Size ||
		r.Wrapping > MaxEpoch || r.Retiring != nil && *r.Retiring+1 != r.Wrapping {
		return nil, fmt.Errorf("vault: root record: fields that do not fit together: %w", ErrIntegrity)
	}
	return r, nil
}

// checkRoot reads all pointers and holds them, and the recovery record, against the root.
func (v *Vault) checkRoot(ctx context.Context, r *root) error {
	s, err := v.readPointers(ctx)
	if err != nil {
		return err
	}
	s.seq, s.anchor, s.retiring, s.abandoned = r.Seq, r.Anchor, r.Retiring, r.Abandoned
	if r.Count != s.count {
		return fmt.Errorf("vault: %d ids where the root record counts %d: something was removed or put back: %w",
			s.count, r.Count, ErrIntegrity)
	}
	want := v.rootMAC(*r, s.set)
	if r.Version == 1 {
		want = v.rootMACv1(s)
	}
	if !hmac.Equal(r.MAC, want) {
		return fmt.Errorf("vault: the ids do not fit the root record: one was put back from an earlier time: %w", ErrIntegrity)
	}
	if !bytes.Equal(r.Recovery, v.recoveryHash()) {
		return fmt.Errorf("vault: the recovery record is not the one the root record names: %w", ErrIntegrity)
	}
	v.state = s
	return nil
}

// readPointers checks the MAC of every pointer, counts them and sums them up.
func (v *Vault) readPointers(ctx context.Context) (s state, err error) {
	pointerMAC := v.keys.newPointerMAC()
	err = v.store.Iterate(ctx, []byte(v.wrapping.pointers()), func(key, value []byte) error {
		if len(value) <= macLen {
			return fmt.Errorf("vault: %s: pointer of %d bytes: %w", key, len(value), ErrIntegrity)
		}
		pointerMAC.Reset()
		tag := value[len(value)-macLen:]
		if !hmac.Equal(pointerSum(pointerMAC, key, value[:len(value)-macLen]), tag) {
			return fmt.Errorf("vault: %s: changed outside the vault: %w", key, ErrIntegrity)
		}
		s.count++
		s.set.toggle(v.keys, tag)
		return nil
	})
	return s, err
}

// Version is the number of commits and the number of ids: an anchor for callers who want to notice that the whole directory was
// replaced by an older copy.
func (v *Vault) Version() (seq, ids uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state.seq, v.state.count
}

// isFresh tells whether the store has nothing of a vault.
func isFresh(ctx context.Context, s Store) (bool, error) {
	found := errors.New("found")
	err := s.Iterate(ctx, []byte(prefix), func(_, _ []byte) error { return found })
	if err == found {
		return false, nil
	}
	return err == nil, err
}
